"""Put fastener/__init__.py beside the packages in the wheel; an editable install finds it in the clone."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class InitFile(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            # The mapping of all sources adds the folder fastener/.
            build_data["force_include"]["fastener/__init__.py"] = "__init__.py"
