"""Everything that writes results, in one registry. A new writer is one class and one line in ``WRITERS``.

The flags of inference.py are derived from the registry, so this module imports nothing heavy before a writer works.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fastener.common.errors import UserError
from fastener.common.files import GrowingFile

if TYPE_CHECKING:
    from fastener.datasets.labelled_image import LabelledImage
    from fastener.inspection.result import Inspection


@dataclass(frozen=True)
class Finding:
    """One photo's result, as writers receive it.

    Parameters
    ----------
    entry : dict
        The result as in results.json, see ``tables.record``.
    name : Path
        Path below the output folder that the photo's pictures are named after, without an ending.
    inspection : Inspection or None
        The result itself; None if the photo could not be inspected, or if another machine inspected it.
    image : LabelledImage or None
        The photo with its label and its mask, if it is of a data set.
    """

    entry: dict[str, Any]
    name: Path = Path("photo")
    inspection: Inspection | None = None
    image: LabelledImage | None = None


class Writer(ABC):
    """Writes findings one by one.

    A subclass states three things: ``help``, the help text of its flag; ``draws``, whether it draws pictures, for which
    results have to keep their photo; ``by_default``, whether it works on labelled photos without being asked for.

    Parameters
    ----------
    output : Path
        Folder of the results.
    kinds : sequence of str
        Kinds of evidence in the findings.
    """

    help: ClassVar[str]
    draws: ClassVar[bool] = False
    by_default: ClassVar[bool] = False

    def __init__(self, output: Path, kinds: Sequence[str]):
        self.output = output
        self.kinds = kinds
        # Problems that cost a part of a picture and do not end the run; the caller shows and clears them.
        self.warnings: list[str] = []

    @abstractmethod
    def write(self, finding: Finding) -> None:
        """Write one finding. Raises UserError if it cannot be written."""

    def close(self) -> None:  # noqa: B027 - most writers have nothing to finish
        """Finish; nothing is written afterwards."""


class JsonWriter(Writer):
    """Writes results.json, one entry a photo."""

    help = "write results.json"

    def __init__(self, output: Path, kinds: Sequence[str]):
        from fastener.inspection.tables import JsonList

        super().__init__(output, kinds)
        self._list = JsonList(GrowingFile(output / "results.json"))

    def write(self, finding: Finding) -> None:
        """Append one entry."""
        self._list.write(finding.entry)

    def close(self) -> None:
        """Put the file in its place."""
        self._list.close()


class CsvWriter(Writer):
    """Writes results.csv, one line a photo."""

    help = "write results.csv"

    def __init__(self, output: Path, kinds: Sequence[str]):
        from fastener.inspection.tables import CsvTable

        super().__init__(output, kinds)
        self._table = CsvTable(GrowingFile(output / "results.csv"), kinds)

    def write(self, finding: Finding) -> None:
        """Append one line."""
        self._table.write(finding.entry)

    def close(self) -> None:
        """Put the file in its place."""
        self._table.close()


class DetectionWriter(Writer):
    """Writes det_<name>.png, the photo beside its heatmap and regions, and overlay_<name>.png."""

    help = "write det_<name>.png and overlay_<name>.png"
    draws = True
    ending: ClassVar[str] = "png"

    def write(self, finding: Finding) -> None:
        """Draw the two pictures; a photo that could not be inspected has none."""
        from fastener.inspection.drawing import save_picture
        from fastener.inspection.pictures import detection_picture, overlay_picture

        inspection, folder = finding.inspection, self.output / finding.name.parent
        if inspection is not None and inspection.photo is not None:
            file = f"{finding.name.name}.{self.ending}"
            overlay = overlay_picture(inspection.photo, inspection)
            save_picture(detection_picture(inspection.photo, inspection, overlay=overlay), folder / f"det_{file}")
            save_picture(overlay, folder / f"overlay_{file}")


class JpegWriter(DetectionWriter):
    """Writes the pictures of ``DetectionWriter`` as JPEG: a tenth of the time, and a fifth of the size.

    WebP is left out: it takes three times as long as PNG.
    """

    help = "write the pictures of --visualize as .jpg: a tenth of the time, a fifth of the size"
    ending = "jpg"


class GroundTruthWriter(Writer):
    """Writes <name>_result.png, the photo beside its heatmap and the ground truth, and <name>_heatmap.png."""

    help = "write <name>_result.png, with the ground truth, and <name>_heatmap.png (default for labelled photos)"
    draws = True
    by_default = True

    def write(self, finding: Finding) -> None:
        """Draw the two pictures; a photo that could not be inspected has none."""
        from fastener.inspection.drawing import save_picture
        from fastener.inspection.pictures import heatmap_picture, result_picture

        inspection, folder, name = finding.inspection, self.output / finding.name.parent, finding.name.name
        if inspection is not None and (photo := inspection.photo) is not None:
            mask = self._mask(finding, inspection.photo_size)
            save_picture(result_picture(photo, inspection, mask), folder / f"{name}_result.png")
            save_picture(heatmap_picture(photo, inspection), folder / f"{name}_heatmap.png")

    def _mask(self, finding: Finding, size: tuple[int, int]) -> Any:
        try:
            return None if finding.image is None or not finding.image.has_mask else finding.image.mask(size)
        except UserError as error:
            self.warnings.append(str(error))
            return None


WRITERS: dict[str, type[Writer]] = {
    "visualize": DetectionWriter,
    "visualize_jpeg": JpegWriter,
    "json": JsonWriter,
    "csv": CsvWriter,
    "ground_truth": GroundTruthWriter,
}


def open_writers(stack: ExitStack, names: Iterable[str], output: Path, *, kinds: Sequence[str]) -> list[Writer]:
    """Open the named writers on the folder ``output``; they are closed when ``stack`` ends."""
    writers = []
    for name in names:
        writers.append(WRITERS[name](output, kinds))
        stack.callback(writers[-1].close)
    return writers


def written_in_thread(findings: Iterable[Finding], writers: Sequence[Writer], *, window: int) -> Iterator[Finding]:
    """Yield each finding after ``writers`` wrote it, in a thread of its own, while the next photos are inspected.

    At most ``window`` findings wait in memory. A finding that was inspected before an interruption is still written.
    """
    from fastener.inspection.reading import ahead

    def write(finding: Finding) -> Finding:
        for writer in writers:
            writer.write(finding)
        return finding

    yield from ahead(write, findings, 1, window)
