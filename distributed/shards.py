"""Write results as Parquet shards: a fixed list of images is cut into fixed pieces, and each piece is one file or none.

The name of a shard's file holds the shard's number and a digest of its images, the model and the flags. So a run that
starts again knows which shards are done, and never takes results of another run for its own.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fastener.common.errors import UserError
from fastener.common.files import write_atomically
from fastener.inspection.fields import RESULT_FIELDS, Field, Rows

_TYPES: dict[type, Callable[[], pa.DataType]] = {
    bool: pa.bool_,
    int: pa.int64,
    float: pa.float64,
    str: pa.string,
    dict: lambda: pa.map_(pa.string(), pa.float64()),
}


@dataclass(frozen=True)
class Shard:
    """Hold a piece of the list of images, and name the file for its results."""

    number: int
    images: tuple[str, ...]
    path: Path

    @property
    def done(self) -> bool:
        """Whether the results of this shard are written."""
        return self.path.is_file()


def plan(images: Sequence[str], size: int, folder: Path, run: str) -> list[Shard]:
    """Cut ``images`` into shards of ``size``; ``run`` names all else that results depend on: the model and the flags.

    Raises UserError if ``folder`` holds shards of other images or another run.
    """
    shards = []
    for number, start in enumerate(range(0, len(images), size)):
        piece = tuple(images[start : start + size])
        digest = hashlib.sha256("\n".join((run, *piece)).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        shards.append(Shard(number, piece, folder / f"{number:06d}-{digest}.parquet"))
    strange = {path.name for path in folder.glob("*.parquet")} - {shard.path.name for shard in shards}
    if strange:
        raise UserError(
            f"{folder}: holds results of other images, another model or other flags ({min(strange)}); "
            "name another --output, or remove that folder"
        )
    return shards


def write(shard: Shard, records: Sequence[dict[str, Any]], kinds: Sequence[str]) -> None:
    """Write the ``records`` (see inspection/tables.py) of a shard's images; the file appears whole or not at all."""
    buffer = io.BytesIO()
    rows = [{key: _unicode(value) if isinstance(value, str) else value for key, value in r.items()} for r in records]
    pq.write_table(pa.Table.from_pylist(rows, schema=_schema(kinds)), buffer, compression="zstd")
    write_atomically(shard.path, buffer.getvalue())


def read(shard: Shard) -> Iterator[dict[str, Any]]:
    """Read the records of a shard. Raises UserError if the file is damaged or is not about the shard's images."""
    try:
        rows = pq.read_table(shard.path, partitioning=None).to_pylist(maps_as_pydicts="strict")
    except (pa.ArrowException, OSError):
        rows = []
    if [row.get("path") for row in rows] != [_unicode(image) for image in shard.images]:
        raise UserError(f"{shard.path}: damaged; remove it, and the same command writes it again")
    for row in rows:
        # A field that a record does not have is null in the table.
        yield {key: value for key, value in row.items() if value is not None}


def _unicode(text: str) -> str:
    """Escape the bytes of a file name that are no valid Unicode, as in results.csv."""
    return text.encode("utf-8", "backslashreplace").decode()


def _schema(kinds: Sequence[str]) -> pa.Schema:
    return pa.schema({field.name: _type(field, kinds) for field in RESULT_FIELDS})


def _type(field: Field, kinds: Sequence[str]) -> pa.DataType:
    """Choose the Parquet type of a field; a nested field becomes a struct, or a list of structs."""
    if isinstance(field.kind, type):
        return _TYPES[field.kind]()
    row = pa.struct({one.name: _type(one, kinds) for one in field.kind.fields})
    return pa.list_(row) if isinstance(field.kind, Rows) else pa.struct(dict.fromkeys(kinds, row))
