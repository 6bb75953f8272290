"""Which source a file is of, and the messages where it is of none or holds nothing usable."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.calibration.sources import FORMATS, SOURCES, read_measurements
from perfmodel.calibration.sources.columns import Texts
from perfmodel.calibration.sources.rows import device_finder, group_rows, sift
from perfmodel.calibration.unit_check import suspicious_units
from perfmodel.errors import InputError, UnknownNameError
from tests.calibration.files import COMMON, gemm_row, linear_row, table_row, write_csv, write_parquet

OTHERS = [
    {"OPName": "conv", "Latency": 1, "Device": "Tesla P4", "B": 2, "Input_Channel": 3, "Output_Channel": 8,
     "Kernel_Szie": 3, "Input_Size": 9, "Stride": 2, "Padding": 0},
    {"device": "Tesla T4", "model": "opt_13", "mode": "inf", "seqlen": 512, "batch": 16, "option": "", "e2e_ms": 200.0},
    COMMON | {"moe_dtype": "bfloat16", "num_tokens": 64, "hidden_size": 4096, "inter_size": 2048, "topk": 8,
              "num_experts": 256, "moe_tp_size": 2, "moe_ep_size": 4, "distribution": "power_law_1.2"},
    COMMON | {"attn_dtype": "bfloat16", "kv_cache_dtype": "fp8", "batch_size": 4, "isl": 1, "num_heads": 32,
              "num_key_value_heads": 8, "head_dim": 128, "step": 999, "window_size": 0},
    COMMON | {"mla_dtype": "bfloat16", "kv_cache_dtype": "bfloat16", "num_heads": 16, "batch_size": 4, "isl": 1,
              "step": 999},
    COMMON | {"op_name": "alltoall", "nccl_dtype": "half", "num_gpus": 8, "message_size": 1024},
    {"time_stats.mlp_up_proj.median": 0.5, "time_stats.emb.median": 0.1, "n_head": 64, "n_kv_head": 8, "n_embd": 8192,
     "n_expanded_embd": 28672, "use_gated_mlp": True, "num_tokens": 128, "num_tensor_parallel_workers": 4},
]  # fmt: skip


def test_every_format_is_recognised_by_its_own_columns() -> None:
    for known in FORMATS:
        needed = {*known.columns, *(names[0] for names in known.one_of)}
        fitting = [other for other in FORMATS if not other.missing(dict.fromkeys(needed))]  # type: ignore[arg-type]
        assert max(fitting, key=lambda other: len(other.columns)) is known
    assert SOURCES == (
        "neusight", "timm", "aiconfigurator", "vidur", "serving", "published", "table", "runs", "vllm-bench",
        "guidellm", "genai-perf", "llmperf",
    )  # fmt: skip


def test_files_of_several_sources_at_once(tmp_path: Path) -> None:
    paths = [
        write_csv(tmp_path / "gemm.csv", [gemm_row(), gemm_row(latency="nan")]),
        write_parquet(tmp_path / "gemm.parquet", [gemm_row()]),
        write_csv(tmp_path / "linear.csv", [linear_row(), linear_row(Latency=0)]),
        write_csv(tmp_path / "own.csv", [table_row()]),
    ]
    imported = read_measurements(paths)
    assert [rows.source for rows in imported.ops] == ["aiconfigurator", "aiconfigurator", "neusight", "table"]
    assert (imported.rows, imported.used) == (6, 4)
    assert imported.skipped == {"time is missing or not a number": 1, "time is zero": 1}


@pytest.mark.parametrize(
    ("time", "reason"),
    [("", "time is missing or not a number"), ("nan", "time is missing or not a number"),
     ("fast", "time is missing or not a number"), ("inf", "time is infinite"), (0, "time is zero"),
     (-1.0, "time is negative")],
)  # fmt: skip
@pytest.mark.parametrize("source", ["aiconfigurator", "neusight", "table"])
def test_times_that_are_no_times(tmp_path: Path, source: str, time: object, reason: str) -> None:
    rows = {
        "aiconfigurator": [gemm_row(), gemm_row(latency=time)],
        "neusight": [linear_row(), linear_row(Latency=time)],
        "table": [table_row(), table_row(milliseconds=time)],
    }[source]
    imported = read_measurements(write_csv(tmp_path / "a.csv", rows), source)
    assert imported.skipped == {reason: 1}
    assert [own.rows.tolist() for own in imported.ops] == [[1]]


def test_devices_outside_the_catalog_are_counted(tmp_path: Path) -> None:
    rows = [gemm_row(device="NVIDIA H900"), gemm_row(), gemm_row(device="NVIDIA H900"), gemm_row(device="NVIDIA H100")]
    imported = read_measurements(write_csv(tmp_path / "a.csv", rows))
    assert imported.skipped == {"unknown device NVIDIA H900": 2, "unknown device NVIDIA H100": 1}
    assert imported.used == 1


def test_devices_of_the_users_own_folder(tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "local.yaml").write_text(
        "id: local\nkind: gpu\nsource: test\npeaks: {matrix: {bf16: 100 TFLOP/s}}\n"
        "memory: {capacity: 10 GiB, bandwidth: 1 TB/s}\n"
    )
    path = write_csv(tmp_path / "own.csv", [table_row(hardware="local")])
    with pytest.raises(InputError, match="unknown device local"):
        read_measurements(path)
    assert read_measurements(path, specs=str(tmp_path / "specs")).ops[0].hardware == "local"


def test_a_device_that_looks_like_a_path(tmp_path: Path) -> None:
    rows = [gemm_row(), gemm_row(device="AMD Instinct MI250X / MI250"), gemm_row(device="../specs/x.yaml")]
    imported = read_measurements(write_csv(tmp_path / "a.csv", rows))
    assert sum(imported.skipped.values()) == 2


def test_mixed_devices_become_groups(tmp_path: Path) -> None:
    rows = [gemm_row(), gemm_row(device="NVIDIA L40S"), gemm_row(m=1)]
    imported = read_measurements(write_csv(tmp_path / "a.csv", rows))
    assert {(own.hardware, tuple(own.rows)) for own in imported.ops} == {("h100-sxm", (1, 3)), ("l40s", (2,))}


def test_a_file_without_any_usable_row_says_why(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [gemm_row(latency=0), gemm_row(device="X1"), gemm_row(gemm_dtype="int2")])
    with pytest.raises(InputError) as error:
        read_measurements(path)
    for said in ("none of its 3", "time is zero (1)", "unknown device X1 (1)", "unsupported gemm_dtype int2 (1)", path):
        assert said in str(error.value)


def test_missing_columns_are_all_named(tmp_path: Path) -> None:
    row = {name: value for name, value in gemm_row().items() if name not in ("m", "k")}
    path = write_csv(tmp_path / "a.csv", [row])
    with pytest.raises(InputError, match=r"Nearest is aiconfigurator \(gemm\), which also needs m, k\."):
        read_measurements(path)
    with pytest.raises(InputError, match="no aiconfigurator table: it lacks the columns m, k"):
        read_measurements(path, "aiconfigurator")


def test_a_file_of_no_source(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [{"arrived_at": 0.0, "num_prefill_tokens": 1}])
    with pytest.raises(InputError) as error:
        read_measurements(path)
    assert "arrived_at, num_prefill_tokens" in str(error.value)
    assert "neusight, timm, aiconfigurator, vidur, serving, published, table" in str(error.value)
    assert "Nearest" not in str(error.value)


def test_an_unknown_source(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="nearest: aiconfigurator"):
        read_measurements(write_csv(tmp_path / "a.csv", [gemm_row()]), "aiconfig")


def test_all_faulty_files_are_named_at_once(tmp_path: Path) -> None:
    good = write_csv(tmp_path / "a.csv", [gemm_row()])
    empty = tmp_path / "b.csv"
    empty.write_text("")
    with pytest.raises(InputError) as error:
        read_measurements([good, empty, tmp_path / "c.csv"])
    assert "b.csv is empty" in str(error.value)
    assert "c.csv cannot be read" in str(error.value)
    assert "a.csv" not in str(error.value)


def test_rows_cut_short_are_counted(tmp_path: Path) -> None:
    path = Path(write_csv(tmp_path / "a.csv", [gemm_row()]))
    path.write_text(path.read_text() + "VLLM,0.24.0\n")
    imported = read_measurements(path)
    assert (imported.rows, imported.used) == (2, 1)
    assert "without exactly 10 cells" in next(iter(imported.skipped))


def test_a_table_of_rows_cut_short(tmp_path: Path) -> None:
    for name, row in {"gemm": gemm_row(), "own": table_row(), "linear": linear_row()}.items():
        path = tmp_path / f"{name}.csv"
        path.write_text(",".join(row) + "\n1,2\n3\n")
        with pytest.raises(InputError, match="none of its 2 measured values can be used: a row without"):
            read_measurements(path)


JUNK = st.sampled_from(["", "nan", "inf", "-inf", "0", "-1", "0.5", "1e300", "x", "{}", "1e-300", "7", "yes", "\u00b5"])


@pytest.mark.parametrize("row", [gemm_row(), linear_row(), table_row(), *OTHERS], ids=lambda row: str(list(row)[-1]))
@given(data=st.data())
def test_whatever_stands_in_a_row_is_used_or_counted(row: dict[str, Any], data: st.DataObject) -> None:
    rows = [row] + [row | data.draw(st.dictionaries(st.sampled_from(list(row)), JUNK, max_size=3)) for _ in range(3)]
    with TemporaryDirectory() as folder:
        imported = read_measurements(write_csv(Path(folder) / "compute" / "a100" / "mlp.csv", rows))
    assert imported.rows == imported.used + sum(imported.skipped.values())
    assert imported.used >= 1
    for own in imported.ops:
        assert all(np.isfinite(values).all() for values in own.sizes.values())
        assert own.kind == "collective" or own.cost() is not None
    suspicious_units(imported)


def test_the_first_reason_counts() -> None:
    usable, skipped = sift(
        4, [(np.array([True, True, False, False]), "a"), (np.array([False, True, True, False]), "b")]
    )
    assert usable.tolist() == [False, False, False, True]
    assert skipped == {"a": 2, "b": 1}


def test_groups_of_no_rows() -> None:
    assert list(group_rows([Texts(np.zeros(2, dtype=int), ("a",))], np.zeros(2, dtype=bool))) == []


def test_only_whole_names_are_devices() -> None:
    find = device_finder()
    assert find("NVIDIA H100") is None
    assert find("h100") is None
    for name in ("NVIDIA H100 80GB HBM3", "h100_sxm5_80gb", "H100-SXM"):
        chip = find(name)
        assert chip is not None
        assert chip.id == "h100-sxm"
