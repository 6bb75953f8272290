"""Options that commands share, how comma-separated lists and counts are read, and how `--json` is answered.

May import: click, errors; report inside `echo_json`. To add an option to predict and explain: a line in
`_REQUEST_OPTIONS` and a field in `cli.grid.Grid`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from perfmodel.errors import InputError

Command = TypeVar("Command", bound=Callable[..., Any])

LARGEST_RATE = 1e6  # requests per second; more is a typing error
_LONG_SECONDS = 100.0  # no user waits for so long: a number without a unit is meant otherwise
_COUNT = re.compile(r"[0-9][0-9_]{0,40}")

_REQUEST_OPTIONS: tuple[Callable[[Command], Command], ...] = (
    click.option(
        "--precision",
        metavar="P[,P]",
        help="fp32 tf32 fp16 bf16 fp8, int8 (weights and activations), w8a16, w4a16 (4-bit weights alone: AWQ, GPTQ), "
        "nvfp4 mxfp4, amp-fp16 amp-bf16 (autocast over fp32 weights). [default: the model's own]",
    ),
    click.option(
        "--batch", default="1", metavar="N[,N]", help="Sequences or samples computed together.", show_default=True
    ),
    click.option(
        "--input-tokens", metavar="N[,N]", help="Prompt length of each sequence. [default: 512; of a server 1024]"
    ),
    click.option(
        "--output-tokens", metavar="N[,N]", help="Answer length of each sequence. [default: 128; of a server 256]"
    ),
    click.option(
        "--image-size", metavar="N", help="Pixels of an image's side. [default: what the model was trained with]"
    ),
    click.option(
        "--steps", metavar="N[,N]", help="Denoising steps of an image. [default: the image pipeline's own number]"
    ),
    click.option(
        "--tp", default="1", metavar="N[,N]", help="Devices that share every layer (tensor parallelism). [default: 1]"
    ),
    click.option(
        "--pp", default="1", metavar="N[,N]", help="Pipeline stages, each with a part of the layers. [default: 1]"
    ),
    click.option("--ep", default="1", metavar="N[,N]", help="Devices that whole experts are spread over. [default: 1]"),
    click.option(
        "--attention-dp",
        default="1",
        metavar="N[,N]",
        help="Groups of --tp devices with sequences of their own; all groups share the experts. [default: 1]",
    ),
    click.option("--sequence-parallel", is_flag=True, help="Devices of --tp share norms by tokens."),
    click.option(
        "--runtime",
        metavar="R[,R]",
        help="eager, compiled, graphs or onnxruntime. [default: graphs for models with a KV cache, else eager]",
    ),
    click.option("--channels-last", is_flag=True, help="Images lie in memory pixel by pixel (eager and compiled)."),
    click.option("--threads", metavar="N", help="Cores of a CPU that work. [default: all]"),
    click.option(
        "--cache-precision", metavar="F", help="Storage of the KV cache, e.g. fp8. [default: the precision's own]"
    ),
    click.option(
        "--level",
        default="0.8",
        metavar="SHARE",
        help="Share of unseen cases the interval should hold.",
        show_default=True,
    ),
    click.option(
        "--anchors", metavar="FILE", help="Measured runs that shift the prediction and narrow its interval (CSV, ...)."
    ),
    click.option("--strict", is_flag=True, help="Refuse ops without a formula instead of listing them."),
)

specs_option = click.option("--specs", metavar="DIR", help="A folder of your own chips and models, searched first.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def echo_json(document: Any) -> None:
    """Print what `--json` asks for."""
    from perfmodel.report.documents import dump_json

    click.echo(dump_json(document))


def request_options(command: Command) -> Command:
    """The options that say how a model is to be predicted, in the order of --help."""
    return _with_request(command, hardware_required=True)


def side_options(command: Command) -> Command:
    """As `request_options`; without --hardware it is for the command to tell whether a side of its own names chips."""
    return _with_request(command, hardware_required=False)


def _with_request(command: Command, *, hardware_required: bool) -> Command:
    hardware = click.option(
        "--hardware",
        required=hardware_required,
        metavar="H[,H]",
        help="Chips: ids of `perfmodel hardware list`, or files.",
    )
    return with_options(command, (hardware, *_REQUEST_OPTIONS, specs_option))


def with_options(command: Command, options: Sequence[Callable[[Any], Any]]) -> Command:
    """A command with options, in the order of --help."""
    for option in reversed(options):
        command = option(command)
    return command


def split_list(text: str) -> tuple[str, ...]:
    """The items of a comma-separated list, each once.

    >>> split_list("bf16, fp8,bf16")
    ('bf16', 'fp8')

    Raises:
        InputError: an empty item.
    """
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        raise InputError(f"'{text}' has an empty item; write a comma-separated list, e.g. a,b")
    return tuple(dict.fromkeys(items))


def split_models(text: str) -> tuple[str, ...]:
    """The models of a comma-separated list, with each value of their changes: `llama-3.1-8b:layers=8|16`.

    Raises:
        InputError: an empty item. ModelError: a change that is given twice.
    """
    from perfmodel.graphs.overrides import expand_overrides

    return tuple(dict.fromkeys(name for item in split_list(text) for name in expand_overrides(item)))


def read_counts(text: str, largest: int) -> tuple[int, ...]:
    """A list of whole numbers between 1 and `largest`; 1_000 may be written for 1000.

    Raises:
        InputError: naming every item that is none.
    """
    counts, wrong = [], []
    for item in split_list(text):
        if not _COUNT.fullmatch(item):
            wrong.append(f"'{item}' is not a whole number of at least 1 in plain digits, like 2048 or 2_048")
            continue
        count = int(item.replace("_", ""))
        if count < 1:
            wrong.append("must be at least 1, not 0")
        elif count > largest:
            wrong.append(f"{item} is more than the largest sensible value, {largest}")
        counts.append(count)
    if wrong:
        raise InputError("; ".join(wrong))
    return tuple(dict.fromkeys(counts))


def read_count(text: str, largest: int) -> int:
    """One whole number between 1 and `largest`.

    Raises:
        InputError: it is none, or a list.
    """
    counts = read_counts(text, largest)
    if len(counts) > 1:
        raise InputError("takes one number, not a list")
    return counts[0]


def read_number(text: str) -> float:
    """A number; NaN for what is none, which lies in no range.

    >>> read_number("2.5"), 0 < read_number("many") < 1
    (2.5, False)
    """
    try:
        return float(text)
    except ValueError:
        return float("nan")


def read_rate(text: str) -> float:
    """Requests per second.

    Raises:
        InputError: it is no number above 0, or more than any server gets.
    """
    rate = read_number(text)
    if not 0 < rate <= LARGEST_RATE:
        raise InputError(f"'{text}' is no number of requests per second above 0, like 2.5")
    return rate


def read_level(text: str) -> float:
    """The share of cases that an interval is meant to hold.

    Raises:
        InputError: it does not lie between 0 and 1.
    """
    level = read_number(text)
    if not 0 < level < 1:
        raise InputError(f"'{text}' does not lie between 0 and 1; write 0.8 for an interval that holds 80 % of cases")
    return level


def read_limit(text: str) -> float:
    """A limit on a latency in seconds, its unit's or the plain number's.

    Raises:
        InputError: a plain number of minutes, which is one of milliseconds that lacks its unit. UnitError: no time.
    """
    from perfmodel.units import parse_quantity

    seconds = parse_quantity(text, "seconds")
    if seconds >= _LONG_SECONDS and not text.strip()[-1:].isalpha():
        number = text.strip()
        raise InputError(
            f"'{number}' would be {seconds:g} seconds: write '{number} ms', or '{number} s' if that is meant"
        )
    return seconds
