"""How far the suite goes: a bounded form in every run of the tests, the long form with FASTENER_FAULTS=long."""

from __future__ import annotations

import os

LONG = os.environ.get("FASTENER_FAULTS") == "long"
