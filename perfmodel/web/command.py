"""`perfmodel serve`. May import: click, errors, and everything below inside the functions."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from perfmodel.cli.usage import examples
from perfmodel.errors import InputError

if TYPE_CHECKING:
    from perfmodel.web.limits import Limits

PORT = 8421
_NEEDED = ("fastapi", "uvicorn", "plotly")


@click.command(
    "serve",
    epilog=examples(
        "perfmodel serve",
        "perfmodel serve --port 8080 --host 0.0.0.0 --allow-host planner.example.org",
    ),
)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS",
              help="Where to listen; anything but this machine itself opens the server to a network.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, metavar="N",
              help="0 for any that is free.")  # fmt: skip
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME", help="A name that the server also goes by.")
@click.option("--workers", type=click.IntRange(1, 256), metavar="N",
              help="Processes for quick answers. [default: one per core, at most 4]")  # fmt: skip
@click.option("--max-requests", type=click.IntRange(1, 10_000_000), metavar="N",
              help="Of a simulation. [default: 1,000,000]")  # fmt: skip
@click.option("--plan-time", type=click.FloatRange(1, 3600), metavar="S",
              help="Seconds that a plan may take. [default: 60]")  # fmt: skip
@click.option("--simulation-time", type=click.FloatRange(1, 86400), metavar="S",
              help="Seconds that a simulation may take. [default: 300]")  # fmt: skip
@click.option("--quiet", is_flag=True, help="No line for each request.")
def serve_command(host: str, port: int, hosts: tuple[str, ...], quiet: bool, **asked: Any) -> None:
    """Serve the page and the REST API (/api tells of it) until Ctrl-C.

    Only programs on this machine reach it, unless --host says otherwise. There is no password: whoever reaches it may
    ask. Needs pip install 'perfmodel[web]'.
    """
    _check_installed()
    # numpy's BLAS starts a thread per core as it is imported, and nothing here multiplies large matrices
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from perfmodel.web.listening import listen

    listen(_limits(asked), host=host, port=port, hosts=hosts, quiet=quiet)


def _check_installed() -> None:
    """
    Raises:
        InputError: something of the extra is missing.
    """
    from importlib.util import find_spec

    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise InputError(f"perfmodel serve needs {', '.join(missing)}: pip install 'perfmodel[web]'")


def _limits(asked: dict[str, Any]) -> Limits:
    from perfmodel.web.limits import Limits

    names = {
        "workers": "workers", "max_requests": "simulated_requests", "plan_time": "plan_seconds",
        "simulation_time": "simulation_seconds",
    }  # fmt: skip
    return Limits(**{names[option]: value for option, value in asked.items() if value is not None})
