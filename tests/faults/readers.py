"""Every reader of files, fed with bytes: what the fuzzers call, and small good files to start from.

Bytes give a result or a UserError of one line. Anything else that is raised is a finding.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import published_factory
import tifffile
import torch
from data_factory import part, parts, save, tiny_config
from icc_factory import profile
from odd_files import encoded
from PIL import Image

from fastener.anode.settings import AnodeSettings
from fastener.common.errors import UserError
from fastener.common.settings import load_settings
from fastener.config import Config
from fastener.datasets.csv_splits import load_split
from fastener.datasets.ct_labels import read_labels
from fastener.datasets.ct_slices import CtSlice, Volume
from fastener.datasets.images import decode_image, read_image, read_reduced
from fastener.datasets.layouts import LAYOUTS
from fastener.datasets.neu import load_neu
from fastener.datasets.saturation import CONFIG, SaturatedImage, read_thresholds
from fastener.datasets.severstal import load_severstal
from fastener.inspection.inspector import Inspector
from fastener.models.runtime.storage import FORMAT
from fastener.models.runtime.weights import SUFFIXES, read_state_dict
from fastener.open_set.settings import OpenSetSettings, SplitSettings

Read = Callable[[bytes], object]
SIDE = 24


@dataclass(frozen=True)
class Reader:
    """``read`` takes a file's bytes; ``seeds`` are good files, ``words`` what such files are made of.

    ``findings`` are bad files to be refused; most once raised something else, or gave a wrong result.
    """

    read: Read
    seeds: tuple[bytes, ...]
    words: tuple[str, ...] = ()
    findings: tuple[bytes, ...] = ()


def check(reader: Reader, data: bytes) -> bool:
    """Whether ``data`` could be read. Fails on anything but a result or a UserError of one line."""
    try:
        reader.read(data)
    except UserError as error:
        message = str(error)
        assert message
        assert not re.search("[\x00-\x1f\x7f\ud800-\udfff]", message), repr(message)
        assert len(message) < 2000
        return False
    return True


def image_reader(folder: Path) -> Reader:
    """read_image and read_reduced by path, and decode_image as the console calls it."""
    photo = part(3)[:SIDE, :SIDE]
    grey = photo[..., 0]
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    picture = Image.fromarray(photo)
    seeds = (
        encoded(photo, "PNG", exif=exif),
        encoded(photo, "JPEG", exif=exif),
        encoded(photo, "GIF", save_all=True, append_images=[picture.rotate(90)]),
        encoded(photo, "BMP"),
        encoded(photo, "WEBP", quality=20),
        encoded(photo, "TIFF", compression="tiff_lzw"),
        encoded(grey, "TIFF"),
        encoded(grey.astype(np.float32) / 255, "TIFF"),
        encoded(grey.astype(np.uint16) * 257, "PNG"),
        encoded(np.dstack([photo, grey]), "PNG"),
        encoded(grey > 127, "PNG"),
        encoded(picture.convert("CMYK"), "JPEG"),
        encoded(photo, "PNG", icc_profile=profile("p3")),
        cv2.imencode(".png", photo.astype(np.uint16) * 257)[1].tobytes(),
        _tiff(photo.astype(np.uint16) * 257, photometric="rgb", compression="lzw", predictor=True),
        _tiff(np.moveaxis(photo, -1, 0).astype(np.uint16), photometric="rgb", planarconfig="separate"),
        _tiff(grey.astype(np.int16), photometric="miniswhite", tile=(16, 16)),
        _tiff(photo.astype(np.float64), photometric="rgb", compression="zlib"),
    )

    def read(data: bytes) -> object:
        path = folder / "image.png"
        path.write_bytes(data)
        photo = read_image(path)
        assert photo.dtype == np.uint8
        assert photo.ndim == 3
        assert photo.shape[2] == 3
        assert read_reduced(path, SIDE // 2)[1] == photo.shape[:2]
        np.testing.assert_array_equal(decode_image(io.BytesIO(data), "image"), photo)
        return photo

    return Reader(read, seeds)


def _tiff(values: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


def csv_reader(folder: Path) -> Reader:
    """train/_classes.csv beside two images."""
    for name in ("a.png", "b, c.png"):
        save(part(0), folder / "train" / name)
    good = b'filename,Rust,Good\na.png,1,0\n"b, c.png",0,1\n'
    words = (
        "filename", ",", "\n", "\r", '"', "a.png", "b, c.png", "Rust", "Good", "0", "1", "1.0", "../", "C:\\",
        "\ufeff", "\0", "x" * 300 + ".png", ".png", "nan", " ", "\u2028", "\ud7ff",
    )  # fmt: skip

    def read(data: bytes) -> object:
        (folder / "train" / "_classes.csv").write_bytes(data)
        split = load_split(folder, "train")
        assert all(image.path.is_file() for image in split.images)
        return split

    findings = (b"filename,Rust\n" + b"x" * 300 + b".png,1\n", b"filename,Rust\n\0.png,1\n", b"a\x1b[31m,b\n")
    return Reader(read, (good, b"\xef\xbb\xbf" + good.replace(b"\n", b"\r\n")), words, findings)


def rle_reader(folder: Path) -> Reader:
    """train.csv of the Severstal layout, and the masks of all of its images."""
    save(part(0), folder / "train_images" / "1.png")
    good = (
        b"ImageId,ClassId,EncodedPixels\n1.png,3,1 3 10 2\n",
        b"ImageId_ClassId,EncodedPixels\n1.png_1,\n1.png_2,5 1\n",
    )
    words = (
        "ImageId", "ClassId", "ImageId_ClassId", "EncodedPixels", ",", "\n", '"', "1.png", "1.png_1", " ", "0",
        "1", "-1", "3 4", "576 1", "577", "9" * 20, str(2**63 - 1), "1e3", "1_0", "\u0663", "\0", "x",
    )  # fmt: skip

    def read(data: bytes) -> object:
        (folder / "train.csv").write_bytes(data)
        return [strip.mask((SIDE, SIDE)) for strip in load_severstal(folder)]

    head = b"ImageId,ClassId,EncodedPixels\n1.png,3,"
    findings = (head + b"9" * 20 + b" 1\n", head + b"9223372036854775807 2\n", head + b"1 " * 70_000 + b"\n")
    return Reader(read, good, words, findings)


def xml_reader(folder: Path) -> Reader:
    """The boxes beside an image in the NEU layout."""
    save(part(0), folder / "crazing" / "crazing_1.png")
    box = "<bndbox><xmin>2</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40.0</ymax></bndbox>"
    good = f"<annotation><object><name>crazing</name>{box}</object></annotation>".encode()
    words = (
        "<annotation>", "</annotation>", "<object>", "</object>", "<bndbox>", "</bndbox>", "<name>x</name>",
        "<xmin>", "</xmin>", "<ymin>1</ymin>", "<xmax>9</xmax>", "<ymax>9</ymax>", "1", "inf", "nan", "1e999",
        '<?xml version="1.0" encoding="utf-7"?>', '<?xml version="1.0" encoding="klingon"?>', "&a;", "&#0;",
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b SYSTEM "file:///etc/passwd">]>', "<![CDATA[", "]]>", "<!--",
    )  # fmt: skip

    def read(data: bytes) -> object:
        (folder / "crazing" / "crazing_1.xml").write_bytes(data)
        return load_neu(folder)

    findings = (
        b'<?xml version="1.0" encoding="klingon"?><annotation/>',
        good.replace(b">2<", b">inf<"),
        good.replace(b">2<", b">1e999<"),
    )
    return Reader(read, (good, b'<?xml version="1.0" encoding="latin-1"?>' + good), words, findings)


def yaml_reader(folder: Path) -> Reader:
    """A file of settings: the toolkit's, those of open-set recognition, those of the CT slices."""
    good = (
        b"preprocess:\n  size: [64, 96]\n  align: false\nevidence: [filters, colour]\nrun: {seed: 7}\n",
        b"data:\n  test: 0.2\nsplits: [a]\nclassifier:\n  backbone: resnet18\n",
        b"roi_config:\n- {x_min: 0, x_max: 9, y_min: 0, y_max: 9, name: rim}\nclass_label: crack\n",
        b"known: [crazing, inclusion]\nunknown: [patches]\n",
    )
    words = (
        "preprocess", "size", "model", "evidence", "run", "seed", ":", " ", "\n", "\n  ", "- ", "[", "]", "{",
        "}", "&a", "*a", "<<", "!!int ", "!!float ", "!!bool ", "!!timestamp ", "!!binary ", "!!set ",
        "!!omap ", "|", "2001-99-99", "0b_", "0x", "0o9", "._", ".inf", ".nan", "1:99:99", "9" * 5000, "? ",
        "'", '"', "%", "@", "null", "~", "true", "256", "0.5", "[64, 96]", "\t", "#", "---", "...", "\x85",
        "!!python/object:os.system ",
    )  # fmt: skip

    def read(data: bytes) -> object:
        path = folder / "settings.yaml"
        path.write_bytes(data)
        sections = (Config, AnodeSettings, OpenSetSettings, SplitSettings)
        return _all_of(partial(load_settings, section, path) for section in sections)

    laughs = b"".join(b"x%d: &x%d [%s]\n" % (n, n, b",".join([b"*x%d" % (n - 1)] * 9)) for n in range(1, 12))
    findings = (
        *(b"run:\n  seed: " + value for value in (b"2001-99-99", b"0b_", b"!!int ''", b"!!bool x", b"!!timestamp x")),
        *(b"run:\n  seed: " + value for value in (b"9" * 5000, b"0x" + b"f" * 5000, b"[" * 5000)),
        b"x0: &x0 1\n" + laughs + b"preprocess: {size: *x11}\n",
        b"preprocess: &a\n  size: *a\n",
        b"? |\n  two\n  lines\n: 1\n",
        b"k" * 500_000 + b": 1\n",
    )
    return Reader(read, good, words, findings)


