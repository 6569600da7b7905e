"""Write results as files: two tables for each battery, and results.json. Nothing is decided here."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from fastener.anode.hits import Hit, Run, length
from fastener.anode.settings import AnodeSettings
from fastener.anode.volumes import VolumeResult
from fastener.common.files import write_atomically
from fastener.common.spreadsheet import rows_text
from fastener.datasets.ct_labels import file_name
from fastener.datasets.ct_slices import CtSlice, Volume

DETECTED_COLUMNS = ("file_name", "xmin", "ymin", "xmax", "ymax", "region", "detector", "score", "axis")
_DIGITS = 4
_SHOWN_RUNS = 12


def write_tables(results: Sequence[VolumeResult], settings: AnodeSettings) -> None:
    """Write ``AI_RESULTS/<battery>/<battery>_log.csv``, a line a slice, and ``_detected.csv``, a line a box.

    A slice is NG if a hit of any detector counts in it, ERROR if it could not be inspected, and OK otherwise. The log
    also counts the boxes of each detector in each region, and states the highest score there, hit or not.
    """
    for battery in dict.fromkeys(result.volume.battery for result in results):
        of_battery = [result for result in results if result.volume.battery == battery]
        folder = settings.output_inference_dir / "AI_RESULTS" / battery
        columns = [(name, region.name) for name in of_battery[0].hits for region in settings.roi_config]
        peaks = [(name, region) for name, region in columns if any(result.peaks.get(name) for result in of_battery)]
        counted = [f"{name}_{region}" for name, region in columns]
        log = [["file_name", "axis", "result", *counted, *(f"{name}_{region}_peak" for name, region in peaks)]]
        detected = [list(DETECTED_COLUMNS)]
        for result in of_battery:
            for one in result.volume.slices:
                hits = [(name, hit) for name in result.hits for hit in result.counted[name].get(one.number, ())]
                count = Counter((name, hit.region) for name, hit in hits)
                tops = (_peak(result, name, one.number, region) for name, region in peaks)
                cells = [*(str(count[key]) for key in columns), *("" if top is None else str(top) for top in tops)]
                log.append([file_name(one), result.volume.axis, _verdict(result, one), *cells])
                detected += [_detected_line(one, result.volume.axis, name, hit) for name, hit in hits]
        write_atomically(folder / f"{battery}_log.csv", _csv(log))
        write_atomically(folder / f"{battery}_detected.csv", _csv(detected))


def write_json(results: Sequence[VolumeResult], summary: dict[str, Any], settings: AnodeSettings) -> None:
    """Write ``results.json``: the summary, and each volume with its runs, its slices and all boxes, counted or not."""
    content = {
        "summary": summary,
        "settings": settings.model_dump(mode="json"),
        "volumes": [_volume_record(result) for result in results],
    }
    text = json.dumps(content, indent=1, allow_nan=False)
    write_atomically(settings.output_inference_dir / "results.json", text + "\n")


def earlier_results(results: Sequence[VolumeResult], settings: AnodeSettings) -> list[str]:
    """List folders below ``output_inference_dir`` whose pictures or tables belong to none of these results.

    They are left from a run with another detector, other input or other settings.
    """
    folder = settings.output_inference_dir
    written = {(f"inference_{name}", r.volume.battery, r.volume.axis) for r in results for name in r.hits}
    detectors = {root for root, _, _ in written}
    old = []
    for leaf in sorted(folder.glob("inference_*/*/*/*")):
        root, kind, battery, axis = leaf.relative_to(folder).parts
        if (root, battery, axis) not in written and any(leaf.glob("*.png")):
            old.append(f"{root}/{kind}/{battery}/{axis}" if root in detectors else root)
    tables = {r.volume.battery for r in results} if settings.export_ai_csv_files else set()
    for leaf in sorted(folder.glob("AI_RESULTS/*")):
        if leaf.name not in tables and any(leaf.glob("*.csv")):
            old.append(f"AI_RESULTS/{leaf.name}")
    batteries = {result.volume.battery for result in results}
    old += [f"overview/{leaf.name}" for leaf in sorted(folder.glob("overview/*")) if leaf.name not in batteries]
    return list(dict.fromkeys(old))


def summarise(results: Sequence[VolumeResult], seconds: float) -> dict[str, Any]:
    """Count slices, hits and runs over all volumes, ready for JSON."""
    slices = sum(len(result.volume.slices) for result in results)
    return {
        "batteries": len({result.volume.battery for result in results}),
        "volumes": len(results),
        "slices": slices,
        "slices_failed": sum(len(result.errors) for result in results),
        "seconds": round(seconds, 2),
        "seconds_per_slice": round(seconds / max(slices, 1), 4),
        "longest_runs": list(_longest_runs(results)),
        "detectors": {name: _summary_of(name, results) for name in (results[0].hits if results else ())},
    }


def describe(summary: dict[str, Any], at_least: int) -> Iterator[str]:
    """Yield the summary as lines of text."""
    for name, one in summary["detectors"].items():
        flagged = ", ".join(one["batteries_ng"]) or "none"
        yield (
            f"{name}: {one['hits']} hits, {one['hits_counted']} of them in {one['runs']} run(s) of {at_least} or more "
            f"slices; NG: {one['slices_ng']} of {summary['slices']} slices, batteries: {flagged}"
        )
    yield from summary["longest_runs"]
    yield (
        f"{summary['batteries']} batteries, {summary['slices']} slices, {summary['slices_failed']} could not be "
        f"inspected; {summary['seconds']:.1f} s, {summary['seconds_per_slice']:.3f} s a slice"
    )


def told(run: Run, volume: Volume) -> str:
    """Say from where to where a run goes, how long it is, and which of its slices could not be read."""
    extent = _extent(run, volume)
    text = f"slices {run.first} to {run.last}: {length(run, volume.step)} slices"
    text += "" if extent is None else f", {extent:.3g} mm"
    return text + (f"; passes over unreadable {', '.join(map(str, run.bridged))}" if run.bridged else "")


def _longest_runs(results: Sequence[VolumeResult]) -> Iterator[str]:
    runs = [(result.volume, name, run) for result in results for name, found in result.runs.items() for run in found]
    runs.sort(key=lambda one: -length(one[2], one[0].step))
    for volume, name, run in runs[:_SHOWN_RUNS]:
        yield f"{volume.name}, {name}, {run.region}: {told(run, volume)}"
    if len(runs) > _SHOWN_RUNS:
        yield f"and {len(runs) - _SHOWN_RUNS} shorter runs, see results.json"


def _summary_of(name: str, results: Sequence[VolumeResult]) -> dict[str, Any]:
    counted = [result.counted[name] for result in results]
    return {
        "hits": sum(len(result.hits[name]) for result in results),
        "hits_counted": sum(len(hits) for one in counted for hits in one.values()),
        "runs": sum(len(result.runs[name]) for result in results),
        "slices_ng": sum(len(one) for one in counted),
        "batteries_ng": list(dict.fromkeys(result.volume.battery for result in results if result.runs[name])),
    }


def _verdict(result: VolumeResult, one: CtSlice) -> str:
    if one.number in result.errors:
        return "ERROR"
    return "NG" if any(one.number in result.counted[name] for name in result.hits) else "OK"


def _detected_line(one: CtSlice, axis: str, detector: str, hit: Hit) -> list[str]:
    b = hit.box
    corners = [str(int(value)) for value in (b.x_min, b.y_min, b.x_max, b.y_max)]
    return [file_name(one), *corners, hit.region, detector, f"{b.score:.{_DIGITS}f}", axis]


def _volume_record(result: VolumeResult) -> dict[str, Any]:
    counts = {id(hit) for name in result.hits for run in result.runs[name] for hit in run.hits}
    by_number: dict[int, list[dict[str, Any]]] = {}
    for name, hits in result.hits.items():
        for hit in hits:
            by_number.setdefault(hit.number, []).append(_hit_record(name, hit, id(hit) in counts))
    return {
        "battery": result.volume.battery,
        "axis": result.volume.axis,
        "window": [result.window.low, result.window.high],
        "spacing_mm": result.volume.spacing,
        "runs": [_run_record(name, run, result.volume) for name in result.runs for run in result.runs[name]],
        "slices": [
            {
                "file_name": file_name(one),
                "number": one.number,
                "result": _verdict(result, one),
                "error": result.errors.get(one.number, ""),
                "peaks": _peaks(result, one.number),
                "boxes": by_number.get(one.number, []),
            }
            for one in result.volume.slices
        ],
    }


def _hit_record(detector: str, hit: Hit, counts: bool) -> dict[str, Any]:
    b = hit.box
    corners = {"xmin": int(b.x_min), "ymin": int(b.y_min), "xmax": int(b.x_max), "ymax": int(b.y_max)}
    facts = {"region": hit.region, "detector": detector, "label": b.label, "score": round(b.score, _DIGITS)}
    facts["area"] = None if b.area is None else round(b.area, 1)
    return {**corners, **facts, "counts": counts}


def _run_record(detector: str, run: Run, volume: Volume) -> dict[str, Any]:
    record = {"detector": detector, "region": run.region, "first": run.first, "last": run.last}
    record |= {"slices": length(run, volume.step), "bridged": list(run.bridged)}
    extent = _extent(run, volume)
    return record | {"length_mm": None if extent is None else round(extent, _DIGITS)}


def _extent(run: Run, volume: Volume) -> float | None:
    """Return the length of a run along the axis in mm; None if the files do not state the distance of slices."""
    slices = (run.last - run.first + volume.step) / volume.step
    return None if volume.spacing is None else slices * volume.spacing


def _peaks(result: VolumeResult, number: int) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name, peaks in result.peaks.items():
        of_slice = {region: round(peak, _DIGITS) for (where, region), peak in peaks.items() if where == number}
        if of_slice:
            found[name] = of_slice
    return found


def _peak(result: VolumeResult, detector: str, number: int, region: str) -> float | None:
    peak = result.peaks.get(detector, {}).get((number, region))
    return None if peak is None else round(peak, _DIGITS)


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    return rows_text(rows).encode()
