"""Manage the accounts of people who sign in by name."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path

from fastener.console.problems import error_responses
from fastener.console.routes.common import TheService, needs
from fastener.console.schemas import Account, Name, NewAccount

router = APIRouter(tags=["accounts"], dependencies=[needs("admin")])
AccountName = Annotated[Name, Path(description="name of the account, at most 80 characters")]


@router.get("/accounts", responses=error_responses(403))
def accounts(service: TheService) -> list[Account]:
    """List the accounts."""
    return [Account.model_validate(one) for one in service.accounts.all()]


@router.put("/accounts/{name}", responses=error_responses(400, 403, 422))
def put_account(service: TheService, name: AccountName, new: NewAccount) -> Account:
    """Add an account, or give an existing one another role and password."""
    return Account.model_validate(service.accounts.put(name, new.role, new.password))


@router.delete("/accounts/{name}", responses=error_responses(403, 404, 422), status_code=204)
def remove_account(service: TheService, name: AccountName) -> None:
    """Remove an account. Its sessions end within half a minute; its name stays on what it did."""
    if not service.accounts.remove(name):
        raise HTTPException(404, "no account has this name")
