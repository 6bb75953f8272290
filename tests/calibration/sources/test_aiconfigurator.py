"""aiconfigurator tables: dtypes, shards, and what a benchmark uses again between two calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perfmodel.calibration.measurements import Imported, OpRows
from perfmodel.calibration.sources import read_measurements
from perfmodel.catalog import load_hardware
from tests.calibration.files import COMMON, gemm_row, write_csv


def read(tmp_path: Path, *rows: dict[str, Any]) -> Imported:
    return read_measurements(write_csv(tmp_path / "table.csv", rows), "aiconfigurator")


def only(tmp_path: Path, row: dict[str, Any]) -> OpRows:
    (rows,) = read(tmp_path, row).ops
    return rows


@pytest.mark.parametrize(
    ("dtype", "precision", "compute", "quantize", "bits"),
    [("bfloat16", "bf16", "bf16", False, 16), ("float16", "fp16", "fp16", False, 16), ("fp8", "fp8", "fp8", True, 8),
     ("fp8_block", "fp8_block", "fp8", True, 8 + 32 / 128**2), ("nvfp4", "nvfp4", "fp4", True, 4.5),
     ("int8_wo", "w8a16", "bf16", False, 8), ("int4_wo", "w4a16", "bf16", False, 4 + 20 / 128)],
)  # fmt: skip
def test_gemm_dtypes(tmp_path: Path, dtype: str, precision: str, compute: str, quantize: bool, bits: float) -> None:
    rows = only(tmp_path, gemm_row(gemm_dtype=dtype, n=1024, k=2048))
    assert (rows.kind, rows.precision, rows.flags["compute"], rows.flags["quantize_input"]) == (
        "linear", precision, compute, quantize,
    )  # fmt: skip
    assert rows.sizes["weight_bytes"][0] == pytest.approx(1024 * 2048 * bits / 8, rel=1e-3)
    assert rows.seconds.tolist() == [1.39e-3]
    assert (rows.engine, rows.version, rows.kernel) == ("vllm", "0.24.0", "torch.nn.functional.linear")


def test_what_a_scale_of_quantised_rows_holds_for(tmp_path: Path) -> None:
    """The collectors set layers up with scales given beforehand (vLLM), per row (SGLang), per tensor (TensorRT-LLM)."""
    found = {
        (engine, dtype): only(tmp_path, gemm_row(framework=engine, gemm_dtype=dtype)).flags["input_scale"]
        for engine in ("VLLM", "SGLang", "TRTLLM")
        for dtype in ("fp8", "fp8_block")
    }
    assert [found[engine, "fp8"] for engine in ("VLLM", "SGLang", "TRTLLM")] == ["static", "row", "tensor"]
    assert {found[engine, "fp8_block"] for engine in ("VLLM", "SGLang", "TRTLLM")} == {"block"}


def test_runtime_of_gemm(tmp_path: Path) -> None:
    runtimes = {
        (engine, version, dtype): only(tmp_path, gemm_row(framework=engine, version=version, gemm_dtype=dtype)).runtime
        for engine, version, dtype in (
            ("VLLM", "0.24.0", "bfloat16"), ("VLLM", "0.24.0", "fp8_block"), ("VLLM", "0.14.0", "fp8_block"),
            ("TRTLLM", "1.3.0rc20", "fp8_block"),
        )
    }  # fmt: skip
    assert [*runtimes.values()] == ["graphs", "eager", "graphs", "graphs"]


def test_what_a_gemm_benchmark_uses_again(tmp_path: Path) -> None:
    small = {"m": 8, "n": 512, "k": 512}
    weight, activations = 2 * 512 * 512, 2 * 8 * 1024
    resident = {
        engine: only(tmp_path, gemm_row(framework=engine, **small)).conditions
        for engine in ("VLLM", "SGLang", "TRTLLM")
    }
    assert resident["VLLM"]["resident_bytes"] == 6 * weight + activations
    assert resident["SGLang"]["resident_bytes"] == 6 * (weight + activations)
    assert resident["TRTLLM"]["weight_copies"] == 5  # of 0.5 MB in 50 MiB
    large = only(tmp_path, gemm_row(framework="TRTLLM", m=8, n=4096, k=4096)).conditions
    assert large["weight_copies"] == np.ceil(load_hardware("h100-sxm").l2_bytes / (2 * 4096**2)) == 2
    assert only(tmp_path, gemm_row(gemm_dtype="nvfp4", device="NVIDIA B200")).conditions["weight_copies"] == 1


def test_gemm_rows_that_cannot_be_used(tmp_path: Path) -> None:
    rows = [gemm_row(), gemm_row(gemm_dtype="int3"), gemm_row(m=0), gemm_row(n=""), gemm_row(k=-4)]
    assert read(tmp_path, *rows).skipped == {
        "unsupported gemm_dtype int3": 1, "m is below 1": 1, "n is missing or not a number": 1, "k is below 1": 1,
    }  # fmt: skip


def attention_row(**changes: Any) -> dict[str, Any]:
    sizes = {"op_name": "generation_attention", "attn_dtype": "bfloat16", "kv_cache_dtype": "bfloat16", "batch_size": 4,
             "isl": 1, "num_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "beam_width": 1, "step": 999,
             "window_size": 0}  # fmt: skip
    return COMMON | sizes | changes


def test_decode_attention(tmp_path: Path) -> None:
    rows = only(tmp_path, attention_row())
    assert {name: rows.sizes[name][0] for name in "bhkstcv"} == {
        "b": 4, "h": 32, "k": 8, "s": 1, "t": 1000, "c": 128, "v": 128,
    }  # fmt: skip
    cost = rows.cost()
    assert cost is not None
    assert cost.cache_bytes.tolist() == [4 * 1000 * 8 * 128 * 2 * 2]
    assert (rows.flags["causal"], rows.flags["cached"], rows.runtime) == (False, True, "graphs")
    half = only(tmp_path, attention_row(kv_cache_dtype="fp8")).cost()
    assert half is not None
    assert 2 * half.cache_bytes == cost.cache_bytes


def test_prefill_attention(tmp_path: Path) -> None:
    rows = only(tmp_path, attention_row(isl=1000, step=0, num_key_value_heads=0))
    cost = rows.cost()
    assert cost is not None
    assert cost.matrix_flops.tolist() == [2 * 4 * 32 * 1000**2 * 128]
    assert rows.sizes["k"].tolist() == [32]  # 0: as many as query heads
    assert rows.flags["causal"]
    assert rows.conditions["extra_bytes"] == 2 * 4 * 32 * 1000 * 128 * (2 + 2)


def test_windows_and_caches_are_groups_of_their_own(tmp_path: Path) -> None:
    imported = read(
        tmp_path, attention_row(), attention_row(window_size=128), attention_row(kv_cache_dtype="fp8"),
        attention_row(isl=64, step=0), attention_row(beam_width=4), attention_row(kv_cache_dtype="fp5"),
    )  # fmt: skip
    flags = {(rows.flags["windowed"], rows.flags["cache"], rows.flags["causal"]) for rows in imported.ops}
    assert flags == {(False, "bf16", False), (True, "bf16", False), (False, "fp8", False), (False, "bf16", True)}
    assert imported.skipped == {"beam search": 1, "unsupported kv_cache_dtype fp5": 1}


def test_kernels_that_turn_queries_to_fp8(tmp_path: Path) -> None:
    computes = [
        only(tmp_path, attention_row(kv_cache_dtype=cache, kernel_source=kernel)).flags["compute"]
        for cache, kernel in (("fp8", "torch_flow"), ("bfloat16", "torch_flow"), ("fp8", "triton"))
    ]
    assert computes == ["fp8", "bf16", "bf16"]


def test_kernels_that_mask_the_window_compute_all(tmp_path: Path) -> None:
    window = {"window_size": 128, "framework": "SGLang"}
    windowed = [
        only(tmp_path, attention_row(kernel_source=kernel, **window, **sizes)).flags["windowed"]
        for kernel in ("triton", "flashinfer", "flash_attention")
        for sizes in ({"isl": 1000, "step": 0}, {})
    ]
    assert windowed == [False, True, False, True, True, True]


def mla_row(**changes: Any) -> dict[str, Any]:
    sizes = {"op_name": "mla_generation", "mla_dtype": "bfloat16", "kv_cache_dtype": "bfloat16", "num_heads": 16,
             "batch_size": 4, "isl": 1, "tp_size": 8, "step": 999, "framework": "TRTLLM"}  # fmt: skip
    return COMMON | sizes | changes


def test_latent_attention(tmp_path: Path) -> None:
    decode, prefill = only(tmp_path, mla_row()), only(tmp_path, mla_row(isl=1000, step=0))
    names = ("h", "k", "c", "v", "stored_channels")
    assert [decode.sizes[name][0] for name in names] == [16, 1, 576, 512, 576]
    assert [prefill.sizes[name][0] for name in names] == [16, 16, 192, 128, 320]
    assert (decode.flags["cached"], prefill.flags["cached"]) == (True, False)
    assert (decode.runtime, "extra_flops" in decode.conditions) == ("graphs", False)
    vllm = only(tmp_path, mla_row(framework="VLLM", isl=1000, step=0))
    assert vllm.runtime == "eager"
    assert vllm.conditions["extra_flops"] == 2 * 4 * 1000 * 512 * 16 * 256


def test_latent_attention_with_its_projections(tmp_path: Path) -> None:
    module = {"gemm_type": "fp8_block", "model": "deepseek-ai/DeepSeek-V3", "architecture": "DeepseekV3ForCausalLM"}
    imported = read(
        tmp_path, mla_row(**module), mla_row(**module, isl=512, step=0), mla_row(**module | {"gemm_type": "x"})
    )
    decode, prefill = sorted(imported.measurements, key=lambda fact: fact.row)
    assert imported.skipped == {"unsupported gemm_type x": 1}
    assert (decode.part, decode.phase, decode.input_tokens, decode.precision) == (
        "attention",
        "decode",
        999,
        "fp8_block",
    )
    assert (prefill.phase, prefill.input_tokens, prefill.options["heads"]) == ("prefill", 512, "16")
    assert decode.subject == "deepseek-ai/DeepSeek-V3"


def moe_row(**changes: Any) -> dict[str, Any]:
    sizes = {"op_name": "moe", "moe_dtype": "bfloat16", "num_tokens": 64, "hidden_size": 4096, "inter_size": 2048,
             "topk": 8, "num_experts": 256, "moe_tp_size": 2, "moe_ep_size": 4,
             "distribution": "power_law_1.2"}  # fmt: skip
    return COMMON | sizes | changes


def test_experts_of_a_shard(tmp_path: Path) -> None:
    rows = only(tmp_path, moe_row())
    assert {name: rows.sizes[name][0] for name in "tdufek"} == {
        "t": 64, "d": 4096, "u": 2048, "f": 1024, "e": 64, "k": 2,
    }  # fmt: skip
    assert rows.sizes["weight_bytes"].tolist() == [64 * 3 * 4096 * 1024 * 2]
    assert (rows.conditions["power_law"], rows.conditions["expert_ranks"]) == (1.2, 4)
    assert only(tmp_path, moe_row(distribution="balanced")).conditions["power_law"] == 0
    shared = only(tmp_path, moe_row(topk=1, moe_ep_size=8))
    assert shared.sizes["k"].tolist() == [1 / 8]


def test_weights_that_are_unpacked_when_loaded(tmp_path: Path) -> None:
    packed = only(tmp_path, moe_row(moe_dtype="w4a16_mxfp4"))
    unpacked = only(tmp_path, moe_row(moe_dtype="w4a16_mxfp4", kernel_source="sglang_fused_moe_triton"))
    assert (packed.flags["weight"], unpacked.flags["weight"]) == ("mxfp4", "bf16")
    assert unpacked.sizes["weight_bytes"] == pytest.approx(packed.sizes["weight_bytes"] * 16 / 4.25)


def test_work_for_the_experts_of_other_ranks(tmp_path: Path) -> None:
    """SGLang's older collector computes pairs of other ranks too; Triton kernels write zeros for them."""
    shared = {"distribution": "balanced", "num_tokens": 1024}
    sglang = {"framework": "SGLang", "kernel_source": "sglang_fused_moe_triton"}
    clamped = only(tmp_path, moe_row(**shared, **sglang, version="0.5.10"))
    masked = only(tmp_path, moe_row(**shared, **sglang, version="0.5.14"))
    marlin = only(tmp_path, moe_row(**shared, kernel_source="vllm_x_marlin_marlinexperts"))
    others = 1024 * 8 - 1024 * 2  # 8 picks of each token, a fourth of them here
    assert clamped.conditions["extra_flops"] == pytest.approx(others * 2 * 4096 * 3 * 1024)
    assert masked.conditions["extra_bytes"] == pytest.approx(others * (2 * 2048 + 1024 + 2 * 4096) * 2)
    assert marlin.conditions["extra_bytes"] == pytest.approx(others * (2048 + 1024 + 4096) * 2)
    assert "extra_flops" not in masked.conditions
    alone = only(tmp_path, moe_row(**shared, **sglang, version="0.5.10", moe_ep_size=1))
    assert alone.conditions["extra_flops"] == 0
    assert "extra_bytes" not in only(tmp_path, moe_row(**shared, kernel_source="moe_torch_flow_cutlass")).conditions


