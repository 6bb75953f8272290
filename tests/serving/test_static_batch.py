"""Static batches: limits, monotonicity, stages, and the published figures of a few engines in round numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.layouts import Layout
from perfmodel.serving.deployments import accumulating, without_compute
from perfmodel.serving.engine_coefficients import PARAMETERS, STATIC_PARAMETERS, EngineCoefficients
from perfmodel.serving.engines import list_engines, load_engine
from perfmodel.serving.static_batch import (
    Batch,
    Traits,
    decode_parts,
    e2e_seconds,
    output_throughput,
    overlapped,
    staged,
)
from perfmodel.serving.static_deployments import (
    bandwidth_share,
    deploy_static,
    packed_weights,
    static_latencies,
    traits_of,
)
from perfmodel.serving.work import COMPUTE, MEMORY, TOKENS

EARLY = ("fastertransformer", "gpt-fast", "llama-cpp", "llama-cpp-2023", "mlc-llm", "trtllm-2023", "vllm-2023")


@pytest.mark.parametrize("engine", EARLY)
def test_engines_have_profiles_and_fits(engine: str) -> None:
    from perfmodel.serving.engine_files import load_engine_coefficients

    assert load_engine(engine).source
    assert load_engine_coefficients(engine).level == "engine"


def test_ids_and_aliases_are_told_apart() -> None:
    assert load_engine("llama.cpp").id == "llama-cpp"
    assert load_engine("gptfast").id == "gpt-fast"
    assert len({engine.id for engine in list_engines()}) == len(list_engines())


def test_neutral_values_change_nothing() -> None:
    names = {parameter.name for parameter in PARAMETERS}
    assert not names & {parameter.name for parameter in STATIC_PARAMETERS}
    parts = np.abs(np.random.default_rng(0).normal(size=(3, 4, 5)))
    classes = ("gemm.fp16", "gemm.fp16.w4", "attention.decode")
    traits = Traits(group=8.0, hbm=1.0, unpack=1e-3)
    assert np.array_equal(decode_parts(classes, parts, traits, EngineCoefficients()), parts)
    assert overlapped(2.0, 3.0, EngineCoefficients()) == 5.0


@given(st.floats(1e-6, 1.0), st.floats(1e-6, 1.0), st.floats(1.0, 6.0))
def test_overlap_lies_between_the_longer_part_and_the_sum(kernels: float, host: float, p: float) -> None:
    step = overlapped(kernels, host, EngineCoefficients(values={"host_overlap": p}))
    assert max(kernels, host) * (1 - 1e-9) <= step <= (kernels + host) * (1 + 1e-9)


@given(st.integers(1, 64), st.integers(1, 8))
def test_stages_never_slow_a_prompt_and_need_chunks(chunks: int, stages: int) -> None:
    assert 1 / stages <= staged(1.0, chunks, stages) <= 1
    assert staged(1.0, 1, stages) == 1


def test_factors_act_on_the_kernels_that_they_speak_of() -> None:
    parts = np.ones((3, 4, 1))
    classes = ("gemm.fp16", "gemm.fp16.w4", "attention.decode")
    values = {"vector_hbm": 0.5, "key_rereads": 0.25, "unpack_operations": 1e3}
    found = decode_parts(classes, parts, Traits(group=5.0, hbm=1.0, unpack=0.1), EngineCoefficients(values=values))
    assert found[:, MEMORY, 0] == pytest.approx([2.0, 100.0, 2.0], rel=1e-3)
    assert np.array_equal(found[:, COMPUTE], parts[:, COMPUTE])


def test_throughput_counts_all_sequences() -> None:
    batch = Batch(sequences=8.0, input_tokens=128.0, output_tokens=11.0)
    assert e2e_seconds(1.0, 0.1, batch) == pytest.approx(2.0)
    assert output_throughput(1.0, 0.1, batch) == pytest.approx(44.0)


def test_vector_kernels_do_not_wait_for_tiles() -> None:
    policy = load_engine("llama-cpp")
    deployed = deploy_static("llama-3-8b", "apple-m1-max", engine=policy)
    gemm = [place for place, name in enumerate(deployed.work.token.classes) if name.startswith("gemm")]
    compute = deployed.work.token.parts[gemm, COMPUTE].sum(axis=0)
    memory = deployed.work.token.parts[gemm, MEMORY].sum(axis=0)
    few = policy.vector_batch >= TOKENS
    assert (compute[few] < 0.01 * memory[few]).all()
    assert (compute[~few] > 0.1 * memory[~few]).all()


def test_geforce_adds_up_in_fp16_at_twice_the_rate() -> None:
    from perfmodel.catalog import load_hardware

    policy = load_engine("llama-cpp")
    for chip, ratio in (("rtx-3090", 2.0), ("rtx-a6000", 1.0)):
        hardware = load_hardware(chip)
        key = ("matrix", "fp16")
        assert accumulating(hardware, policy).peaks[key] / hardware.peaks[key] == pytest.approx(ratio, rel=0.01)
        assert without_compute(hardware).memory_bandwidth_bytes_per_second == hardware.memory_bandwidth_bytes_per_second


def test_check_bits_in_memory_cost_bandwidth() -> None:
    from perfmodel.catalog import load_hardware

    shares = {chip: bandwidth_share(load_hardware(chip)) for chip in ("rtx-3090", "a10g", "l40s", "rtx-4090")}
    assert shares["a10g"] < shares["rtx-3090"] == shares["l40s"] == 1 < shares["rtx-4090"]
    assert shares["a10g"] * shares["rtx-4090"] == pytest.approx(1)


def test_packed_weights_are_those_of_the_file() -> None:
    packed = deploy_static("llama-3-8b-q4_k_m", "rtx-3090", engine="llama-cpp")
    assert packed_weights(packed.model) == pytest.approx(7.5e9, rel=0.02)
    assert traits_of(packed).group == 4
    assert packed_weights(deploy_static("llama-3-8b", "rtx-3090", engine="llama-cpp").model) == 0


@settings(max_examples=20)
@given(st.integers(1, 64), st.integers(16, 4096), st.integers(2, 1024))
def test_more_work_takes_longer(sequences: int, prompt: int, output: int) -> None:
    deployed = deploy_static("llama-2-7b", "a100-sxm-80gb", engine="trtllm-2023", precision="fp16")
    found = static_latencies(
        deployed,
        sequences=np.array([sequences, sequences + 8, sequences, sequences]),
        input_tokens=np.array([prompt, prompt, prompt + 256, prompt]),
        output_tokens=np.array([output, output, output, output + 256]),
    )
    assert (np.diff(found.e2e_seconds[[0, 1]]) > 0).all()
    assert (found.e2e_seconds[1:] > found.e2e_seconds[0]).all()
    assert found.prefill_seconds[2] > found.prefill_seconds[0]
    assert found.decode_seconds[2] >= found.decode_seconds[0]


def test_decoding_through_stages_takes_what_one_device_takes() -> None:
    deployed = deploy_static("llama-3-8b-q4_k_m", "rtx-3090", engine="llama-cpp", layout=Layout(pipeline=4))
    one, four = (
        static_latencies(deployed, sequences=1, input_tokens=4096, output_tokens=128, stages=stages)
        for stages in (1, 4)
    )
    assert one.decode_seconds < four.decode_seconds < 1.1 * one.decode_seconds
    assert four.prefill_seconds < 0.7 * one.prefill_seconds


def test_single_stream_stays_above_the_bandwidth_bound() -> None:
    deployed = deploy_static("llama-3-8b-q4_k_m", "rtx-3090", engine="llama-cpp")
    decode = static_latencies(deployed, sequences=1, input_tokens=0, output_tokens=512).decode_seconds
    bound = 4.6e9 / deployed.hardware.memory_bandwidth_bytes_per_second
    assert bound < decode < 2.5 * bound
