"""Miniatures of published data sets, drawn as their descriptions lay them out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from mvtec_factory import blot, plate
from PIL import Image
from steel_factory import runs_of

SIZE = (24, 32)
CENTRE = (12, 10)
_SEED = iter(range(10**6))


def photo(*paths: Path) -> None:
    """Write a good photo, another one to each path."""
    for path in paths:
        _save(plate(next(_SEED), SIZE), path)


def defective(path: Path, mask: Path | None = None, level: int = 255, radius: int = 4) -> np.ndarray:
    """Write a photo with a blot, and its mask if that has a path; return the mask, bool (H, W)."""
    spoiled, truth = blot(plate(next(_SEED), SIZE), CENTRE, radius)
    _save(spoiled, path)
    if mask is not None:
        write_mask(truth, mask, level)
    return truth


def write_mask(truth: np.ndarray, path: Path, level: int = 255) -> None:
    _save(truth * np.uint8(level), path)


def _save(image: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, format="PNG" if path.suffix.lower() == ".png" else None)


def visa(root: Path) -> None:
    rows = ["object,split,label,image,mask"]
    for name in ("candle", "pcb1"):
        data = f"{name}/Data"
        for split, number in (("train", "0000"), ("train", "0001"), ("test", "0002")):
            photo(root / data / f"Images/Normal/{number}.JPG")
            rows.append(f"{name},{split},normal,{data}/Images/Normal/{number}.JPG,")
        image, mask = f"{data}/Images/Anomaly/000.JPG", f"{data}/Masks/Anomaly/000.png"
        defective(root / image, root / mask, level=1)
        rows.append(f"{name},test,anomaly,{image},{mask}")
        (root / name / "image_anno.csv").write_text(f'image,label,mask\n{image},"bent,melt",{mask}\n')
    (root / "split_csv").mkdir()
    (root / "split_csv/1cls.csv").write_text("\n".join(rows) + "\n")
    (root / "split_csv/2cls_fewshot.csv").write_text("object,split,label,image,mask\n")


def mvtec_ad2(root: Path) -> None:
    one = root / "can"
    photo(
        one / "train/good/000_regular.png", one / "train/good/001_regular.png", one / "validation/good/000_regular.png"
    )
    photo(one / "test_public/good/000_overexposed.png", one / "test_private/000_regular.png")
    photo(one / "test_private_mixed/000_mixed.png")
    defective(one / "test_public/bad/000_regular.png", one / "test_public/ground_truth/bad/000_regular_mask.png")


def mvtec_loco(root: Path) -> None:
    one = root / "pushpins"
    photo(*(one / f"train/good/{number:03}.png" for number in range(4)))
    photo(one / "validation/good/000.png", *(one / f"test/good/{number:03}.png" for number in range(3)))
    for kind, levels in (("logical_anomalies", (255, 254)), ("structural_anomalies", (253,))):
        truth = defective(one / "test" / kind / "000.png")
        for number, level in enumerate(levels):
            write_mask(np.roll(truth, 9 * number, 1), one / "ground_truth" / kind / "000" / f"{number:03}.png", level)
    config = [
        {"defect_name": "additional", "pixel_value": 255, "saturation_threshold": 12, "relative_saturation": False},
        {"defect_name": "missing", "pixel_value": 254, "saturation_threshold": 0.5, "relative_saturation": True},
        {"defect_name": "broken", "pixel_value": 253, "saturation_threshold": 1.0, "relative_saturation": True},
    ]
    (one / "defects_config.json").write_text(json.dumps(config))


def mvtec_3d(root: Path) -> None:
    one = root / "bagel"
    for split in ("train", "validation", "test"):
        for number in range(2):
            photo(one / split / "good/rgb" / f"{number:03}.png")
            Image.fromarray(np.zeros(SIZE, np.float32)).save(_made(one / split / "good/xyz" / f"{number:03}.tiff"))
    for number in range(2):
        write_mask(np.zeros(SIZE, bool), one / "test/good/gt" / f"{number:03}.png")
    defective(one / "test/crack/rgb/000.png", one / "test/crack/gt/000.png")
    Image.fromarray(np.zeros(SIZE, np.float32)).save(_made(one / "test/crack/xyz/000.tiff"))


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def btad(root: Path) -> None:
    one = root / "01"
    photo(one / "train/ok/0000.bmp", one / "train/ok/0001.bmp", one / "test/ok/0000.bmp")
    defective(one / "test/ko/0001.bmp", one / "ground_truth/ko/0001.png")


def mpdd(root: Path) -> None:
    one = root / "bracket_black"
    photo(one / "train/good/000.png", one / "train/good/001.png", one / "test/good/000.png")
    defective(one / "test/hole/000.png", one / "ground_truth/hole/000_mask.png")


def kolektor_sdd2(root: Path) -> None:
    for split, numbers in (("train", (10000, 10001, 10002)), ("test", (20000, 20001))):
        for number in numbers:
            path, mask = root / split / f"{number}.png", root / split / f"{number}_GT.png"
            if number in (10002, 20001):
                defective(path, mask)
            else:
                photo(path)
                write_mask(np.zeros(SIZE, bool), mask)


def dagm(root: Path) -> None:
    for split, first in (("Train", 1), ("Test", 5)):
        folder = root / "Class1" / split
        photo(folder / f"{first:04}.PNG", folder / f"{first + 1:04}.PNG")
        bad = folder / f"{first + 2:04}.PNG"
        defective(bad, folder / "Label" / f"{first + 2:04}_label.PNG")
        (folder / "Label/Labels.txt").write_text(f"1\n{first}\t0\t{first:04}.PNG\t0\t0\n")


def dagm_ellipses(root: Path) -> None:
    photo(*(root / "Class1" / f"{number}.png" for number in range(1, 6)))
    defective(root / "Class1_def/1.png")
    (root / "Class1_def/labels.txt").write_text("1\t 6.2e+000\t 3.2e+000\t 1.5707963\t 13\t 11\n")


def real_iad(root: Path) -> None:
    def entry(path: str, label: str, mask: str | None = None) -> dict[str, str | None]:
        return {"category": "usb", "anomaly_class": label, "image_path": path, "mask_path": mask}

    good = [f"OK/S000{number}/usb_000{number}_OK_C1_2023.jpg" for number in range(3)]
    bad = "NG/HS/S0009/usb_0009_NG_HS_C1_2023"
    for size in ("realiad_256", "realiad_1024"):
        photo(*(root / size / "usb" / path for path in good))
        defective(root / size / "usb" / f"{bad}.jpg", root / size / "usb" / f"{bad}.png")
    content = {
        "meta": {"normal_class": "OK", "prefix": "usb/", "pre_transform": False},
        "train": [entry(path, "OK") for path in good[:2]],
        "test": [entry(good[2], "OK"), entry(f"{bad}.jpg", "HS", f"{bad}.png")],
    }
    for folder in ("realiad_jsons", "realiad_jsons_sv"):
        _made(root / "realiad_jsons" / folder / "usb.json").write_text(json.dumps(content))


def severstal(root: Path) -> None:
    photo(*(root / "train_images" / f"{number}.png" for number in range(5)), root / "test_images/9.png")
    truth = defective(root / "train_images/7.png")
    (root / "train.csv").write_text(f"ImageId,ClassId,EncodedPixels\n7.png,3,{runs_of(truth)}\n")


def casting(root: Path) -> None:
    photo(root / "train/ok_front/cast_ok_0_1.jpeg", root / "train/ok_front/cast_ok_0_2.jpeg")
    photo(root / "test/ok_front/cast_ok_0_3.jpeg")
    defective(root / "train/def_front/cast_def_0_1.jpeg")
    defective(root / "test/def_front/cast_def_0_2.jpeg")
