"""Tables of chips, networks and models.

May import: home, types, units, rich.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from perfmodel.home import is_local
from perfmodel.report.columns import NOTHING
from perfmodel.report.formats import format_bytes, format_count
from perfmodel.report.prediction_table import make_table
from perfmodel.types import Fabric, Figure, Hardware
from perfmodel.units import format_quantity

if TYPE_CHECKING:
    from rich.console import Console

KIND_TITLES = {"gpu": "GPUs", "tpu": "TPUs", "accelerator": "Other accelerators", "cpu": "CPUs"}  # in this order
_WIDE, _NARROW = ("bf16", "fp16", "fp32"), ("fp8", "int8")


def print_chips(console: Console, chips: Sequence[Hardware], title: str = "") -> None:
    """Print a line per chip: by kind, or all under one title."""
    order = list(KIND_TITLES)
    for kind, members in groupby(
        sorted(chips, key=lambda chip: order.index(chip.kind)), key=lambda chip: title or chip.kind
    ):
        console.print(KIND_TITLES.get(kind, kind), style="bold")
        table = make_table(
            ("id", "left"), ("family", "left"), ("memory", "right"), ("bandwidth", "right"), ("bf16 FLOP/s", "right"),
            ("fp8 FLOP/s", "right"), ("power", "right"), ("year", "left"),
        )  # fmt: skip
        for chip in members:
            table.add_row(
                chip.id,
                chip.family,
                format_bytes(chip.memory_bytes),
                format_quantity(chip.memory_bandwidth_bytes_per_second, "bytes_per_second"),
                _best_peak(chip, _WIDE),
                _best_peak(chip, _NARROW),
                format_quantity(chip.power_watts, "watts") if chip.power_watts else NOTHING,
                chip.launch_date[:4] or NOTHING,
            )
        console.print(table)
        console.print()


def _best_peak(chip: Hardware, dtypes: tuple[str, ...]) -> str:
    """The peak of the first of the dtypes that the chip has; its name where it is not the first."""
    for dtype in dtypes:
        rate = chip.peaks.get(("matrix", dtype)) or chip.peaks.get(("vector", dtype))
        if rate:
            mark = "" if dtype == dtypes[0] else f" {dtype}"
            return f"{format_quantity(rate, 'flops_per_second').removesuffix('FLOP/s')}{mark}"
    return NOTHING


def print_fabrics(console: Console, fabrics: Sequence[Fabric]) -> None:
    """Print a line per network or launch path."""
    if fabrics:
        console.print("Networks and launch paths", style="bold")
        table = make_table(("id", "left"), ("name", "left"), ("kind", "left"), ("constants", "right"))
        for fabric in fabrics:
            table.add_row(fabric.id, fabric.name, fabric.kind, str(len(fabric.constants)))
        console.print(table)


def print_chip(console: Console, chip: Hardware) -> None:
    """Print all that is known of a chip."""
    console.print(f"{chip.id}: {chip.name}", style="bold")
    fallbacks = ", ".join(f"{asked} through {used}" for asked, used in chip.fallbacks.items())
    refused = [dtype for dtype in ("fp16", "bf16", "fp8", "int8", "fp4") if not _computes(chip, dtype)]
    facts = {
        "kind": f"{chip.kind}, {chip.vendor}, family {chip.family}".replace(", ,", ","),
        "aliases": ", ".join(chip.aliases),
        "launched": chip.launch_date,
        "memory": chip.memory_type,
        "links": f"{chip.link_name}, {chip.domain_size} devices in one domain" if chip.link_name else "",
        "native": ", ".join(chip.native),
        "emulated": fallbacks,
        "refused": ", ".join(refused),
        "file": f"{chip.path} (local: of this machine)" if is_local(chip.path) else chip.path,
    }
    print_facts(console, facts)
    _print_figures(console, chip.figures)
    _print_notes(console, chip.notes)


def _computes(chip: Hardware, dtype: str) -> bool:
    return dtype in chip.fallbacks or any(dtype == other for _, other in chip.peaks)


def print_fabric(console: Console, fabric: Fabric) -> None:
    """Print all that is known of a network or launch path."""
    console.print(f"{fabric.id}: {fabric.name}", style="bold")
    print_facts(console, {"kind": fabric.kind, "file": fabric.path})
    _print_figures(console, fabric.constants)
    _print_notes(console, fabric.notes)


def print_models(console: Console, models: Sequence[Mapping[str, Any]]) -> None:
    """Print a line per model."""
    table = make_table(
        ("name", "left"), ("family", "left"), ("parameters", "right"), ("active", "right"), ("layers", "right"),
        ("KV/token", "right"), ("context", "right"), ("precision", "left"),
    )  # fmt: skip
    for model in models:
        active = model["active_parameters"]
        table.add_row(
            model["name"],
            model["family"],
            format_count(model["parameters"]),
            format_count(active) if active != model["parameters"] else "all",
            str(model["layers"] or NOTHING),
            format_bytes(model["kv_bytes_per_token"]) if model["kv_bytes_per_token"] else NOTHING,
            str(model["max_context"] or NOTHING),
            model["precision"],
        )
    console.print(table)


def print_model(console: Console, model: Mapping[str, Any]) -> None:
    """Print all that is known of a model."""
    console.print(f"{model['name']}: {model['title']}", style="bold")
    active = model["active_parameters"]
    facts = {
        "parameters": f"{model['parameters']} ({format_count(model['parameters'])})",
        "active": f"{active} ({format_count(active)})" if active != model["parameters"] else "",
        "precision": model["precision"],
        "context": str(model["max_context"] or ""),
        "KV cache": f"{model['kv_bytes_per_token']} bytes per token" if model["kv_bytes_per_token"] else "",
        "phases": ", ".join(model["phases"]),
        "family": model["family"],
        "aliases": ", ".join(model["aliases"]),
        "source": model["source"],
        "confidence": model["confidence"],
    }
    named = ("active_parameters", "kv_bytes_per_token", "layer_order")
    facts |= {key.replace("_", " "): str(value) for key, value in model["facts"].items() if key not in named}
    print_facts(console, facts)
    console.print("Weights", style="bold")
    print_facts(console, {precision: format_bytes(count) for precision, count in model["weight_bytes"].items()})
    if model["config"]:
        console.print("Configuration", style="bold")
        print_facts(console, {key: str(value) for key, value in model["config"].items()})
    _print_notes(console, model["notes"])


def print_facts(console: Console, facts: Mapping[str, str]) -> None:
    """Print a line per fact that is known."""
    table = make_table(("", "left"), ("", "left"))
    table.show_header = False
    for key, value in facts.items():
        if value:
            table.add_row(f"  {key}", value)
    console.print(table)
    console.print()


def _print_figures(console: Console, figures: Mapping[str, Figure]) -> None:
    """Figures with their confidence and note; long references are numbered and follow below."""
    sources = list(dict.fromkeys(part for figure in figures.values() for part in figure.source.split("; ")))
    table = make_table(
        ("figure", "left"), ("value", "right"), ("confidence", "left"), ("source", "left"), ("note", "left")
    )
    for key, figure in figures.items():
        numbers = ",".join(str(sources.index(part) + 1) for part in figure.source.split("; "))
        table.add_row(key, _value(figure), figure.confidence, f"[{numbers}]", figure.note)
    console.print(table)
    console.print()
    for number, source in enumerate(sources, 1):
        console.print(f"[{number}] {source}")


def _value(figure: Figure) -> str:
    if figure.dimension == "count":
        return f"{figure.value:g}"
    return format_quantity(figure.value, figure.dimension, 4)


def _print_notes(console: Console, notes: Sequence[str]) -> None:
    if notes:
        console.print()
    for note in notes:
        console.print(f"Note: {note.strip()}")
