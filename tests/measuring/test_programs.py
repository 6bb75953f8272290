"""The suite: every program runs, and is what the tracer says it is."""

from __future__ import annotations

from collections import Counter

import pytest

torch = pytest.importorskip("torch")

from perfmodel.calibration.starting import starting_device  # noqa: E402
from perfmodel.catalog import load_hardware  # noqa: E402
from perfmodel.costs import is_modelled  # noqa: E402
from perfmodel.errors import InputError, UnknownNameError, UnsupportedError  # noqa: E402
from perfmodel.graphs.torch_module import trace_module  # noqa: E402
from perfmodel.kernels.framework_classes import COMPUTING, MOVING, STREAMING  # noqa: E402
from perfmodel.measuring.program_parts import without_content  # noqa: E402
from perfmodel.measuring.programs import (  # noqa: E402
    DTYPES,
    Footprints,
    TimedProgram,
    suite_programs,
    torch_dtype,
)
from perfmodel.measuring.suite_runner import measuring_mode, quantized  # noqa: E402
from perfmodel.program import compile_graph  # noqa: E402

pytestmark = pytest.mark.torch
SMALL_CACHE = 1 << 20  # so that "cold" programs are as small as they get
MIB = 1 << 20


def every(step: int, dtype: str) -> list[TimedProgram]:
    """Some programs of all kinds, the ones that take long to build left out."""
    return [program for program in suite_programs("full", dtype, SMALL_CACHE) if "cold" not in program.name][::step]


@pytest.mark.parametrize("dtype", DTYPES)
def test_programs_have_names_of_their_own_and_all_groups(dtype: str) -> None:
    quick, full = (suite_programs(suite, dtype, SMALL_CACHE) for suite in ("quick", "full"))
    names = {program.name for program in full}
    assert len(names) == len(full)
    assert {program.name for program in quick} < names
    groups = Counter(program.group for program in quick)
    if dtype == "int8":
        assert all(program.quantized for program in full)
        return
    assert 300 <= len(quick) <= 480
    assert groups.keys() == {"single", "interleaved", "block", "deep"}
    assert groups["deep"] == 14
    assert 35 <= groups["block"] <= 60


@pytest.mark.parametrize(("dtype", "step"), [("fp32", 13), ("bf16", 23), ("int8", 7)])
def test_programs_run_and_are_traced_whole(dtype: str, step: int) -> None:
    with measuring_mode():
        for program in every(step, dtype):
            module, inputs = program.make(torch_dtype(dtype))
            model = trace_module(module, inputs, name=program.name, source=program.name, symbolic=False)
            unknown = {op.kind for op in model.phases["forward"].ops if not is_modelled(op)}
            assert not unknown, program.name
            assert model.notes == (), program.name
            result = (quantized(module) if program.quantized else module)(*inputs)
            tensors = result if isinstance(result, tuple) else (result,)
            for tensor in tensors:
                if isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
                    assert torch.isfinite(tensor).all(), program.name


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("24 attention", 60, 100), ("16 basic residual", 40, 80), ("16 inverted residual 1x104", 10, 30)],
)
def test_deep_programs_have_the_footprint_of_a_model(name: str, least: float, most: float) -> None:
    (program,) = suite_programs("quick", "fp32", SMALL_CACHE, f"^deep {name}")
    module, _ = program.make(torch.float32)
    assert least < sum(weight.numel() * 4 for weight in module.parameters()) / MIB < most


def test_cold_weights_exceed_the_cache_and_others_do_not() -> None:
    for llc_bytes in (8 * MIB, 32 * MIB, 300 * MIB):
        footprints = Footprints(llc_bytes)
        for weight in (2 * MIB, 10 * MIB):
            assert footprints.copies(weight, "cold") * weight > 1.5 * llc_bytes
            assert weight * footprints.copies(weight, "llc") < max(llc_bytes, 2 * weight + 1)
        assert footprints.copies(2 * MIB, "cold") * 2 * MIB < 700 * MIB
    (program,) = suite_programs("quick", "fp32", 32 * MIB, "linear 1x2048 to 2048 cold")
    module, _ = program.make(torch.float32)
    assert sum(weight.numel() * 4 for weight in module.parameters()) > 96 * MIB