def labels_reader(folder: Path) -> Reader:
    """labels.csv of the CT slices."""
    volume = Volume("cell", "x", (CtSlice(folder / "x_1.png", 0, 1, "x_1"),))
    good = b"battery_id,axis,file_name,xmin,ymin,xmax,ymax\ncell,x,x_1.png,1,2,3.5,4\n"
    words = (
        "battery_id,axis,file_name,xmin,ymin,xmax,ymax", ",", "\n", '"', "cell", "x", "x_1.png", "1", "2", "9",
        "nan", "inf", "1e999", "-1", "\0", "\r",
    )  # fmt: skip

    def read(data: bytes) -> object:
        path = folder / "labels.csv"
        path.write_bytes(data)
        return read_labels(path, [volume])

    return Reader(read, (good,), words)


def model_reader(folder: Path) -> Reader:
    """A model file as it is."""
    whole = _small_model(folder)
    archive = whole[whole.index(b"\n") + 1 :]
    state = torch.load(io.BytesIO(archive), weights_only=True)
    old = io.BytesIO()
    torch.save(state | {"format": 1}, old)

    def read(data: bytes) -> object:
        path = folder / "model.pkl"
        path.write_bytes(data)
        return Inspector.load(path, "cpu")

    return Reader(read, (whole, old.getvalue()))


