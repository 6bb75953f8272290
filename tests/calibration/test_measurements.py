"""Groups of op rows and what files gave, put together."""

import numpy as np
import pytest

from perfmodel.calibration.measurements import Imported, Measurement, OpRows


def op_rows(kind: str = "linear", count: int = 3) -> OpRows:
    sizes = {name: np.full(count, 64.0) for name in ("m", "n", "k")} | {"weight_bytes": np.full(count, 8192.0)}
    return OpRows(
        source="test", file="a.csv", hardware="t4", engine="", version="", kernel="", runtime="graphs", kind=kind,
        precision="bf16", flags={"activation": "bf16", "output": "bf16", "compute": "bf16"}, sizes=sizes,
        seconds=np.arange(1.0, count + 1), rows=np.arange(1, count + 1),
        conditions={"resident_bytes": np.arange(count), "event_floor": 1.0},
    )  # fmt: skip


def fact() -> Measurement:
    return Measurement(
        source="test", file="b.csv", row=1, hardware="t4", runtime="eager", engine="", version="", subject="m",
        model="m", phase="forward", precision="fp32", batch=1, value_seconds=0.1,
    )  # fmt: skip


def test_cost_is_that_of_every_row() -> None:
    cost = op_rows().cost()
    assert cost is not None
    assert cost.matrix_flops.tolist() == [2 * 64**3] * 3
    assert op_rows(kind="gossip").cost() is None


@pytest.mark.parametrize("chosen", [np.array([2, 0]), np.array([True, False, True])])
def test_some_of_the_rows(chosen: np.ndarray) -> None:
    some = op_rows().take(chosen)
    assert len(some) == 2
    assert sorted(some.seconds.tolist()) == [1, 3]
    assert some.rows.tolist() == some.seconds.tolist()
    assert (some.conditions["resident_bytes"] + 1).tolist() == some.rows.tolist()
    assert some.conditions["event_floor"] == 1
    assert some.sizes["m"].shape == (2,)


def test_files_add_up() -> None:
    one = Imported(ops=(op_rows(),), skipped={"a": 2, "b": 1}, rows=6)
    two = Imported(measurements=(fact(),), skipped={"b": 4}, rows=5)
    both = one + two
    assert (both.used, both.rows, both.skipped) == (4, 11, {"a": 2, "b": 5})
    assert Imported() + one == one