@pytest.mark.parametrize(
    ("changes", "gates"),
    [({}, 2), ({"hidden_size": 2688, "inter_size": 1856}, 1), ({"hidden_size": 8192, "inter_size": 5120}, 1),
     ({"kernel_source": "moe_torch_flow_nongated"}, 1),
     ({"hidden_size": 2688, "inter_size": 1856, "version": "0.14.0"}, 2)],
)  # fmt: skip
def test_gates(tmp_path: Path, changes: dict[str, Any], gates: int) -> None:
    rows = only(tmp_path, moe_row(**changes))
    assert rows.sizes["u"] == gates * rows.sizes["f"]


@pytest.mark.parametrize(
    ("dtype", "compute", "quantize", "bits"),
    [
        ("w4a16_mxfp4", "bf16", False, 4.25),
        ("w4a8_mxfp4_mxfp8", "fp8", True, 4.25),
        ("int4_wo", "bf16", False, 4.15625),
    ],
)
def test_dtypes_of_experts(tmp_path: Path, dtype: str, compute: str, quantize: bool, bits: float) -> None:
    rows = only(tmp_path, moe_row(moe_dtype=dtype))
    assert (rows.flags["compute"], rows.flags["quantize_input"]) == (compute, quantize)
    assert rows.sizes["weight_bytes"] * 8 / rows.sizes["parameters"] == pytest.approx(bits)


