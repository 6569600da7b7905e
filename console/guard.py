"""What stands before every route: who may ask, from where, how much, and what browsers are told about the answer.

Plain ASGI, so that a request that is refused is neither read nor parsed.
"""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastener.console.sign_in import sign_in_page

COOKIE = "console"
OPEN_PATHS = frozenset({"/health", "/session"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# What surrounds a file in a multipart body.
_FRAMING = 64 * 1024

SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Without any referrer, browsers send "Origin: null" with forms, and the sign-in page could not sign in.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Rules:
    """``hosts``: names by which the service may be called, None for any; ``max_upload`` in bytes."""

    token: str | None
    hosts: frozenset[str] | None
    max_upload: int


class Guard:
    """ASGI middleware that applies ``Rules`` and adds the security headers."""

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

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
        else:
            await self.app(scope, self._counted(receive), send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        # A page of another site can make a browser resolve its name to this machine, but cannot change its name.
        if self.rules.hosts is not None and host_name(host) not in self.rules.hosts:
            return _refused(
                421, f"this service does not answer to the name {host_name(host)!r}; start it with --token to allow any"
            )
        origin = headers.get("origin")
        if origin is not None and scope["method"] not in _SAFE_METHODS and origin.partition("://")[2] != host:
            return _refused(403, _other_site(origin, host))
        if self.rules.token is not None and scope["path"] not in OPEN_PATHS and not self._knows_token(headers):
            if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
                return sign_in_page(401)
            return _refused(401, "a token is needed: Authorization: Bearer TOKEN", {"www-authenticate": "Bearer"})
        if int(headers.get("content-length", "0")) > self.rules.max_upload + _FRAMING:
            return _refused(413, self._too_large())
        return None

    def _knows_token(self, headers: Headers) -> bool:
        assert self.rules.token is not None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.casefold() == "bearer" and same(given.strip(), self.rules.token):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and same(cookie.value, cookie_of(self.rules.token))

    def _counted(self, receive: Receive) -> Receive:
        """``receive`` that stops at the limit, for bodies that do not say how long they are."""
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
    """The name in a Host header, without its port."""
    return host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0].casefold()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a service bound to ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def cookie_of(token: str) -> str:
    """What a browser that showed the token keeps instead of it."""
    return hmac.new(token.encode(), b"inspection console", sha256).hexdigest()


def same(given: str, wanted: str) -> bool:
    """Compare in a time that does not tell how much is right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _other_site(origin: str, host: str) -> str:
    return (
        f"requests from pages of other sites are not taken: the page is of {origin!r}, this service was called as "
        f"{host!r}; if that is a proxy's doing, let it pass Host on (nginx: proxy_set_header Host $http_host;)"
    )


def _refused(status: int, reason: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": reason}, status, headers)
