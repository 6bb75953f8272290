"""The options of `perfmodel simulate`: the server, and what users ask of it.

May import: click.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

REQUESTS, INPUT_TOKENS, OUTPUT_TOKENS = 10_000, 512, 128
_COUNT = {"type": click.IntRange(min=1, max=10_000_000), "metavar": "N"}
_DEGREE = {"type": click.IntRange(min=1, max=4096), "metavar": "N"}
_ONE = {**_DEGREE, "default": 1}
_NUMBER = {"type": float, "metavar": "X"}
_SECONDS = {"metavar": "S"}

# option: its help, and what click wants to know
SERVER: dict[str, tuple[str, dict[str, Any]]] = {
    "hardware": ("The chip: an id of `perfmodel hardware list`, or a file.", {"required": True, "metavar": "H"}),
    "engine": ("vllm, sglang, trtllm, ..., or a file.", {"default": "vllm", "metavar": "E", "show_default": True}),
    "precision": ("bf16, fp8, w4a16, ... [default: the model's own]", {"metavar": "P"}),
    "cache-precision": ("Storage of the KV cache, e.g. fp8. [default: the precision's own]", {"metavar": "F"}),
    "tp": ("Devices that share every layer (tensor parallelism). [default: 1]", _ONE),
    "pp": ("Pipeline stages, each with a part of the layers. [default: 1]", _ONE),
    "ep": ("Devices that whole experts are spread over. [default: 1]", _ONE),
    "attention-dp": ("Groups of --tp devices with sequences of their own. [default: 1]", _ONE),
    "replicas": ("Servers alike, behind a router. [default: 1]", _ONE),
    "router": (
        "round-robin, random, least-loaded or prefix-aware.",
        {"default": "round-robin", "metavar": "R", "show_default": True},
    ),
    "max-sequences": ("Sequences that run at once at most. [default: the engine's]", _COUNT),
    "chunk-tokens": (
        "Tokens of a step at most; 0: prompts are never cut. [default: the engine's]",
        {"type": click.IntRange(min=0, max=1 << 24), "metavar": "N"},
    ),
    "cache-tokens": ("Tokens that the KV cache holds. [default: what memory leaves]", _COUNT),
    "draft-tokens": (
        "Speculative decoding: tokens drafted in each step. [default: 0]",
        {"type": click.IntRange(min=0, max=64), "default": 0, "metavar": "N"},
    ),
    "accepted": ("Tokens that a step with drafts makes of a sequence. [default: the engine's]", _NUMBER),
    "prefix-groups": ("Prompts begin alike in so many groups.", _COUNT),
    "prefix-tokens": ("Length of such a beginning.", _COUNT),
    "prefill-replicas": ("Replicas more, that only compute prompts and send caches to the others.", _DEGREE),
    "link": ("From each of them, e.g. '50 GB/s'.", {"metavar": "RATE"}),
}
LOAD: dict[str, tuple[str, dict[str, Any]]] = {
    "trace": ("Recorded requests: CSV or JSON lines with arrival, prompt and answer.", {"metavar": "FILE"}),
    "rate": ("Requests per second.", {**_NUMBER, "metavar": "R"}),
    "arrival": (
        "poisson, gamma, constant, on-off or closed. [default: poisson, or the trace's own times]",
        {"metavar": "NAME"},
    ),
    "burstiness": ("Of gamma arrivals: 1 is Poisson, below they cluster. [default: 1]", {**_NUMBER, "default": 1.0}),
    "on-time": ("Of on-off arrivals: length of a burst. [default: 10 s]", {**_SECONDS, "default": "10 s"}),
    "off-time": ("Of on-off arrivals: silence after a burst. [default: 10 s]", {**_SECONDS, "default": "10 s"}),
    "concurrency": ("A closed loop of so many users, who each wait for their answer.", _COUNT),
    "think-time": ("Of a user, between an answer and the next request. [default: 0 s]", {**_SECONDS, "default": "0 s"}),
    "input-tokens": (f"Mean length of prompts. [default: {INPUT_TOKENS}]", _COUNT),
    "output-tokens": (f"Mean length of answers. [default: {OUTPUT_TOKENS}]", _COUNT),
    "length-spread": ("Standard deviation of both over their means (lognormal). [default: 0]", _NUMBER),
    "requests": (f"How many. [default: {REQUESTS:,}, or the trace's]", _COUNT),
    "seed": (
        "The same seed draws the same requests.",
        {"type": click.IntRange(min=0, max=2**32 - 1), "default": 0, "metavar": "N", "show_default": True},
    ),
    "slo-ttft": ("Longest time to the first token of a good request, e.g. '500 ms'.", _SECONDS),
    "slo-tpot": ("Longest time of each further token, on the mean of its answer, e.g. '50 ms'.", _SECONDS),
}
DIMENSIONS = {  # of those with units
    "on_time": "seconds", "off_time": "seconds", "think_time": "seconds", "slo_ttft": "seconds", "slo_tpot": "seconds",
    "link": "bytes_per_second",
}  # fmt: skip


def simulation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options, in the order of --help."""
    for name, (text, settings) in reversed((SERVER | LOAD).items()):
        command = click.option(f"--{name}", help=text, **settings)(command)
    return command


def option_names(names: list[str]) -> str:
    """`--input-tokens, --length-spread`, of names as Python has them."""
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)