def test_expert_rows_that_cannot_be_used(tmp_path: Path) -> None:
    rows = [moe_row(), moe_row(moe_ep_size=3), moe_row(moe_tp_size=3), moe_row(topk=300), moe_row(distribution="zipf")]
    rows.append(moe_row(moe_ep_size=0))
    assert read(tmp_path, *rows).skipped == {
        "num_experts is not a multiple of moe_ep_size": 1, "inter_size is not a multiple of moe_tp_size": 1,
        "topk is above num_experts": 1, "unknown distribution zipf": 1, "moe_ep_size is below 1": 1,
    }  # fmt: skip


def collective_row(**changes: Any) -> dict[str, Any]:
    own = {"op_name": "alltoall", "kernel_source": "NCCL", "nccl_dtype": "half", "num_gpus": 8, "message_size": 1024}
    return COMMON | own | changes


def test_collectives_count_elements(tmp_path: Path) -> None:
    half, byte, fp8 = (only(tmp_path, collective_row(nccl_dtype=dtype)) for dtype in ("half", "int8", "fp8"))
    assert fp8.sizes["bytes"].tolist() == [1024]
    assert half.sizes["bytes"].tolist() == [2048]
    assert byte.sizes["bytes"].tolist() == [1024]
    assert half.flags == {"operation": "all_to_all", "fabric": "NVLink4+NVSwitch3", "library": "nccl"}
    assert (half.kind, half.engine, half.runtime, half.sizes["devices"][0]) == ("collective", "nccl", "eager", 8)
    assert read(tmp_path, collective_row(), collective_row(op_name="gossip")).skipped == {
        "unknown collective gossip": 1
    }


def test_all_reduce_of_the_frameworks(tmp_path: Path) -> None:
    own = {"op_name": "all_reduce", "allreduce_dtype": "bfloat16", "num_gpus": 2, "message_size": 128}
    kernels = ("vLLM_custom_graph", "SGLang_CustomAllReduce_eager", "TRTLLM")
    imported = read(tmp_path, *(COMMON | own | {"kernel_source": kernel} for kernel in kernels))
    assert {rows.kernel: rows.runtime for rows in imported.ops} == dict(
        zip(kernels, ("graphs", "eager", "graphs"), strict=True)
    )
    assert {rows.flags["library"] for rows in imported.ops} == {"custom"}
    assert all(rows.sizes["bytes"][0] == 256 for rows in imported.ops)
