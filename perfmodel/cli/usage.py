"""What --help ends with, and what is said beside a wrong use of a command: another name of an option, an example.

May import: click, errors. To add an example: a line where the command is; another name of an option: `OTHER_NAMES`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from perfmodel.errors import InputError

# what other tools, and people, call an option -> names that it may have here
OTHER_NAMES = {
    **dict.fromkeys(("gpu", "gpus", "chip", "chips", "device", "devices", "accelerator", "on"), ("hardware", "device")),
    **dict.fromkeys(("user", "users", "concurrent", "max-concurrency", "parallel", "clients"), ("concurrency",)),
    **dict.fromkeys(("qps", "rps", "request-rate", "requests-per-second", "req-rate"), ("rate",)),
    **dict.fromkeys(("dtype", "quant", "quantization", "quantize", "weights"), ("precision", "to")),
    **dict.fromkeys(("kv-cache-dtype", "kv-precision", "kv-cache", "cache-dtype"), ("cache-precision", "kv-cache")),
    **dict.fromkeys(("batch-size", "batchsize", "bs"), ("batch",)),
    **dict.fromkeys(
        (
            "prompt",
            "prompt-tokens",
            "prompt-length",
            "input",
            "input-len",
            "isl",
            "seq-len",
            "context",
            "random-input-len",
        ),
        ("input-tokens",),
    ),
    **dict.fromkeys(
        ("answer-tokens", "output", "output-len", "osl", "max-tokens", "new-tokens", "gen-tokens", "random-output-len"),
        ("output-tokens",),
    ),
    **dict.fromkeys(("tensor-parallel", "tensor-parallel-size", "num-gpus", "tp-size"), ("tp",)),
    **dict.fromkeys(("pipeline-parallel", "pipeline-parallel-size", "pp-size"), ("pp",)),
    **dict.fromkeys(("expert-parallel", "ep-size"), ("ep",)),
    **dict.fromkeys(("data-parallel-size", "dp"), ("replicas", "attention-dp")),
    **dict.fromkeys(("backend", "server", "framework"), ("engine", "runtime")),
    **dict.fromkeys(("ttft", "slo-ttft"), ("ttft", "slo-ttft")),
    **dict.fromkeys(("tpot", "slo-tpot"), ("tpot", "slo-tpot")),
    **dict.fromkeys(("itl", "slo-itl"), ("itl", "slo-tpot", "tpot")),
    **dict.fromkeys(("e2e", "slo-e2e", "latency"), ("e2e",)),
    **dict.fromkeys(("confidence", "interval"), ("level",)),
    **dict.fromkeys(("resolution", "size"), ("image-size",)),
    **dict.fromkeys(("output-file", "save", "o"), ("out", "html")),
    **dict.fromkeys(("report",), ("html",)),
    **dict.fromkeys(("price", "cost"), ("prices", "budget-cost")),
}


_LISTS = (
    "Lists are written with commas and no blanks (a,b); what follows MODEL or FILE needs its option (--hardware ID)."
)


def examples(*commands: str, file: str = "") -> str:
    """The end of a command's --help: commands as they are typed, the first of which is shown beside mistakes.

    Args:
        file: a file that one of them reads, its name in the first line.

    >>> print(examples("perfmodel models list", "perfmodel models show llama-3.1-8b").replace(chr(8), "(as it is)"))
    (as it is)
    Examples:
      perfmodel models list
      perfmodel models show llama-3.1-8b
    """
    told = "\n".join(["\b", "Examples:", *(f"  {command}" for command in commands)])
    return f"{told}\n\n\b\n{file.strip()}" if file else told


def shown_examples(command: click.Command) -> list[str]:
    """The commands at the end of --help, each in one line."""
    lines = (command.epilog or "").replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.startswith("  perfmodel ")]


def explained(error: click.UsageError) -> click.UsageError:
    """The error with what helps: names that the option has here, how lists are written, and an example."""
    command = error.ctx.command if error.ctx else None
    told = error.format_message()
    if isinstance(error, click.NoSuchOption) and command is not None and (known := _known_as(error, command)):
        told = f"No such option '{error.option_name}'. Here it is {' or '.join(known)}."
    elif "extra argument" in told:
        told += f". {_LISTS}"
    typed = shown_examples(command) if command is not None else []
    if typed:
        told = f"{told}\nFor example: {typed[0]}"
    return click.UsageError(told, ctx=error.ctx)


def _known_as(error: click.NoSuchOption, command: click.Command) -> list[str]:
    there = {name for parameter in command.params for name in parameter.opts}
    wanted = (f"--{name}" for name in OTHER_NAMES.get(error.option_name.lstrip("-").lower(), ()))
    return [name for name in wanted if name in there]


def refuse_repeated_lists(command: click.Command, words: Sequence[str]) -> None:
    """A list belongs into one option: of one that is given again click would take the last alone.

    Raises:
        InputError: naming every list that is given more than once, written as it should be.
    """
    lists = [option for option in command.params if isinstance(option, click.Option) and "[," in (option.metavar or "")]
    wrong = []
    for option in lists:
        values = list(_values(words, option.opts))
        if len(values) > 1:
            wrong.append(
                f"{option.opts[0]} is given {len(values)} times; a list is written {option.opts[0]} {','.join(values)}"
            )
    if wrong:
        raise InputError("\n".join(wrong))


def _values(words: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in names:
            yield value if equals else next(iter(words[place + 1 :]), "")
