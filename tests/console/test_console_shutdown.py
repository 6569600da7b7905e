"""The service ends when it is told to, whatever it is busy with."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx2 as httpx
import pytest
from console_factory import running, send
from data_factory import ROOT

# As start_app.py, but each image takes minutes to decode, and patience is short.
STUCK = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
import start_app
from fastener.console import preparing, service
preparing.decode_photo = lambda *given, **more: time.sleep(600)
start_app._GRACE_S = service._PATIENCE_S = 1
sys.exit(start_app.main())
"""


@pytest.mark.slow
def test_an_image_that_is_being_decoded_does_not_hold_sigterm_up(
    console_models: Path, tmp_path: Path, good_photos: list[Path]
) -> None:
    with running(console_models, tmp_path, code=STUCK) as (address, process), httpx.Client(base_url=address) as client:

        def ask() -> None:
            with suppress(httpx.TransportError):
                send(client, good_photos[0])

        threading.Thread(target=ask, daemon=True).start()
        while httpx.get(f"{address}/health").json()["queue"] == 0:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) in (0, -signal.SIGTERM)
