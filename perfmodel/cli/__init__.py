"""The command line: one click group whose commands are imported when they are used.

Exit codes: 0 fine; 1 a check failed; 2 wrong usage or bad input, no combination that can be answered, or a system at
its limits (a full disk, no memory); 3 a mistake of perfmodel itself (PERFMODEL_DEBUG=1 shows the traceback);
130 interrupted; 141 the reader of the output went away.

A file here imports only click at its top and the work inside the command, so that `--help` is instant. May import:
everything below. To add a command: a file with it, and a line in `SECTIONS`.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

import click

from perfmodel.cli.usage import examples, explained, refuse_repeated_lists
from perfmodel.errors import PerfmodelError

# heading of --help -> name -> where the command is, in this room or in one above, and what it says of itself there
SECTIONS = {
    "Models on chips": {
        "predict": ("predicting", "Latency, throughput and memory of models on chips, and of servers."),
        "explain": ("predicting", "Where the time goes, op by op, and why; two requests side by side."),
        "scale": ("scaling", "Whether speed depends on the size of a model, and where it starts to."),
        "compress": ("compressing", "What quantization, pruning, sparsity and low rank bring, and when they hurt."),
        "tradeoff": ("trading", "Accuracy against latency: the models worth their time, under a budget."),
    },
    "Servers under load": {
        "plan": ("planning", "Load and limits to chips, layout, replicas, cost."),
        "simulate": ("simulating", "A server under load: percentiles, goodput, whether it keeps up."),
    },
    "Many points": {
        "sweep": ("sweeping", "Millions of points of predict, plan or simulate into one table."),
        "results": ("viewing", "A table of results: filter, sort, Pareto front, sums over two columns."),
    },
    "Measurements": {
        "validate": ("measured", "Predictions against measured files: errors, coverage, worst rows."),
        "fit": ("measured", "Coefficients from measured files, with their errors."),
        "measure": ("measuring", "Real torch runs on this machine, for calibrating on it."),
        "calibrate": ("calibrating", "This machine: measure, fit and check, in minutes."),
    },
    "What is known": {
        "hardware": ("hardware", "The chips and networks: list, show, check, prices; detect this machine."),
        "models": ("models", "The catalog of models: list, show."),
        "engines": ("engines", "The serving engines: list, show."),
    },
    "In a browser": {
        "serve": ("perfmodel.web.command", "A page with sliders, and a REST API."),
    },
}
COMMANDS = {name: told for section in SECTIONS.values() for name, told in section.items()}
INTERNAL_ERROR, INTERRUPTED, CLOSED_PIPE = 3, 130, 141


class CommandGroup(click.Group):
    """Commands from `COMMANDS`, imported on use; exceptions become one message and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        place = COMMANDS[cmd_name][0]
        module = import_module(place if "." in place else f"perfmodel.cli.{place}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        from perfmodel.cli.html_reports import keep_command

        keep_command(ctx, args)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            from perfmodel.errors import UnknownNameError

            hint = f"Commands: {', '.join(COMMANDS)}; `perfmodel --help` says what each does"
            raise UnknownNameError("command", args[0], COMMANDS, hint)
        name, command, words = super().resolve_command(ctx, args)
        if command is not None:
            refuse_repeated_lists(command, words)
        return name, command, words

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), text) for name, (_, text) in commands.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except click.UsageError as error:
            raise explained(error) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except PerfmodelError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            _drop_output()
            ctx.exit(CLOSED_PIPE)
        except Exception as error:
            from perfmodel.cli.system_limits import limit_reached

            if told := limit_reached(error):
                click.echo(f"Error: {told}.", err=True)
                _drop_output()
                ctx.exit(PerfmodelError.exit_code)
            _internal_error(ctx, error)


def _drop_output() -> None:
    """Python flushes stdout once more at exit, and would complain where that fails."""
    with suppress(OSError, ValueError):  # ValueError: what stands for stdout is no file
        sys.stdout.flush()
        return
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _internal_error(ctx: click.Context, error: Exception) -> NoReturn:
    if os.environ.get("PERFMODEL_DEBUG"):
        import traceback

        traceback.print_exc()
    what = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    click.echo(
        f"Internal error: {what}\nThis is a mistake of perfmodel, not yours: please report it, with the command and"
        " what it prints under PERFMODEL_DEBUG=1.",
        err=True,
    )
    ctx.exit(INTERNAL_ERROR)


def _print_version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from perfmodel import __version__

        click.echo(f"perfmodel {__version__}")
        ctx.exit()


_EPILOG = examples(
    "perfmodel predict llama-3.1-8b --hardware h100-sxm,l4 --precision bf16,fp8 --batch 1,32",
    "perfmodel explain llama-3.1-8b --hardware h100-sxm --plot roofline.png",
    'perfmodel plan llama-3.1-8b --concurrency 500 --input-tokens 1000 --output-tokens 200 --ttft "2 s" \\',
    "    --hardware h100-sxm,l40s",
    "perfmodel validate my-runs.csv",
)
_EXIT_CODES = """\b
Exit codes: 0 fine; 1 a check failed; 2 wrong usage, bad input, or nothing that
can be answered; 3 a mistake of perfmodel itself; 130 interrupted; 141 whoever
read the output went away."""


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"{_EPILOG}\n\n{_EXIT_CODES}",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
def main() -> None:
    """How fast a neural network will run on hardware you do not have, how sure, and why."""
