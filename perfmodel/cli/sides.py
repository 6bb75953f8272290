"""The sides of `perfmodel explain --compare "MODEL --option ..." "MODEL --option ..."`.

A side is what `perfmodel predict` takes, in quotes; options outside of the quotes hold for both, those inside come
first.
May import: click, cli.options, cli.serving_options, errors.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
from click.core import ParameterSource

from perfmodel.cli.options import side_options
from perfmodel.cli.serving_options import SERVING_OPTIONS, asks_server, serving_options
from perfmodel.errors import InputError, PerfmodelError


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One request: the options of predict, those of a server apart."""

    name: str
    options: Mapping[str, Any]
    served: Mapping[str, Any]

    @property
    def is_server(self) -> bool:
        """Whether a server is asked for."""
        return asks_server(self.served)

    def mistaken(self, error: PerfmodelError) -> InputError:
        """An error with the side's name before it."""
        return InputError(f"{self.name}: {error}")


def are_requests(models: Sequence[str]) -> bool:
    """Whether two requests are given in place of models: one of them has options inside."""
    return any(" --" in text for text in models)


def read_sides(models: Sequence[str], options: Mapping[str, Any], served: Mapping[str, Any]) -> tuple[Side, Side]:
    """Both sides of a comparison.

    Args:
        options, served: given outside of the sides.

    Raises:
        InputError: not two, an option that predict does not know, or a side without --hardware.
    """
    if len(models) != 2:
        raise InputError(
            f"--compare needs two requests in quotes, and there {'is' if len(models) == 1 else 'are'} {len(models)}: "
            'write perfmodel explain --compare "MODEL --option ..." "MODEL --option ..."'
        )
    first, second = (_read(name, text, options, served) for name, text in zip("AB", models, strict=True))
    return first, second


@click.command(add_help_option=False)
@click.argument("model")
@side_options
@serving_options
def _request(**_: Any) -> None:
    """What a side may hold; never run."""


def _read(name: str, text: str, options: Mapping[str, Any], served: Mapping[str, Any]) -> Side:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"{name} ({text}): {str(error).lower()}: check its inner quotes") from None
    try:
        context = _request.make_context(name, words)
    except click.UsageError as error:
        raise InputError(f"{name} ({text}): {error.format_message()}") from None
    own = {
        key: value
        for key, value in context.params.items()
        if context.get_parameter_source(key) is ParameterSource.COMMANDLINE
    }
    every = {**options, **served, **own}
    if "concurrency" in own or "rate" in own:  # a load of one kind in place of the other that both would have
        every |= {key: own.get(key) for key in ("concurrency", "rate")}
    if every["hardware"] is None:
        raise InputError(f"{name} ({text}): no --hardware, neither in the quotes nor outside")
    return Side(
        name=name,
        options={key: value for key, value in every.items() if key not in SERVING_OPTIONS},
        served={key: every[key] for key in SERVING_OPTIONS},
    )
