"""Manage the accounts of people who sign in by name."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path

from fastener.common.errors import UserError
from fastener.console.problems import error_responses
from fastener.console.routes.common import ThePerson, TheService, needs
from fastener.console.schemas import Account, Name, NewAccount

router = APIRouter(tags=["accounts"], dependencies=[needs("admin")])
AccountName = Annotated[Name, Path(description="name of the account, at most 80 characters")]


@router.get("/accounts", responses=error_responses(403))
def accounts(service: TheService) -> list[Account]:
    """List the accounts."""
    return [Account.model_validate(one) for one in service.accounts.all()]


@router.put("/accounts/{name}", responses=error_responses(400, 403, 409, 422))
def put_account(service: TheService, person: ThePerson, name: AccountName, new: NewAccount) -> Account:
    """Add an account, or change the role or the password of an existing one, or switch it off.

    A switched-off account keeps its name, which nobody else can take. Its sessions end within half a minute.
    """
    if person.name == name and (new.role not in (None, "admin") or new.active is False):
        raise HTTPException(409, "another administrator has to do this: nobody could manage accounts any more")
    try:
        return Account.model_validate(service.accounts.put(name, new.role, new.password, active=new.active))
    except UserError as error:
        raise HTTPException(422, str(error)) from None


@router.delete("/accounts/{name}", responses=error_responses(403, 404, 422), status_code=204)
def remove_account(service: TheService, name: AccountName) -> None:
    """Remove an account. Its sessions end within half a minute; its name stays on what it did."""
    if not service.accounts.remove(name):
        raise HTTPException(404, "no account has this name")
