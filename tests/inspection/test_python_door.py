"""The door for notebooks: photos in any form, and an inspection that shows itself."""

from __future__ import annotations

import base64
import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from data_factory import part, parts, save, tiny_config, write_photos
from PIL import Image

from fastener import Inspection, Inspector
from fastener.common.errors import UserError
from fastener.inspection.result import Failure


def only(results: list[Inspection | Failure]) -> Inspection:
    (result,) = results
    assert isinstance(result, Inspection)
    return result


def test_photos_are_taken_in_any_form(inspector: Inspector, tmp_path: Path) -> None:
    path = save(part(100), tmp_path / "a.png")
    save(part(101), tmp_path / "b.png")
    expected = only(inspector.inspect([path])).score
    for images in (str(path), path, [str(path)], part(100), part(100)[None], Image.open(path), [Image.open(path)]):
        assert only(inspector.inspect(images)).score == expected
    assert only(inspector.inspect(str(path))).path == path
    assert [one.path for one in inspector.inspect(tmp_path)] == [path, tmp_path / "b.png"]
    assert len(inspector.inspect(one for one in parts(3, 100))) == 3


def test_an_array_that_is_no_photo_is_named(inspector: Inspector) -> None:
    (failure,) = inspector.inspect(np.zeros((64, 64)))
    assert isinstance(failure, Failure)
    assert "uint8 RGB array (height, width, 3), not float64 (64, 64)" in failure.error
    with pytest.raises(UserError, match="uint8 RGB"):
        Inspector.fit([np.zeros((64, 64, 3))], tiny_config())


def test_a_folder_is_fitted_and_settings_are_overridden(tmp_path: Path) -> None:
    write_photos(tmp_path, parts(4))
    fitted = Inspector.fit(tmp_path, tiny_config(), preprocess__size=(48, 64), calibration__alpha=0.2)
    assert fitted.preprocessor.size == (48, 64)
    assert (fitted.config.calibration.alpha, fitted.config.model.coreset_ratio) == (0.2, 0.1)
    assert fitted.new_photos_ == 4
    with pytest.raises(UserError, match=r"^unknown setting 'preprocess\.siz'"):
        Inspector.fit(tmp_path, tiny_config(), preprocess__siz=48)
    with pytest.raises(UserError, match=r"preprocess\.size = 1 is not allowed"):
        Inspector.fit(tmp_path, preprocess__size=1)
    assert Inspector.fit(tmp_path, tiny_config(), evidence=("filters",)).evidence.keys() == {"filters"}


def test_what_a_user_should_know_is_a_python_warning() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 96, 96, 3), dtype=np.uint8)
    with pytest.warns(UserWarning, match="no part was found in 4 of 4 photos"):
        Inspector.fit(list(noise), tiny_config())
    with pytest.warns(UserWarning, match="of synthetic defects are found"):
        Inspector.fit(parts(3), tiny_config())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Inspector.fit(list(100 + noise // 16), tiny_config(), preprocess__enabled=False)


def test_an_inspection_shows_itself(inspector: Inspector, tmp_path: Path) -> None:
    path = save(part(100, "rust"), tmp_path / "secret" / "rusty <1>.png")
    for result in (only(inspector.inspect(path)), only(inspector.inspect(part(100, "rust")))):
        page = result._repr_html_()
        assert "anomalous" in page
        assert f"score {result.score:.2f}" in page
        assert "colour" in page
        assert "secret" not in page
        start = page.index("base64,") + len("base64,")
        picture = Image.open(io.BytesIO(base64.b64decode(page[start : page.index('"', start)])))
        png = result._repr_png_()
        assert png is not None
        assert Image.open(io.BytesIO(png)).size == picture.size
        assert result.overlay().shape == part(100).shape
        assert not np.array_equal(result.overlay(), part(100, "rust"))
    assert "rusty &lt;1&gt;.png" in only(inspector.inspect(path))._repr_html_()


def test_an_inspection_whose_photo_is_gone_shows_its_numbers(inspector: Inspector, tmp_path: Path) -> None:
    path = save(part(100), tmp_path / "a.png")
    result = only(inspector.inspect(path))
    path.unlink()
    assert result._repr_png_() is None
    assert "<img" not in result._repr_html_()
    with pytest.raises(UserError, match=r"a\.png"):
        result.overlay()
    assert result.overlay(part(100)).shape == part(100).shape


def test_regions_are_found_once_and_when_asked_for(inspector: Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []

    def counted(map_: np.ndarray, threshold: float, *rest: object) -> tuple[()]:
        calls.append(threshold)
        return ()

    monkeypatch.setattr("fastener.inspection.result.find_regions", counted)
    result = only(inspector.inspect(part(100, "rust")))
    assert calls == []
    assert result.regions == result.regions == ()
    assert calls == [inspector.threshold]
