"""Fuzz one reader with libFuzzer, guided by which code is reached: python fuzz_guided.py NAME SECONDS FOLDER.

Ends with code 0 if nothing was found in that time: no exception but UserError, no input that takes 20 seconds, no more
than 2 GB of memory. What was found is printed, and left in FOLDER as a file crash-*, oom-* or timeout-*.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
with atheris.instrument_imports(
    include=[
        "fastener.datasets",
        "fastener.common.settings",
        "yaml",
        "xml",
        "fastener.models.runtime.storage",
        "zipfile",
    ]
):
    import readers


def main(name: str, seconds: int, folder: Path) -> None:
    """Does not return."""
    reader = readers.READERS[name](folder)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(reader.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = [f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048", "-max_len=65536"]
    limits += ["-verbosity=0", f"-artifact_prefix={folder}/"]
    if reader.words:
        words = folder / "words"
        escaped = ("".join(f"\\x{byte:02x}" for byte in word.encode("utf-8", "surrogatepass")) for word in reader.words)
        words.write_text("".join(f'"{word}"\n' for word in escaped if len(word) < 256))
        limits.append(f"-dict={words}")
    atheris.Setup([sys.argv[0], str(corpus), *limits], lambda data: readers.check(reader, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
