"""What makes a step faster on paper never makes it slower here: bandwidth, peaks, links, fewer bytes, smaller batches.

Steps, not servers: in a closed loop users whose answers come sooner ask sooner, and wait longer for their prompts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from perfmodel import Layout, deploy, load_hardware, load_model
from perfmodel.serving.servers import server_of
from perfmodel.serving.step_table import Array, StepTable, step_seconds
from perfmodel.types import Hardware

FEW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.generate,))
MODEL = load_model("llama-3.2-1b")
CHIPS, ENGINES = st.sampled_from(["h100-sxm", "l40s", "l4", "mi300x"]), st.sampled_from(["vllm", "sglang", "llama-cpp"])
FACTORS = st.floats(1.0, 8.0)
EXACT = 1 + 1e-9  # of floats
# the kernel with the least time is taken: with a higher peak it may be one that does not split the summed dimension,
# whose second start a server under graphs would have paid a share of only; 0.9 % is the most that was seen
KERNELS_CHANGE = 1.015


def table_of(chip: Hardware | str, engine: str = "vllm", **changes: Any) -> StepTable:
    return server_of(deploy(MODEL, chip, engine=engine, **changes)).table


def steps(table: StepTable) -> Array:
    """Decode steps and steps with prompts, of many sizes."""
    random = np.random.default_rng(0)
    batch, context = np.round(np.geomspace(1, 512, 60)), random.uniform(32, 8000, 60)
    prompt = random.choice([0.0, 1.0], 60) * random.uniform(1, 4000, 60)
    return step_seconds(table, sequences=batch, context=context, prefill_tokens=prompt, prefill_context=prompt)


@FEW
@given(FACTORS, CHIPS, ENGINES)
def test_more_bandwidth(factor: float, name: str, engine: str) -> None:
    chip = load_hardware(name)
    more = replace(chip, memory_bandwidth_bytes_per_second=factor * chip.memory_bandwidth_bytes_per_second)
    assert np.all(steps(table_of(more, engine)) <= steps(table_of(chip, engine)) * EXACT)


@FEW
@given(FACTORS, CHIPS, ENGINES)
def test_more_peak(factor: float, name: str, engine: str) -> None:
    chip = load_hardware(name)
    more = replace(chip, peaks={key: factor * rate for key, rate in chip.peaks.items()})
    assert np.all(steps(table_of(more, engine)) <= steps(table_of(chip, engine)) * KERNELS_CHANGE)


@FEW
@given(FACTORS, st.sampled_from(["h100-sxm", "mi300x"]), st.sampled_from([2, 4]))
def test_faster_links(factor: float, name: str, tp: int) -> None:
    chip, layout = load_hardware(name), Layout(tensor=tp)
    more = replace(chip, link_bytes_per_second=factor * chip.link_bytes_per_second)
    assert np.all(steps(table_of(more, layout=layout)) <= steps(table_of(chip, layout=layout)) * EXACT)


@FEW
@given(CHIPS, ENGINES)
def test_fewer_bytes_of_cache(name: str, engine: str) -> None:
    narrow, wide = (steps(table_of(name, engine, cache_precision=cache)) for cache in ("fp8", "bf16"))
    assert np.all(narrow <= wide * EXACT)


@settings(FEW, max_examples=30)
@given(st.floats(1, 256), FACTORS, CHIPS, ENGINES, st.floats(32, 8000), st.floats(0, 4000))
def test_smaller_steps(batch: float, more: float, name: str, engine: str, context: float, prompt: float) -> None:
    table = table_of(name, engine)
    sizes = {"context": context, "prefill_tokens": prompt, "prefill_context": prompt}
    own = step_seconds(table, sequences=batch, **sizes)
    assert own <= step_seconds(table, sequences=batch * more, **sizes) * EXACT
    assert step_seconds(table, sequences=batch, **(sizes | {"context": context / more})) <= own * EXACT
    assert step_seconds(table, sequences=batch, **(sizes | {"prefill_tokens": prompt / more})) <= own * EXACT
