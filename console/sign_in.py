"""Build the page that asks for the token. It loads no other file, because nothing is served without the token."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

from starlette.responses import HTMLResponse

from fastener.console.language import Words

_STYLE = """
:root { color-scheme: light dark; font: 18px/1.5 system-ui, sans-serif; }
body { max-width: 22rem; margin: 15vh auto 0; padding: 0 1rem; }
input, button { font: inherit; width: 100%; box-sizing: border-box; padding: .6rem; margin: .3rem 0 1rem; }
"""
_POLICY = (
    f"default-src 'none'; img-src data:; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def sign_in_page(
    status: int, words: Words, note: str = "", path: str = "/", *, by_name: bool, by_token: bool
) -> HTMLResponse:
    """Build a form that sends name and password, or the token, to ``POST /session``; ``note`` is a line above it.

    ``path`` is where the page is shown. The form's address is relative to it, as a proxy may put a path in front.
    ``by_name`` says that there are accounts, ``by_token`` that there is a token.
    """
    name = (
        f'<label for="name">{words("Name")}</label>'
        '<input id="name" name="name" autocomplete="username" maxlength="80" autofocus>'
        if by_name
        else '<input autocomplete="username" hidden>'  # which managers of passwords look for
    )
    hint = words("An administrator adds accounts and gives new passwords.")
    if by_token:
        hint = (
            words("Leave the name empty to sign in with the token.")
            if by_name
            else words("The token is the value of --token, or of $CONSOLE_TOKEN, with which start_app.py was started.")
        )
    up = "../" * (path.count("/") - 1)
    title = words("Inspection console")
    return HTMLResponse(
        f'<!doctype html><html lang="{words.language}"><head><meta charset="utf-8"><title>{words("Sign in")}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style></head><body><main>"
        f'<h1>{title}</h1><p role="alert">{note}</p><form method="post" action="{up}session">'
        f'{name}<label for="token">{words("Password") if by_name else words("Token")}</label>'
        '<input id="token" name="token" type="password" autocomplete="current-password" required>'
        f"<button>{words('Sign in')}</button></form><p>{hint}</p>"
        "</main></body></html>",
        status,
        {"content-security-policy": _POLICY},
    )
