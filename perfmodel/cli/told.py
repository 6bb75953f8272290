"""What a user tells of a load test beside its report: the options of `validate` that become a `Told`.

May import: cli.options, errors, and the rest inside the functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from perfmodel.cli.options import with_options

if TYPE_CHECKING:
    from perfmodel.calibration.sources.load_tests import Told

_DEGREE = click.IntRange(min=1, max=4096)
_OPTIONS = (
    click.option("--hardware", metavar="H", help="Of a report of a load test: the chip it ran on."),
    click.option("--model", metavar="M", help="Likewise: the model, where the report's name is not in the catalog."),
    click.option("--precision", metavar="P", help="Likewise: precision of the weights. [default: the model's own]"),
    click.option("--cache-precision", metavar="F", help="Likewise: storage of the KV cache."),
    click.option("--engine", metavar="E[@V]", help="Likewise: the engine and its release, e.g. vllm@0.8.5."),
    click.option("--tp", type=_DEGREE, metavar="N", help="Likewise: devices that share every layer. [default: 1]"),
    click.option("--pp", type=_DEGREE, metavar="N", help="Likewise: pipeline stages. [default: 1]"),
    click.option("--ep", type=_DEGREE, metavar="N", help="Likewise: devices the experts are dealt to. [default: 1]"),
    click.option(
        "--attention-dp", type=_DEGREE, metavar="N", help="Likewise: groups with sequences of their own. [default: 1]"
    ),
    click.option("--speculative", is_flag=True, help="Likewise: tokens were guessed and checked."),
)


def told_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options, for a command that takes `**told`."""
    return with_options(command, _OPTIONS)


def read_told(given: dict[str, Any]) -> Told:
    """The options as a value.

    Raises:
        InputError: degrees of parallelism that do not go together.
    """
    from perfmodel.calibration.sources.load_tests import Told
    from perfmodel.layouts import Layout

    degrees = {"tensor": "tp", "pipeline": "pp", "expert": "ep", "attention_data": "attention_dp"}
    told = {ours: given[theirs] for ours, theirs in degrees.items() if given[theirs]}
    texts = ("hardware", "model", "precision", "cache_precision", "engine")
    return Told(
        **{name: given[name] or "" for name in texts},
        layout=Layout(**told) if told else None,
        speculative=given["speculative"],
    )
