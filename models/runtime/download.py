"""Files from the network: resumed where they were cut off, and in place only when their checksum is right."""

from __future__ import annotations

import hashlib
import http.client
import sys
import urllib.error
import urllib.request
from pathlib import Path

from fastener.common.errors import UserError

_TIMEOUT_S = 10.0  # a firewall that drops packets must not look like a hang
_PIECE = 1 << 20


def download(url: str, target: Path, algorithm: str, digest: str, progress: bool = False) -> None:
    """Fetch ``url`` into ``target``. An interrupted download is kept as ``<target>.part``, and goes on from there.

    ``digest`` is the start of the file's checksum in hexadecimal, ``algorithm`` its name for hashlib. Raises UserError
    if the file cannot be had or is not the one expected; then ``target`` is left as it was.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(url, part, progress)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        kept = f"; {part.stat().st_size} bytes are kept, the next try goes on from there" if part.is_file() else ""
        raise UserError(f"{url}: cannot be downloaded ({reason}){kept}") from None
    found = file_digest(part, algorithm)
    if not found.startswith(digest):
        part.unlink()
        raise UserError(f"{url}: is not the file expected ({algorithm} {found[:12]} instead of {digest[:12]})")
    part.replace(target)


def file_digest(path: Path, algorithm: str) -> str:
    """Checksum of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _fetch(url: str, part: Path, progress: bool) -> None:
    from tqdm import tqdm

    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        return  # all of it is here already; its checksum tells
    with answer:
        resumed = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        have = have if resumed else 0  # a server that cannot resume begins anew
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length is not None else None
        bar = tqdm(
            total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, disable=not progress, file=sys.stderr
        )
        with part.open("ab" if resumed else "wb") as file, bar:
            while piece := answer.read(_PIECE):
                file.write(piece)
                bar.update(len(piece))
        if total is not None and part.stat().st_size < total:
            raise OSError(f"cut off after {part.stat().st_size} of {total} bytes")
