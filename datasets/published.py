"""The layouts of published data sets, by their names for --layout. Those in the layout of MVTec AD need none."""

from __future__ import annotations

from fastener.datasets.dagm import DagmEllipses
from fastener.datasets.layout import Layout
from fastener.datasets.loco import LocoLayout
from fastener.datasets.pattern_layout import PatternLayout
from fastener.datasets.real_iad import RealIad
from fastener.datasets.severstal_layout import Severstal
from fastener.datasets.visa import Visa

PUBLISHED: dict[str, Layout] = {
    "visa": Visa(),
    "mvtec-ad2": PatternLayout(
        title="MVTec AD 2",
        looks_for="<category>/test_public, train/good, validation/good",
        sign="{category}/test_public",
        good="{category}/train/good/*",
        valid="{category}/validation/good/*",
        test="{category}/test_public/good/*",
        defect="{category}/test_public/{defect}/*",
        mask="{category}/test_public/ground_truth/{defect}/{name}_mask.*",
        aside="{category}/test_private/** | {category}/test_private_mixed/**",
    ),
    "mvtec-loco": LocoLayout(
        title="MVTec LOCO AD",
        looks_for="<category>/defects_config.json, or <category>/test/logical_anomalies",
        sign="{category}/defects_config.json | {category}/test/logical_anomalies",
        good="{category}/train/good/*",
        valid="{category}/validation/good/*",
        test="{category}/test/good/*",
        defect="{category}/test/{defect}/*",
        mask="{category}/ground_truth/{defect}/{name}/*",
    ),
    "mvtec-3d": PatternLayout(
        title="MVTec 3D-AD (colour)",
        looks_for="<category>/train/good/rgb",
        sign="{category}/train/good/rgb",
        good="{category}/train/good/rgb/*",
        valid="{category}/validation/good/rgb/*",
        test="{category}/test/good/rgb/*",
        defect="{category}/test/{defect}/rgb/*",
        mask="{category}/test/{defect}/gt/{name}.*",
        aside="{category}/*/*/xyz/* | {category}/validation/good/gt/*",
    ),
    "kolektor-sdd2": PatternLayout(
        title="KolektorSDD2",
        looks_for="train/<photo>_GT.png",
        sign="train/*_GT.*",
        good="train/*",
        test="test/*",
        defect="train/* | test/*",
        mask="{folder}/{name}_GT.*",
    ),
    "dagm": PatternLayout(
        title="DAGM 2007",
        looks_for="Class<n>/Train/Label",
        sign="{category}/Train/Label",
        good="{category}/Train/*",
        test="{category}/Test/*",
        defect="{category}/Train/* | {category}/Test/*",
        mask="{folder}/Label/{name}_label.*",
    ),
    "dagm-ellipses": DagmEllipses(),
    "real-iad": RealIad(),
    "severstal": Severstal(),
    "casting": PatternLayout(
        title="casting products",
        looks_for="train/ok_front, test/def_front",
        sign="train/ok_front",
        good="train/ok_front/*",
        test="test/ok_front/*",
        defect="test/{defect}/*",
        aside="train/def_front/*",
    ),
}
