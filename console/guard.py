"""Check every request before it reaches a route: host name, origin, token and size. Add security headers.

This is plain ASGI middleware, so that the body of a refused request is neither read nor parsed.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import math
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

from sqlalchemy.exc import SQLAlchemyError
from starlette._utils import get_route_path
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastener.console.accounts import TOKEN_HOLDER, Accounts, Person
from fastener.console.language import words_for
from fastener.console.sessions import Attempts, Sessions
from fastener.console.sign_in import sign_in_page

PUBLIC_PATHS = frozenset({"/health", "/session", "/session/end"})
PERSON = "person"  # in the state of a request: who sent it
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_CHALLENGE = {"www-authenticate": "Bearer"}
# Bytes allowed for the multipart headers around a file.
_FRAMING = 64 * 1024

SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # With no-referrer, browsers would send "Origin: null" with the sign-in form, which is then refused.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Rules:
    """Limits that ``Guard`` applies.

    Attributes
    ----------
    token : str or None
        Password that requests must show; None asks for no token.
    hosts : frozenset of str, or None
        Host names that requests may carry, without port; None allows any.
    max_upload : int
        Largest uploaded file in bytes.
    sessions : Sessions
        Who is signed in by a cookie.
    attempts : Attempts
        Wrong tokens by address.
    accounts : Accounts
        Who may sign in by name. With any account, requests need a token or a session.
    """

    token: str | None
    hosts: frozenset[str] | None
    max_upload: int
    sessions: Sessions
    attempts: Attempts
    accounts: Accounts


class Guard:
    """ASGI middleware that applies ``Rules`` and adds the security headers.

    Parameters
    ----------
    app : ASGIApp
        The application behind this middleware.
    rules : Rules
        Token, host names and largest upload.
    """

    def __init__(self, app: ASGIApp, rules: Rules):
        self.app = app
        self.rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = await self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
        else:
            await self.app(scope, self._limited(receive), send_with_headers)

    async def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        # DNS rebinding: another site can point its own host name at this machine, but the Host header keeps that name.
        if self.rules.hosts is not None and host_name(host) not in self.rules.hosts:
            return _refused(
                421, f"this service does not answer to the name {host_name(host)!r}; start it with --token to allow any"
            )
        origin = headers.get("origin")
        if origin is not None and scope["method"] not in _SAFE_METHODS and origin.partition("://")[2] != host:
            return _refused(403, _other_site(origin, host))
        accounts = await self._has_accounts()
        if (self.rules.token is not None or accounts) and get_route_path(scope) not in PUBLIC_PATHS:
            found = await self._authenticated(scope, headers, accounts)
            if isinstance(found, Response):
                return found
            scope.setdefault("state", {})[PERSON] = found
        if int(headers.get("content-length", "0")) > self.rules.max_upload + _FRAMING:
            return _refused(413, self._too_large())
        return None

    async def _has_accounts(self) -> bool:
        known = self.rules.accounts.known()
        if known is not None:
            return known
        try:
            return await asyncio.to_thread(self.rules.accounts.exist)
        except SQLAlchemyError:  # the database is out of reach: nobody is let in who would not be otherwise
            return True

    async def _authenticated(self, scope: Scope, headers: Headers, accounts: bool) -> Person | Response:
        """Return who sends a request, or the refusal of one without the token or the cookie of a session."""
        identifier = session_of(scope)
        person: Person | None = None
        if identifier:
            person = self.rules.sessions.known(identifier)
            person = person or await asyncio.to_thread(self.rules.sessions.person, identifier)
        if person is not None:
            return person
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.casefold() == "bearer":
            address = address_of(scope)
            wait = self.rules.attempts.must_wait(address)
            if wait:
                return too_many_attempts(wait)
            if self.rules.token is not None and equal_secrets(given.strip(), self.rules.token):
                return TOKEN_HOLDER
            self.rules.attempts.failed(address)
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            words, by_token = words_for(HTTPConnection(scope)), self.rules.token is not None
            return sign_in_page(401, words, path=get_route_path(scope), by_name=accounts, by_token=by_token)
        return _refused(401, "this service needs a token: Authorization: Bearer TOKEN", _CHALLENGE)

    def _limited(self, receive: Receive) -> Receive:
        """Wrap ``receive`` to enforce the size limit on bodies that declare no length."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.rules.max_upload + _FRAMING:
                raise HTTPException(413, self._too_large())
            return message

        return counted

    def _too_large(self) -> str:
        return f"more than {self.rules.max_upload / 2**20:g} MiB; send a smaller file (the limit is --max-upload-mb)"


def host_name(host: str) -> str:
    """Extract the name from a Host header, without the port."""
    return host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0].casefold()


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a service that is bound to ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def cookie_name(scope: Scope) -> str:
    """Name the cookie of this service: browsers share cookies among all ports of a host, hence the port."""
    server = scope.get("server")
    return f"console-{server[1]}" if server else "console"


def session_of(scope: Scope) -> str:
    """Read the identifier of the session from the cookie of a request, "" if there is none."""
    try:
        cookie = SimpleCookie(Headers(scope=scope).get("cookie", "")).get(cookie_name(scope))
    except CookieError:
        return ""
    return "" if cookie is None else cookie.value


def address_of(scope: Scope) -> str:
    """Return the address of the client; a proxy on this machine passes it on as X-Forwarded-For."""
    client = scope.get("client")
    return client[0] if client else "unknown"


def too_many_attempts(wait: float) -> JSONResponse:
    """Refuse an address that was wrong about the token too often."""
    seconds = str(math.ceil(wait))
    return _refused(429, f"too many wrong tokens; try again in {seconds} s", {"retry-after": seconds})


def equal_secrets(given: str, wanted: str) -> bool:
    """Compare two secrets in constant time, so that timing reveals nothing."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _other_site(origin: str, host: str) -> str:
    return (
        f"requests from pages of other sites are refused: the page belongs to {origin!r}, but the service was called "
        f"as {host!r}; if a proxy stands between, let it pass Host on (nginx: proxy_set_header Host $http_host;)"
    )


def _refused(status: int, reason: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": reason}, status, headers)