def test_copies_of_a_layer_have_weights_of_their_own() -> None:
    (program,) = suite_programs("quick", "fp32", SMALL_CACHE, "linear 16x512 to 2048 llc")
    module, _ = program.make(torch.float32)
    addresses = [layer.weight.data_ptr() for layer in module.layers]
    assert len(set(addresses)) == len(addresses) >= 2


def test_interleaved_programs_rewrite_the_caches_before_every_op() -> None:
    (program,) = suite_programs("quick", "fp32", SMALL_CACHE, "interleaved linear 1x512 to 512")
    module, inputs = program.make(torch.float32)
    assert inputs[0].numel() * 4 == 4_000_000
    ops = trace_module(module, inputs, name="x", source="x", symbolic=False).phases["forward"].ops
    assert [(op.kind, op.repeat) for op in ops] == [("pointwise", 4), ("linear", 4)]


def test_a_pattern_chooses_by_group_and_name() -> None:
    chosen = suite_programs("quick", "bf16", SMALL_CACHE, "^deep .*decode|gru")
    assert Counter(program.group for program in chosen) == {"deep": 2, "single": 2}


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown suite 'fast'"):
        suite_programs("fast", "fp32", SMALL_CACHE)
    with pytest.raises(UnsupportedError, match="fp8"):
        suite_programs("quick", "fp8", SMALL_CACHE)
    with pytest.raises(InputError, match="no program of the suite matches"):
        suite_programs("quick", "fp32", SMALL_CACHE, "nothing like it")
    with pytest.raises(InputError, match="no regular expression"):
        suite_programs("quick", "fp32", SMALL_CACHE, "[")


# ------------------------------------------------------------------------------------------------ on a GPU


def test_the_suite_of_a_gpu_is_chains_blocks_and_what_keeps_it_busy() -> None:
    quick, full = (suite_programs(suite, "tf32", 50 * MIB, device="cuda") for suite in ("quick", "full"))
    names = {program.name for program in quick}
    assert names < {program.name for program in full}
    groups = Counter(program.group for program in quick)
    assert groups.keys() == {"single", "block", "deep"}
    assert 200 <= len(quick) <= 300
    assert "chain of relu" in names
    assert not names & {"chain of arange and add", "chain of full and add"}  # those make tensors on the CPU
    assert not any("lstm" in name or "gru" in name for name in names)  # timed step by step, and not fitted
    with pytest.raises(UnsupportedError, match="no programs for 'int8'; the suite has fp32, tf32, fp16, bf16 on cuda"):
        suite_programs("quick", "int8", 50 * MIB, device="cuda")
    with pytest.raises(UnsupportedError, match="no programs for 'tf32'"):
        suite_programs("quick", "tf32", 50 * MIB)


def test_programs_of_a_gpu_fit_into_a_small_one_and_are_traced_whole() -> None:
    with measuring_mode(), without_content():
        for program in suite_programs("full", "fp32", 50 * MIB, device="cuda")[::4]:
            module, inputs = program.make(torch.float32)
            held = sum(tensor.numel() * tensor.element_size() for tensor in (*module.parameters(), *inputs))
            assert held < 2 << 30, program.name
            model = trace_module(module, inputs, name=program.name, source=program.name, symbolic=False)
            assert all(is_modelled(op) for op in model.phases["forward"].ops), program.name


def test_every_class_of_a_gpus_form_has_programs() -> None:
    """But for what eager code of one dtype never runs, or a module seldom does."""
    seen: set[str] = set()
    chip = load_hardware("h100-sxm")
    start = starting_device(chip, "eager", "fp16")
    with measuring_mode(), without_content():
        for program in suite_programs("quick", "fp16", 50 * MIB, device="cuda"):
            module, inputs = program.make(torch.float16)
            graph = trace_module(module, inputs, name="p", source="p", symbolic=False).phases["forward"]
            for group in compile_graph(graph, start).groups:
                assert group.scope == "framework.gpu.eager.fp16", program.name
                seen |= {name for own in group.classes for name in (own.memory, own.compute)}
    assert {*STREAMING, *MOVING, *COMPUTING} - seen <= {"weight_cast", "plain_attention", "masked_attention"}
