"""`perfmodel compress`: what compressions of a model bring, and when they hurt.

May import: everything below, inside the functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from perfmodel.cli.html_reports import html_mistakes, html_option, save_html
from perfmodel.cli.mistakes import Mistakes, output_mistakes
from perfmodel.cli.options import echo_json, json_option, request_options, split_list, with_options
from perfmodel.cli.usage import examples
from perfmodel.errors import InputError, PerfmodelError

if TYPE_CHECKING:
    from perfmodel.cli.grid import Combination, Grid
    from perfmodel.planning.compression import Compression

_SHARES = ("heads", "channels", "layers", "rank", "sparsity")
_MOST_ALIGNED = 4096


def _own_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option("--to", "precisions", metavar="P[,P]", help="Precisions to go to: w4a16, fp8, ..."),
        click.option("--kv-cache", "cache_formats", metavar="F[,F]", help="Storage formats of the KV cache."),
        click.option("--heads", metavar="X[,X]", help="Share of the attention heads that stays, in whole KV groups."),
        click.option("--channels", metavar="X[,X]", help="Share of the channels inside the blocks that stays."),
        click.option("--layers", metavar="X[,X]", help="Share of the layers that stays."),
        click.option("--rank", metavar="X[,X]", help="Rank of linear layers, as a share of the full one."),
        click.option("--sparsity", metavar="X[,X]", help="Share of the weights that is zero, in no pattern."),
        click.option("--sparsity-2-4", "sparse_2_4", is_flag=True, help="Two of every four weights are zero."),
        click.option("--sibling", is_flag=True, help="The next smaller model of the family."),
        click.option("--multiple", default="1", metavar="N",
                     help="Round pruned channels up to a multiple of it. [default: 1]"),
        click.option("--only", metavar="K[,K]",
                     help="Of the list: precision, cache, heads, channels, layers, rank, 2:4, sparsity, sibling."),
        click.option("--plot", metavar="FILE", help="Draw speed-ups as bars: .png, .svg or .pdf."),
    )  # fmt: skip
    return with_options(command, options)


@click.command(
    "compress",
    epilog=examples(
        "perfmodel compress llama-3.1-8b --hardware h100-sxm,l4 --batch 8 --input-tokens 2048",
        "perfmodel compress timm:resnet50 --hardware t4 --channels 0.75,0.5 --plot bars.png",
        "perfmodel compress llama-3.1-70b --hardware h100-sxm --to w4a16,fp8 --sparsity-2-4",
    ),
)
@click.argument("model", metavar="MODEL")
@_own_options
@request_options
@html_option
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, one line per chip, variant and phase.")
def compress_command(as_json: bool, as_csv: bool, plot: str | None, html: str | None, **options: Any) -> None:
    """Tell what compressing a model brings on a chip: quantization, pruning, sparsity, low rank, a smaller sibling.

    Each is applied alone to the model in --precision; without choices a list that makes sense for it. Accuracy is not
    predicted.
    """
    from perfmodel.cli.grid import read_grid
    from perfmodel.cli.progress import progress_line
    from perfmodel.planning.compression import compress

    chosen, mistakes = _read_own(options, plot, as_json=as_json, as_csv=as_csv)
    grid = read_grid(options, [*mistakes, *html_mistakes(html)])
    results: list[Compression] = []
    with progress_line() as show:
        for cell in grid.combinations():
            show(f"{cell.model.name} on {cell.hardware.id}, batch {cell.batch}")
            results.append(compress(cell.model, cell.hardware, **chosen, **_request(grid, cell)))
    if plot:
        from perfmodel.report.compression_plot import draw_compressions
        from perfmodel.report.plots import save_figure

        save_figure(plot, draw_compressions(results))
    _print(grid, results, as_json=as_json, as_csv=as_csv)
    if plot and not (as_json or as_csv):
        click.echo(f"Plot: {plot}")
    if html:
        from perfmodel.report.html_studies import compress_report

        save_html(html, compress_report(results, grid.left_out, _notes(results), grid.hardware),
                  quiet=as_json or as_csv)  # fmt: skip


def _read_own(
    options: dict[str, Any], plot: str | None, *, as_json: bool, as_csv: bool
) -> tuple[dict[str, Any], Mistakes]:
    """What is to be done to the model, as arguments of `compress`, and what is wrong with it, as (option, mistake)."""
    from perfmodel.cli.options import read_count
    from perfmodel.planning.changes import KINDS
    from perfmodel.precisions import find_format, scheme_name

    mistakes: Mistakes = []

    def read(option: str, text: str | None, parse: Callable[[str], Any]) -> Any:
        try:
            return () if text is None else parse(text)
        except PerfmodelError as error:
            mistakes.append((option, error))
            return ()

    def names(find: Callable[[str], str]) -> Callable[[str], tuple[str, ...]]:
        return lambda text: tuple(find(item) for item in split_list(text))

    chosen = {name: read(name, options.pop(name), lambda text, name=name: _shares(name, text)) for name in _SHARES}  # type: ignore[misc]
    chosen["precisions"] = read("to", options.pop("precisions"), names(scheme_name))
    chosen["cache_formats"] = read("kv_cache", options.pop("cache_formats"), names(lambda name: find_format(name).name))
    chosen["only"] = read("only", options.pop("only"), lambda text: _kinds(text, KINDS))
    chosen["multiple"] = read("multiple", options.pop("multiple"), lambda text: read_count(text, _MOST_ALIGNED)) or 1
    chosen |= {name: options.pop(name) for name in ("sparse_2_4", "sibling")}
    if options["anchors"]:
        mistakes.append(("anchors", InputError("measured runs of the original say nothing of its variants: leave it")))
    mistakes += output_mistakes(plot, as_json=as_json, as_csv=as_csv)
    return chosen, mistakes


def _shares(option: str, text: str) -> tuple[float, ...]:
    """
    Raises:
        InputError: an item that is no share.
    """
    shares, wrong = [], []
    for item in split_list(text):
        try:
            share = float(item)
        except ValueError:
            share = float("nan")
        if not (0 < share < 1 or (share == 1 and option != "sparsity")):
            wrong.append(item)
        shares.append(share)
    if wrong:
        upper = "below" if option == "sparsity" else "up to"
        meaning = {"sparsity": "that is zero", "rank": "of the full rank"}.get(option, "that stays")
        raise InputError(f"{', '.join(map(repr, wrong))}: write the share {meaning}, above 0 and {upper} 1, like 0.5")
    return tuple(dict.fromkeys(shares))


def _kinds(text: str, known: Sequence[str]) -> tuple[str, ...]:
    from perfmodel.errors import UnknownNameError

    items = split_list(text)
    for item in items:
        if item not in known:
            raise UnknownNameError("kind of compression", item, known, f"Known: {', '.join(known)}")
    return items


def _request(grid: Grid, cell: Combination) -> dict[str, Any]:
    """The options of `predict` for a cell."""
    names = ("precision", "batch", "input_tokens", "output_tokens", "steps", "layout", "runtime")
    shared = ("cache_precision", "channels_last", "threads", "level", "strict", "specs")
    return {name: getattr(cell, name) for name in names} | {name: getattr(grid, name) for name in shared}


def _print(grid: Grid, results: Sequence[Compression], *, as_json: bool, as_csv: bool) -> None:
    notes = _notes(results)
    if as_json:
        from perfmodel.report.compression_document import compress_document

        echo_json(compress_document(results, notes))
        return
    if as_csv:
        from perfmodel.report.compression_table import compressions_csv

        click.echo(compressions_csv(results), nl=False)
        for note in notes:
            click.echo(f"Note: {note}", err=True)
        return
    from perfmodel.report.compression_table import print_whole_compressions
    from perfmodel.report.console import open_console

    print_whole_compressions(open_console(), results, [*notes, *grid.left_out])


def _notes(results: Sequence[Compression]) -> list[str]:
    return list(dict.fromkeys(note for each in results for note in each.original.provenance.get("notes", ())))
