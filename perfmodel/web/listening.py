"""A socket, and uvicorn behind it. May import: app, protection; uvicorn."""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Iterable

import click
import uvicorn

from perfmodel.errors import InputError
from perfmodel.web.app import create_app
from perfmodel.web.limits import Limits
from perfmodel.web.protection import LOOPBACK

CONNECTIONS = 1024
CLOSING_SECONDS = 5  # that requests have to end when the server is told to
BACKLOG = 256
_LOG = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"short": {"format": "%(asctime)s %(message)s", "datefmt": "%H:%M:%S"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "short"}},
    "loggers": {
        "uvicorn.error": {"handlers": ["stderr"], "level": "WARNING"},
        "uvicorn.access": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
    },
}


def listen(limits: Limits, *, host: str, port: int, hosts: Iterable[str], quiet: bool) -> None:
    """Serve until a signal ends it.

    Raises:
        InputError: the address cannot be listened on.
    """
    listening = _bound(host, port)
    port = listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    app = create_app(limits, hosts=[host, *hosts], any_address=is_any(host))
    config = uvicorn.Config(
        app, log_config=_LOG, access_log=not quiet, server_header=False, date_header=False,
        limit_concurrency=CONNECTIONS, timeout_keep_alive=30, timeout_graceful_shutdown=CLOSING_SECONDS,
        proxy_headers=False, ws="none",
    )  # fmt: skip
    if not is_loopback(host):
        click.echo(f"Warning: whoever reaches {host} may ask this server; there is no password.", err=True)
    click.echo(f"perfmodel on http://{shown}:{port} (API: /api). Ctrl-C ends it.", err=True)
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    uvicorn.Server(config).run(sockets=[listening])


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_any(host: str) -> bool:
    """Whether an address stands for all of this machine's."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.set_inheritable(False)
    except OSError as error:
        told = f"cannot listen on {host}, port {port}: {error.strerror or error}; --port 0 takes any that is free"
        raise InputError(told) from None
    return listening
