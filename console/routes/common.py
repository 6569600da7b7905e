"""Give routes access to the service."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from fastener.console.service import Service


def _service(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


TheService = Annotated[Service, Depends(_service)]
