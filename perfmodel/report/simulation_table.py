"""A simulation for people: percentiles in a table, and in words whether the server keeps up and what holds it back.

May import: serving, formats, prediction_table, rich. To add a sentence: a function that returns it, or "" where it does
not apply, and its name in `simulation_sentences`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from perfmodel.report.columns import NOTHING
from perfmodel.report.formats import format_interval, format_number, format_seconds, format_share, join_words
from perfmodel.report.prediction_table import make_table
from perfmodel.serving.simulation_result import (
    PERCENTILES,
    SimulationResult,
    good_requests,
    goodput,
    latencies,
    percentiles,
    throughput,
)

if TYPE_CHECKING:
    from rich.console import Console

    from perfmodel.serving.standing import MeanWidths

LATENCY_TITLES = {
    "ttft": "first token (TTFT)", "tpot": "further tokens (TPOT)", "itl": "gaps between tokens",
    "e2e": "whole request", "queue": "in the queue",
}  # fmt: skip
PERCENTILE_TITLES = {"mean": "mean"} | {
    name: f"p{percent:g}" for name, percent in PERCENTILES.items()
}  # p999 is read as 99.9
_STANDING = {
    "datasheet": "tables of kernels and priors; no server of this engine was fitted",
    "family": "the engine was fitted; how it missed models and chips left out",
}
TIGHT_CACHE = 0.9  # share of the KV blocks from which the cache is said to be full


def print_simulation(
    console: Console, result: SimulationResult, subject: Mapping[str, Any] | None = None,
    widths: MeanWidths | None = None,
) -> None:  # fmt: skip
    """Print what was simulated, the latencies, and what they mean.

    Args:
        subject, widths: as in `simulation_document`.
    """
    if subject:
        console.print(heading_of(subject), style="bold")
    console.print(load_sentence(result))
    console.print()
    table = make_table(("", "left"), *((title, "right") for title in PERCENTILE_TITLES.values()))
    for name, title in LATENCY_TITLES.items():
        found = percentiles(result, name)
        table.add_row(title, *(format_seconds(found[key]) if found else NOTHING for key in PERCENTILE_TITLES))
    console.print(table)
    console.print()
    for sentence in simulation_sentences(result):
        console.print(sentence)
    if widths:
        console.print(_intervals(result, widths))
    if result.notes:
        console.print()
    for note in dict.fromkeys(result.notes):
        console.print(f"Note: {note}")


def heading_of(subject: Mapping[str, Any]) -> str:
    """`llama-3.1-8b on h100-sxm, bf16, vllm, tp1, 2 replicas, least-loaded`."""
    replicas = subject["replicas"]
    count = f"{replicas['decode']} replica{'s' if replicas['decode'] > 1 else ''}"
    if replicas["prompts"]:
        count = f"{replicas['prompts']} for prompts and {replicas['decode']} to decode"
    router = [subject["router"]] if sum(replicas.values()) > 1 else []
    parts = [subject["precision"], subject["engine"], subject["layout"], count, *router]
    return f"{subject['model']} on {subject['hardware']}, {', '.join(parts)}"


def load_sentence(result: SimulationResult) -> str:
    """What came, in words."""
    inputs, outputs = float(result.input_tokens.mean()), float(result.output_tokens.mean())
    return (
        f"{len(result):,} requests ({result.workload}), on the mean {inputs:,.0f} tokens in and "
        f"{outputs:,.0f} out, in {_duration(result.wall_seconds)}"
    )


def simulation_sentences(result: SimulationResult) -> tuple[str, ...]:
    """Whether the server keeps up, how full it is, what objectives are kept."""
    sentences = (_rates(result), _verdict(result), _occupation(result), _preemptions(result), _objective(result))
    return tuple(sentence for sentence in sentences if sentence)


def _intervals(result: SimulationResult, widths: MeanWidths) -> str:
    """`80 % intervals of the means: TTFT 150 ms (100–220), TPOT 20.0 ms (17–24). Level: family (...).`"""
    texts = []
    for metric in widths.widths:
        if found := percentiles(result, metric):
            mean = found["mean"]
            texts.append(
                f"{metric.upper()} {format_seconds(mean)} ({format_interval(*widths.interval(metric, mean), mean)})"
            )
    level = f"Level: {widths.standing} ({_STANDING[widths.standing]})"
    return f"{100 * widths.share:g} % intervals of the means: {', '.join(texts)}. {level}."


def _rates(result: SimulationResult) -> str:
    rates = throughput(result)
    return (
        f"{format_number(rates['requests'])} requests/s: {format_number(rates['input_tokens'])} tokens/s in, "
        f"{format_number(rates['output_tokens'])} out."
    )


def _verdict(result: SimulationResult) -> str:
    most = f"{format_number(result.capacity_per_second)} requests/s"
    if math.isinf(result.utilisation):
        return f"All requests come at once; with always some waiting it answers {most}."
    share = format_share(result.utilisation)
    if not result.stable:
        return f"It does NOT keep up: requests come at {share} of the {most} that it can answer, and the queue grows."
    return f"It keeps up: this is {share} of the {most} that it answers while there are always some waiting."


def _occupation(result: SimulationResult) -> str:
    words = (
        f"On the mean {format_number(result.running_mean)} requests run, and replicas compute "
        f"{format_share(result.busy)} of the time; the KV cache is {format_share(result.cache_mean)} full, "
        f"{format_share(result.cache_max)} at most"
    )
    return f"{words}."


def _preemptions(result: SimulationResult) -> str:
    if result.preemptions:
        return (
            f"{result.preemptions:,} times a request lost its cache to older ones and was computed again: "
            "the KV cache is too small for this load."
        )
    if result.cache_max >= TIGHT_CACHE and result.timeline.waiting.max() > 0:
        return "Requests wait for room in the KV cache."
    return ""


def _objective(result: SimulationResult) -> str:
    found = goodput(result)
    if found is None:
        return ""
    limits = {"TTFT": result.objective.ttft_seconds, "TPOT": result.objective.tpot_seconds}
    words = join_words([f"{name} ≤ {format_seconds(limit)}" for name, limit in limits.items() if limit is not None])
    if not good_requests(result).any():
        return f"No request keeps {words}. {_nearest(result)}"
    return (
        f"{format_share(found['share'])} of the requests keep {words}: {format_number(found['requests'])} good "
        "requests/s."
    )


def _nearest(result: SimulationResult) -> str:
    best = [f"the fastest first token takes {format_seconds(float(latencies(result, 'ttft').min()))}"]
    tpot = latencies(result, "tpot")
    if len(tpot):
        best.append(f"the fastest further token {format_seconds(float(tpot.min()))}")
    return f"{join_words(best).capitalize()}."


def _duration(seconds: float) -> str:
    """Seconds up to two minutes, then minutes, hours or days."""
    for unit, scale in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * scale:
            return f"{format_number(seconds / scale)} {unit}"
    return format_seconds(seconds)
