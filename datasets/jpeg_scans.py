"""Tell JPEG files that would keep a decoder busy for minutes by thousands of scans over the same pixels.

A progressive JPEG refines its picture scan by scan; encoders write about ten. Each scan costs a pass over all pixels,
so that a file of 400 kB with thousands of empty scans takes as long as a day's photos ("Two issues with the JPEG
standard", libjpeg-turbo, 2019).
"""

from __future__ import annotations

from typing import BinaryIO

MOST_SCANS = 100
_START_OF_SCAN = b"\xff\xda"
_CHUNK = 2**20


def has_too_many_scans(file: BinaryIO) -> bool:
    """Tell whether an open JPEG file has more than ``MOST_SCANS`` scans; the position in the file stays as it is.

    Within compressed data a 0xFF byte is followed by a zero or a restart marker, so that the marker needs no parsing. A
    thumbnail in the headers adds its own few.
    """
    position = file.tell()
    try:
        file.seek(0)
        count, last = 0, b""
        while chunk := file.read(_CHUNK):
            count += (last + chunk).count(_START_OF_SCAN)
            if count > MOST_SCANS:
                return True
            last = chunk[-1:]
        return False
    finally:
        file.seek(position)