def sealed_model_reader(folder: Path) -> Reader:
    """The archive inside a model file, under a checksum that fits: what only a person could have written."""
    model = model_reader(folder)
    archives = tuple(seed[seed.index(b"PK") :] for seed in model.seeds[:1])
    # As a bare pickle: a string of 3 GB, which torch reserved room for.
    return Reader(lambda data: model.read(sealed(data)), archives, findings=(b"X\x00\x00\x00\xbc",))


def weights_reader(folder: Path) -> Reader:
    """Files of weights in each format."""
    values = {"layer.weight": np.ones((2, 2), np.float32)}
    npz, pth, zipped = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(npz, **values)  # type: ignore[arg-type]
    torch.save({key: torch.from_numpy(value) for key, value in values.items()}, pth)
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("data.pkl", b"hello")

    def read(data: bytes) -> object:
        paths = [folder / f"weights{suffix}" for suffix in SUFFIXES]
        for path in paths:
            path.write_bytes(data)
        return _all_of(partial(read_state_dict, path) for path in paths)

    return Reader(read, (npz.getvalue(), pth.getvalue(), zipped.getvalue()))


def sealed(archive: bytes) -> bytes:
    """A model file around ``archive``, with its header as models/storage.py describes it."""
    return (
        f"fastener-anomaly-detection model, format {FORMAT}, sha256 {sha256(archive).hexdigest()}\n".encode() + archive
    )


