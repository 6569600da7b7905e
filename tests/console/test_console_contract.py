"""The service keeps to its own description, whatever is sent (schemathesis, bounded)."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import schemathesis
from console_factory import console
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

pytestmark = pytest.mark.slow

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
BOUNDED = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_described(mode: GenerationMode, console_models: Path, tmp_path: Path) -> None:
    with console(console_models, tmp_path, hosts=None) as client:
        schema = schemathesis.openapi.from_asgi("/openapi.json", client.app)
        operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
        assert len(operations) == 22
        checked = 0
        for operation in operations:

            @BOUNDED
            @given(operation.as_strategy(generation_mode=mode))
            def check(case: Case) -> None:
                case.call_and_validate(checks=CHECKS)

            # Without parameters, or with one that may be any text, nothing can be wrong.
            with suppress(Unsatisfiable):
                check()
                checked += 1
        assert checked >= (22 if mode is GenerationMode.POSITIVE else 8)
