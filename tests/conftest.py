"""Models that several tests share, trained once a session."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from data_factory import parts, tiny_config, write_photos
from hypothesis import settings
from random_networks import State, random_state, without_head

from fastener.datasets.synthetic.demo_dataset import write_demo_dataset
from fastener.inspection.inspector import Inspector

# A busy machine is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One thread for torch: tiny networks lose more by waiting for a second thread than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def resnet18_state() -> State:
    """Drawn weights of a whole ResNet-18; tests must not change them."""
    return random_state("resnet18")


@pytest.fixture(scope="session")
def resnet18_weights(resnet18_state: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn weights in a file, without the layers that no default setting reads."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(without_head(resnet18_state), path)
    return path


@pytest.fixture(scope="session")
def good_photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_photos(tmp_path_factory.mktemp("good"), parts(12))


@pytest.fixture(scope="session")
def inspector(good_photos: list[Path]) -> Inspector:
    """Trained on ``good_photos``; tests must not change it."""
    return Inspector.fit(good_photos, tiny_config())


@pytest.fixture(scope="session")
def model_file(inspector: Inspector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.pkl"
    inspector.save(path)
    return path


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train (9 healthy), valid (3 healthy, 2 not) and test (4 healthy, 4 not), and components/."""
    folder = tmp_path_factory.mktemp("data")
    write_demo_dataset(
        folder,
        1,
        n_train=9,
        n_valid_good=3,
        n_valid_defect=2,
        n_test_good=4,
        n_test_defect=4,
        size=(96, 96),
    )
    return folder


@pytest.fixture(scope="session")
def console_models(model_file: Path, good_photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models as the console serves it: nut, and research/screw."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copy(model_file, folder / "nut.pkl")
    (folder / "research").mkdir()
    Inspector.fit(good_photos[:8], tiny_config()).save(folder / "research" / "screw.pkl")
    return folder