def _all_of(calls: Iterable[Callable[[], object]]) -> list[object]:
    """What each returns; all are called before the first UserError is raised."""
    results: list[object] = []
    for call in calls:
        try:
            results.append(call())
        except UserError as error:
            results.append(error)
    for result in results:
        if isinstance(result, UserError):
            raise result
    return results


def _small_model(folder: Path) -> bytes:
    config = tiny_config(preprocess={"size": 32}, model={"backbone": "filters", "coreset_ratio": 0.2})
    Inspector.fit(parts(4), config).save(folder / "whole.pkl")
    return (folder / "whole.pkl").read_bytes()


def _of_published(
    folder: Path, make: Callable[[Path], None], layout: str, table: str, words: str, findings: tuple[bytes, ...]
) -> Reader:
    """A table of a published data set, all of whose test images are listed, and their masks read."""
    make(folder)
    good = (folder / table).read_bytes()

    def read(data: bytes) -> object:
        (folder / table).write_bytes(data)
        dataset = LAYOUTS[layout].load(folder)
        images = [image for name in dataset.categories for image in dataset.read("test", name).images]
        assert all(image.path.resolve().is_relative_to(folder.resolve()) for image in images)
        return [(image.mask(published_factory.SIZE), image.regions(published_factory.SIZE)) for image in images]

    return Reader(read, (good,), ("\n", *words.split()), findings)


def visa_reader(folder: Path) -> Reader:
    words = "object split label image mask , candle train test normal anomaly ../"
    findings = (b"object,split,label,image,mask\ncandle,test,normal,../x.png,\n",)
    return _of_published(folder, published_factory.visa, "visa", "split_csv/1cls.csv", words, findings)


def real_iad_reader(folder: Path) -> Reader:
    words = '{ } [ ] : "meta" "prefix" "train" "test" "image_path" "../usb" null 1e999'
    outside = b'[{"image_path": "/etc/passwd", "anomaly_class": "OK"}]'
    findings = (b'{"meta": {"prefix": "../usb"}, "train": ' + outside + b', "test": []}', b"[" * 100_000)
    table = "realiad_jsons/realiad_jsons/usb.json"
    return _of_published(folder, published_factory.real_iad, "real-iad", table, words, findings)


def ellipse_reader(folder: Path) -> Reader:
    words = f"1 6.2e+000 -3 inf nan 1e-320 1e308 {'9' * 5000} x"
    make, table = published_factory.dagm_ellipses, "Class1_def/labels.txt"
    return _of_published(folder, make, "dagm-ellipses", table, words, (b"1 inf 3 0 1 1\n",))


def saturation_reader(folder: Path) -> Reader:
    """defects_config.json of MVTec LOCO AD, and the regions of a photo."""
    published_factory.mvtec_loco(folder)
    category = folder / "pushpins"
    masks = category / "ground_truth/logical_anomalies/000"
    words = '{ } [ ] : "pixel_value" "saturation_threshold" "relative_saturation" 255 -1 NaN 1e999'
    start = b'[{"pixel_value": 255, "saturation_threshold": '
    findings = (start + b"NaN}]", start + b"-1}]", b'[{"pixel_value": 1e999, "saturation_threshold": 1}]')

    def read(data: bytes) -> object:
        (category / CONFIG).write_bytes(data)
        image = SaturatedImage(masks, True, ("bad",), masks, read_thresholds(category))
        regions = image.regions(published_factory.SIZE) or []
        assert all(0 < one.saturation <= one.mask.sum() for one in regions)
        return image.mask(published_factory.SIZE)

    return Reader(read, ((category / CONFIG).read_bytes(),), ("\n", *words.split()), findings)


READERS: dict[str, Callable[[Path], Reader]] = {
    "image": image_reader,
    "csv": csv_reader,
    "rle": rle_reader,
    "xml": xml_reader,
    "visa": visa_reader,
    "real_iad": real_iad_reader,
    "ellipses": ellipse_reader,
    "saturation": saturation_reader,
    "yaml": yaml_reader,
    "labels": labels_reader,
    "model": model_reader,
    "sealed": sealed_model_reader,
    "weights": weights_reader,
}
