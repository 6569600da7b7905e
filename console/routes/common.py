"""Give routes access to the service, and to the person who asks.

These dependencies are coroutines although they wait for nothing: FastAPI would run plain functions in a thread each.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request

from fastener.console.accounts import ANYBODY, Person, Role
from fastener.console.guard import PERSON
from fastener.console.service import Service


async def _service(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


TheService = Annotated[Service, Depends(_service)]


async def _person(request: Request) -> Person:
    person = getattr(request.state, PERSON, ANYBODY)
    assert isinstance(person, Person)
    return person


ThePerson = Annotated[Person, Depends(_person)]


def needs(role: Role) -> Any:
    """Make a dependency of a route that only people of this role, or of a higher one, may call."""

    async def allowed(person: ThePerson) -> None:
        if not person.may(role):
            raise HTTPException(403, f"this needs the role {role}; ask an administrator")

    return Depends(allowed)
