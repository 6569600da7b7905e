"""Tell JPEG files that would keep a decoder busy for minutes by thousands of scans over the same pixels.

A progressive JPEG refines its picture scan by scan; encoders write about ten. Each scan costs a pass over all pixels,
so that a file of 400 kB with thousands of empty scans takes as long as a day's photos ("Two issues with the JPEG
standard", libjpeg-turbo, 2019).
"""

from __future__ import annotations

from typing import BinaryIO

MOST_SCANS = 100
_MOST_WORK = 10**9  # pixels over all scans, some ten seconds of decoding
_ORDINARY = 16  # scans that any progressive file may have
_START_OF_SCAN = b"\xff\xda"
_CHUNK = 2**20


def most_scans(pixels: int) -> int:
    """Return how many scans a JPEG of so many pixels may have: 100 up to ten megapixels, 16 from 62 on."""
    return max(_ORDINARY, min(MOST_SCANS, _MOST_WORK // max(1, pixels)))


def has_too_many_scans(file: BinaryIO, most: int = MOST_SCANS) -> bool:
    """Tell whether an open JPEG file has more than ``most`` scans; the position in the file stays as it is.

    Within compressed data a 0xFF byte is followed by a zero or a restart marker, so that the marker needs no parsing. A
    thumbnail in the headers adds its own few.
    """
    position = file.tell()
    try:
        file.seek(0)
        count, last = 0, b""
        while chunk := file.read(_CHUNK):
            count += (last + chunk).count(_START_OF_SCAN)
            if count > most:
                return True
            last = chunk[-1:]
        return False
    finally:
        file.seek(position)
