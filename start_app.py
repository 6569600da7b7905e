"""Serve the inspection console: a web page, a REST service, and a history of every inspection."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from fastener.commands import cli
from fastener.common.errors import UserError

if TYPE_CHECKING:
    from fastener.console.settings import ConsoleSettings

_TOKEN_LENGTH = 8  # characters that cannot be guessed over a network in a reasonable time
_GRACE_S = 5  # for requests at the end; container engines kill after ten seconds
EXAMPLE = "python start_app.py --models saved_models"


def main() -> int:
    """Start the service and run it until Ctrl-C."""
    arguments = _arguments()
    config = cli.config_from(arguments)
    settings = _settings(arguments)
    if arguments.add_account is not None:
        return _add_account(settings, arguments.add_account, arguments.role)
    from fastener.console.guard import is_loopback

    local = is_loopback(arguments.host)
    if not local and settings.token is None and not arguments.insecure and not _has_accounts(settings):
        raise UserError(
            f"--host {arguments.host} lets other machines in: set a password with --token PASSWORD, add people with "
            "--add-account NAME, or pass --insecure"
        )
    if not local and settings.token is not None and len(settings.token.get_secret_value()) < _TOKEN_LENGTH:
        raise UserError(f"--token: where other machines are let in, use at least {_TOKEN_LENGTH} characters")
    with _bound(arguments.host, arguments.port) as listener:
        import uvicorn

        from fastener.commands.serving import read_servable
        from fastener.console.app import LOCAL_NAMES, create_app
        from fastener.console.connections import bounded_protocol, limits_of_this_process
        from fastener.console.service import Service

        host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
        service = Service(settings, config.run.device, config.run, read=read_servable)
        # A name that somebody else's site points here is harmless where requests need a token or a session.
        names = LOCAL_NAMES | {host} if local and settings.token is None and not service.accounts.exist() else None
        app = create_app(service, names, root_path=arguments.root_path.rstrip("/"))
        address = f"http://{host}:{listener.getsockname()[1]}/"
        count = len(service.catalogue.categories())
        for line in service.catalogue.clashes():
            cli.warn(line)
        print(f"{address}   ({count} model(s) in {settings.models}; API at {address}docs; stop with Ctrl-C)")
        sys.stdout.flush()
        if not arguments.no_browser and _has_screen():
            threading.Timer(1.0, webbrowser.open, [address]).start()
        server = uvicorn.Config(
            app,
            http=bounded_protocol(limits_of_this_process()),
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
        try:
            uvicorn.Server(server).run([listener])
        finally:
            if service.stuck:
                # A thread decodes a huge image. All results are stored; Python itself would wait for the thread.
                sys.stdout.flush()
                os._exit(cli.EXIT_OK)
    return cli.EXIT_OK


def _add_account(settings: ConsoleSettings, name: str, role: str) -> int:
    """Add an account, or give it another role and password; the password comes from the keyboard or from a pipe."""
    from getpass import getpass

    from pydantic import TypeAdapter, ValidationError

    from fastener.console.accounts import ROLES, Accounts
    from fastener.console.database import open_database
    from fastener.console.schemas import Name

    if role not in ROLES:
        raise UserError(f"--role {role} is not allowed: {', '.join(ROLES)}")
    try:
        name = TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise UserError("--add-account: a name has 1 to 80 characters") from None
    password = getpass(f"Password for {name}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    engine = open_database(settings.database)
    try:
        person = Accounts(engine).put(name, role, password, active=True)
    finally:
        engine.dispose()
    print(f"{person.name} may sign in as {person.role}")
    return cli.EXIT_OK


def _has_accounts(settings: ConsoleSettings) -> bool:
    from fastener.console.accounts import Accounts
    from fastener.console.database import open_database

    engine = open_database(settings.database)
    try:
        return Accounts(engine).exist()
    finally:
        engine.dispose()


def _arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__, EXAMPLE)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine only)"
    )
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="port; 0 picks a free one (default: 8000)")
    parser.add_argument(
        "--root-path", default="", metavar="PATH", help="path under which a proxy serves the console, such as /qa"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open the page in a browser")
    parser.add_argument("--insecure", action="store_true", help="let other machines in without a token")
    parser.add_argument("--models", type=Path, metavar="D", help="folder of models (default: saved_models)")
    parser.add_argument(
        "--database",
        metavar="URL",
        help="database of the history, sqlite:///FILE or postgresql://... (default: sqlite:///outputs/console/history.db)",
    )
    parser.add_argument(
        "--pictures", type=Path, metavar="D", help="folder of inspected images (default: beside the SQLite file)"
    )
    parser.add_argument(
        "--token", metavar="PASSWORD", help="password for everything but /health (default: $CONSOLE_TOKEN, else none)"
    )
    parser.add_argument(
        "--add-account", metavar="NAME", help="add a person who signs in by name, or set a new password, and end"
    )
    parser.add_argument(
        "--role", default="operator", help="operator, qa or admin, for --add-account (default: operator)"
    )
    parser.add_argument("--max-upload-mb", metavar="MB", help="largest request in MiB (default: 25)")
    parser.add_argument("--retention-days", metavar="N", help="delete images after N days (default: never)")
    parser.add_argument(
        "--queue-size", metavar="N", help="images inspected or waiting at a time; more get status 503 (default: 64)"
    )
    parser.add_argument("--batch-size", metavar="N", help="largest number of images per forward pass (default: 16)")
    parser.add_argument(
        "--no-part", metavar="AS", help="what a photo without a part counts as in figures: fail (default) or ignore"
    )
    parser.add_argument("--model-memory-mb", metavar="MB", help="memory for loaded models in MiB (default: 4096)")
    return parser.parse_args()


def _settings(arguments: argparse.Namespace) -> ConsoleSettings:
    from pydantic import ValidationError

    from fastener.console.settings import ConsoleSettings

    given = {name: getattr(arguments, name) for name in ConsoleSettings.model_fields}
    given["token"] = arguments.token if arguments.token is not None else os.environ.get("CONSOLE_TOKEN")
    try:
        return ConsoleSettings.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        allowed = ConsoleSettings.model_fields[name].description
        raise UserError(f"--{name.replace('_', '-')}: {given[name]!r} is not allowed: {allowed}") from None


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if not 0 <= port <= 65535:
        raise UserError(f"--port {port} is not allowed: 1 to 65535, or 0 for a free port")
    try:
        listener = socket.create_server((host, port), family=family, backlog=256)
        # Accepted connections inherit this. Without it the body of an answer waits up to 40 ms for an acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise UserError(
            f"cannot listen on {host}, port {port}: {error.strerror}; choose another port with --port"
        ) from None


def _has_screen() -> bool:
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


if __name__ == "__main__":
    cli.run(main)
