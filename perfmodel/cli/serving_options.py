"""Options of `predict` that ask for a server with many users. May import: cli.options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from perfmodel.cli.options import Command, with_options

SERVING_OPTIONS = (
    "engine",
    "concurrency",
    "rate",
    "draft_tokens",
    "replicas",
    "engine_version",
    "slo_ttft",
    "slo_tpot",
)
_OPTIONS: tuple[Callable[[Command], Command], ...] = (
    click.option("--engine", metavar="E[,E]", help="A server: vllm, sglang, trtllm, ... (`perfmodel engines list`)."),
    click.option("--concurrency", metavar="N[,N]", help="Of a server: requests in flight."),
    click.option("--rate", metavar="R[,R]", help="Of a server: requests per second that arrive, at random."),
    click.option(
        "--draft-tokens", metavar="N[,N]", help="Of a server: tokens guessed ahead in each step. [default: 0]"
    ),
    click.option("--replicas", metavar="N", help="Of a server: copies that share the load. [default: 1]"),
    click.option("--engine-version", metavar="V", help="Of a server: the engine's version, where it was measured."),
    click.option("--slo-ttft", metavar="S", help="Of a server: find the most users with this mean TTFT, e.g. '2 s'."),
    click.option("--slo-tpot", metavar="S", help="Of a server: find the most users with this mean TPOT, e.g. '50 ms'."),
)


def serving_options(command: Command) -> Command:
    """Add them, in the order of --help."""
    return with_options(command, _OPTIONS)


def asks_server(served: Mapping[str, Any]) -> bool:
    """Whether any of them was given."""
    return any(value is not None for value in served.values())
