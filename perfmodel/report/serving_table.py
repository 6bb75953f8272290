"""Servers' predictions as tables. May import: serving, types, units, rich."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perfmodel.report.cost_words import UNKNOWN, cost_sentences, site_words
from perfmodel.report.formats import (
    format_bytes,
    format_in_flight,
    format_interval,
    format_number,
    format_seconds,
    format_share,
    join_words,
)
from perfmodel.report.prediction_table import make_table
from perfmodel.report.serving_document import ServedAnswer, served_notes

if TYPE_CHECKING:
    from rich.console import Console

    from perfmodel.serving.largest_load import LargestLoad
    from perfmodel.serving.latency_intervals import Latency
    from perfmodel.serving.prediction import ServingPrediction

_TITLES = {"ttft": "time to first token", "tpot": "time per output token", "e2e": "whole answer"}
_STANDING = {
    "datasheet": "tables of kernels and priors; no server of this engine was fitted",
    "family": "the engine was fitted on other models or chips",
    "device": "the engine was fitted with this model's architecture on this chip",
    "anchored": "runs of this deployment were given",
}
_ASKED = {
    "model": "{}", "hardware": "{}", "precision": "{}", "layout": "{}", "engine": "{}", "input_tokens": "{} tokens in",
    "output_tokens": "{} out", "draft_tokens": "{} drafted", "concurrency": "",
    "rate": "{:g} requests/s",
}  # fmt: skip
_PARTS = {"gemm": "linear layers", "experts": "experts", "attention": "attention", "collective": "links",
          "streaming": "norms and the like", "other": "other kernels", "host": "host"}  # fmt: skip


def print_served_answers(console: Console, answers: Sequence[ServedAnswer]) -> None:
    """One answer in detail, or a row for each."""
    if len(answers) == 1 and answers[0].prediction:
        _print_one(console, answers[0], answers[0].prediction)
    else:
        _print_rows(console, answers)
    for note in served_notes(answers):
        console.print(f"Note: {note}")


def _print_one(console: Console, answer: ServedAnswer, found: ServingPrediction) -> None:
    console.print(served_heading(answer), style="bold")
    console.print()
    table = make_table(("", "left"), ("mean", "right"), (f"{100 * found.level:g} % interval", "right"))
    for name, title in _TITLES.items():
        table.add_row(title, *_cells(found.latencies[name]))
    console.print(table)
    console.print()
    if answer.largest:
        console.print(largest_sentence(answer.largest, found.level))
    for sentence in _sentences(found):
        console.print(sentence)
    if answer.economics:
        for sentence in cost_sentences(answer.economics, found.deployment.hardware, found.devices):
            console.print(sentence)


def served_heading(answer: ServedAnswer) -> str:
    """What was asked, and the load; of an answer that there is."""
    found = answer.prediction
    assert found is not None
    deployment = found.deployment
    load = format_in_flight(found.concurrency) if found.concurrency else f"{found.rate:g} requests/s"
    return (
        f"{deployment.subject} on {_devices(answer)} {deployment.hardware.id}, {deployment.precision}, "
        f"{deployment.engine.name}, {load}, {found.input_tokens} tokens in, {found.output_tokens} out"
    )


def standing_sentence(found: ServingPrediction) -> str:
    """The level that the prediction stands on, and what it means."""
    return f"Level: {found.standing} ({_STANDING[found.standing]})."


def largest_sentence(found: LargestLoad, level: float) -> str:
    """`At most 60 users keep TPOT ≤ 50.0 ms: with one more, TPOT is 50.2 ms. ...`."""
    limits = {"ttft": found.objective.ttft_seconds, "tpot": found.objective.tpot_seconds}
    words = join_words([f"{name.upper()} ≤ {format_seconds(own)}" for name, own in limits.items() if own is not None])
    text = f"At most {found.users:,} users keep {words}"
    if found.limit and math.isfinite(found.beyond[found.limit]):
        text += f": with one more, {found.limit.upper()} is {format_seconds(found.beyond[found.limit])}"
    if not found.limit:
        text += ", the most that were looked at"
    sure = f"{found.sure:,} do" if found.sure else "not even one does"
    return f"{text}. At the slow ends of the {100 * level:g} % intervals {sure}."


def _sentences(found: ServingPrediction) -> list[str]:
    rates, parts = found.throughput, found.deployment.capacity.parts
    by_part = sorted(found.step_seconds.items(), key=lambda part: -part[1])
    total = sum(found.step_seconds.values()) or 1.0
    spent = ", ".join(f"{_PARTS[name]} {format_share(own / total)}" for name, own in by_part if own / total >= 0.005)
    verdict = "stable" if found.stable else "NOT stable"
    return [
        f"Throughput: {format_number(rates['requests'])} requests/s, {format_number(rates['output_tokens'])} output "
        f"tokens/s, {format_number(rates['output_tokens_per_gpu'])} per device. This load is {verdict}; at most "
        f"{format_number(found.highest_rate)} requests/s are sustained.",
        f"Requests: {_count(found.running)} run, {_count(found.waiting)} wait; at most {_count(found.capacity)} run at "
        "once.",
        f"Memory of each device: {format_bytes(parts['weights'])} weights, "
        f"{format_bytes(max(parts['cache'], 0.0))} for the cache, of {format_bytes(parts['memory'])}.",
        f"A decoding step: {format_seconds(total)}: {spent}.",
        standing_sentence(found),
        *([f"Fitted on {found.provenance}."] if found.provenance else []),
    ]


def _print_rows(console: Console, answers: Sequence[ServedAnswer]) -> None:
    varying = [
        name for name in _ASKED if len({str(each.asked.get(name, "")) for each in answers}) > 1 or name == "hardware"
    ]
    reasons = list(dict.fromkeys(each.error for each in answers if each.error))
    first = answers[0].asked
    said = [name for name in _ASKED if name not in varying and name in first and first[name] != 0]
    shared = [_ASKED[name].format(first[name]) or format_in_flight(first[name]) for name in said]
    console.print(", ".join(shared), style="bold")
    titles = {
        "hardware": "chip",
        "input_tokens": "in",
        "output_tokens": "out",
        "concurrency": "users",
        "draft_tokens": "drafts",
    }
    table = make_table(
        *((titles.get(name, name), "left") for name in varying),
        ("TTFT", "right"), ("interval", "right"), ("TPOT", "right"), ("interval", "right"),
        ("tokens/s", "right"), ("max req/s", "right"), ("USD/M", "right"), ("J/token", "right"),
        ("stable", "left"), ("level", "left"),
    )  # fmt: skip
    for each in answers:
        asked = [_plain(each.asked.get(name, "")) for name in varying]
        found = each.prediction
        if found is None:
            table.add_row(*asked, f"refused [{reasons.index(each.error) + 1}]")
            continue
        table.add_row(
            *asked,
            *_cells(found.latencies["ttft"]),
            *_cells(found.latencies["tpot"]),
            format_number(found.throughput["output_tokens"]),
            format_number(found.highest_rate),
            *(_amount(each, name) for name in ("usd_per_million_output_tokens", "joules_per_output_token")),
            "yes" if found.stable else "no",
            found.standing,
        )
    console.print(table)
    if sites := {each.economics.site: None for each in answers if each.economics}:
        console.print(f"\nUSD/M, J/token: per (million) output tokens; J of the chips. {site_words(next(iter(sites)))}")
    for number, reason in enumerate(reasons, 1):
        console.print(f"\n[{number}] {reason}")


def _amount(answer: ServedAnswer, name: str) -> str:
    value = getattr(answer.economics, name, None)
    return UNKNOWN if value is None else format_number(value)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cells(latency: Latency) -> tuple[str, str]:
    if not math.isfinite(latency.seconds):
        return "endless", ""
    return format_seconds(latency.seconds), format_interval(latency.low, latency.high, latency.seconds)


def _count(value: float) -> str:
    return "endlessly many" if not math.isfinite(value) else format_number(value)


def _devices(answer: ServedAnswer) -> str:
    layout, replicas = answer.asked["layout"], answer.asked["replicas"]
    return f"{replicas} x {layout.devices}" if replicas > 1 else str(layout.devices)
