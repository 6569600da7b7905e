"""Settings of time series of corroding components: a section of config.py."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from fastener.common.settings import Section, Side


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    if list(values) != sorted(set(values)):
        raise ValueError("must ascend")
    return values


Cutoffs = Annotated[
    tuple[Annotated[float, Field(ge=0.0, le=100.0)], ...],
    Field(min_length=5, max_length=5),
    AfterValidator(_ascending),
]


class CorrosionSettings(Section):
    """Time series of components: what is measured in each shot, and what counts as a change since T0."""

    frame: Side = Field(768, description="side in pixels of the frame in which colour is measured; 32 to 2048")
    min_chroma: float = Field(
        10.0,
        ge=0.0,
        le=100.0,
        description="least chroma C*ab of rust where T0 has warm colours or is missing; 0 to 100",
    )
    clean_chroma: float = Field(
        7.0, ge=0.0, le=100.0, description="least chroma C*ab of rust where T0 has no warm colour at all; 0 to 100"
    )
    tarnish_hue_max: float = Field(
        105.0, ge=0.0, le=360.0, description="tarnish lies from colour.hue_max to this; 0 to 360 degrees of CIELab hue"
    )
    green_hue_max: float = Field(
        200.0, ge=0.0, le=360.0, description="green oxidation lies from tarnish to this; 0 to 360 degrees of CIELab hue"
    )
    oxide_chroma: float = Field(
        14.0, ge=0.0, le=100.0, description="least chroma C*ab of tarnish and of green oxidation; 0 to 100"
    )
    tarnish_weight: float = Field(
        0.25, ge=0.0, le=1.0, description="a point of tarnish in points of rust, for the severity; 0 to 1"
    )
    coating_weight: float = Field(
        0.4,
        ge=0.0,
        le=1.0,
        description="a point of white deposit or of lost coating in points of rust, for the severity: rust attacks the "
        "base metal, these the coating alone; 0 to 1",
    )
    own_hue_reach: float = Field(
        25.0, ge=0.0, le=180.0, description="hue drift within which T0's own colour is known again; 0 to 180 degrees"
    )
    min_correlation: float = Field(
        0.4,
        ge=-1.0,
        le=1.0,
        description="least mean correlation of edges and surfaces of shots of one view; -1 to 1",
    )
    clear_marks: float = Field(
        0.65,
        ge=-1.0,
        le=1.0,
        description="correlation of edges from which two shots surely show one view, whatever their numbers; -1 to 1",
    )
    min_overlap: float = Field(
        0.85, ge=0.0, le=1.0, description="least overlap (IoU) of the outlines of shots of one view; 0 to 1"
    )
    min_cover: float = Field(
        0.18,
        ge=0.01,
        le=1.0,
        description="least share of the way from T0's lightness to white that white deposit has gone; 0.01 to 1",
    )
    min_lighter: float = Field(
        8.0, ge=1.0, le=100.0, description="least rise of lightness L* since T0 of white deposit; 1 to 100"
    )
    min_lighter_rough: float = Field(
        2.0,
        ge=1.0,
        le=100.0,
        description="the same of deposit on bright metal that is rougher than T0 or ends sharply; 1 to 100",
    )
    min_darker: float = Field(
        10.0,
        ge=1.0,
        le=100.0,
        description="least fall of lightness L* since T0 of dark staining and lost coating; 1 to 100",
    )
    dead_band: float = Field(
        3.0, ge=0.0, le=20.0, description="rise of the heatmap that does not count, in spreads of T0; 0 to 20"
    )
    min_change: float = Field(
        0.5, ge=0.0, le=100.0, description="least change of colour that is no noise, in percentage points; 0 to 100"
    )
    min_growth: float = Field(
        2.0, ge=0.0, le=100.0, description="least heatmap growth that is no noise, in percentage points; 0 to 100"
    )
    new_view_margin: float = Field(
        3.0,
        ge=0.0,
        le=100.0,
        description="added to the uncertainty of a shot whose view T0 does not show, in percentage points; 0 to 100",
    )
    colour_cutoffs: Cutoffs = Field(
        (0.5, 1.0, 8.0, 20.0, 40.0),
        description="rise in weighted area from which severity is Trace, Mild, Moderate, Severe, Critical; "
        "five ascending numbers, 0 to 100 percentage points",
    )
    growth_cutoffs: Cutoffs = Field(
        (2.0, 5.0, 12.0, 25.0, 50.0),
        description="heatmap growth that is called Trace, Mild, Moderate, Severe, Critical beside the verdict; "
        "five ascending numbers, 0 to 100 percentage points",
    )
    max_clipped: float = Field(
        5.0, ge=0.0, le=100.0, description="share of the part that may be over-exposed before it is flagged; 0 to 100 %"
    )
    min_sharpness: float = Field(
        0.35, ge=0.0, le=1.0, description="least sharpness beside the sharpest T0 shot before blur is flagged; 0 to 1"
    )
