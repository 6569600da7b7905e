"""Published data sets that can be read as they are unpacked: what they show, where they are, under which licence.

A licence is named only where the authors, or a library or copy that quotes them, state it. "see the site": nothing was
found that could be verified.
"""

from __future__ import annotations

from typing import NamedTuple

_CC = "CC BY-NC-SA 4.0 (not for commercial use)"
_SITE = "see the site"


class PublishedSet(NamedTuple):
    """A data set: its name, what it shows, the layout that reads it, its site, its licence."""

    name: str
    shows: str
    layout: str
    site: str
    licence: str


_MVTEC = "https://www.mvtec.com/company/research/datasets"
CATALOGUE: tuple[PublishedSet, ...] = (
    PublishedSet("MVTec AD", "10 objects, 5 textures", "mvtec", f"{_MVTEC}/mvtec-ad", _CC),
    PublishedSet("MVTec AD 2", "8 objects, changing light", "mvtec-ad2", f"{_MVTEC}/mvtec-ad-2", _CC),
    PublishedSet("MVTec LOCO AD", "5 scenes, logical anomalies", "mvtec-loco", f"{_MVTEC}/mvtec-loco", _CC),
    PublishedSet("MVTec 3D-AD", "10 objects, colour and depth", "mvtec-3d", f"{_MVTEC}/mvtec-3d-ad", _CC),
    PublishedSet("VisA", "12 objects", "visa", "https://github.com/amazon-science/spot-diff", "CC BY 4.0"),
    PublishedSet("BTAD", "3 products", "mvtec", "http://avires.dimi.uniud.it/papers/btad/", _SITE),
    PublishedSet("MPDD", "6 metal parts", "mvtec", "https://github.com/stepanje/MPDD", _CC),
    PublishedSet("KolektorSDD2", "1 surface", "kolektor-sdd2", "https://www.vicos.si/resources/kolektorsdd2/", _CC),
    PublishedSet(
        "DAGM 2007",
        "10 drawn textures",
        "dagm or dagm-ellipses",
        "https://hci.iwr.uni-heidelberg.de/content/weakly-supervised-learning-industrial-optical-inspection",
        _SITE,
    ),
    PublishedSet("Real-IAD", "30 objects, 5 views", "real-iad", "https://realiad4ad.github.io/Real-IAD/", _CC),
    PublishedSet(
        "Severstal", "steel strips", "severstal", "https://www.kaggle.com/c/severstal-steel-defect-detection", _SITE
    ),
    PublishedSet(
        "casting products",
        "pump impellers, no masks",
        "casting",
        "https://www.kaggle.com/datasets/ravirajsinh45/real-life-industrial-dataset-of-casting-product",
        _SITE,
    ),
)
