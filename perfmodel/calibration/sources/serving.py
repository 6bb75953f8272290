"""Load tests of LLM servers in one tidy table: a run of a closed loop per row, mean TTFT and TPOT in ms.

    model,hardware,engine,engine_version,weight_precision,input_tokens,output_tokens,concurrency,tp,...,ttft_ms,tpot_ms

`concurrency` is of the whole replica. Columns that may be missing: `engine_version`, `date`, `gemm_precision`,
`moe_precision` and `kv_precision` (labels), `attention_dp`, `pp`, `moe_tp`, `moe_ep` (1, and 0 counts as 1),
`speculative` (0 or 1), and `suspect`: a row with a text in it is left out for that reason.
Dense models have `moe_tp` and `moe_ep` of 1 whatever their layout.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perfmodel.calibration.measurements import Array, Imported
from perfmodel.calibration.serving_rows import ServingRows
from perfmodel.calibration.sources.columns import Columns, Texts
from perfmodel.calibration.sources.model_names import WEIGHTS, FindModel
from perfmodel.calibration.sources.rows import (
    Check,
    FindDevice,
    device_checks,
    group_rows,
    known_checks,
    marked,
    sift,
    size_checks,
)
from perfmodel.layouts import Layout
from perfmodel.types import Hardware

NAME = "serving"
HARNESS = "silicon_e2e"
MILLISECONDS = 1e-3
COLUMNS = (
    "model", "hardware", "engine", "weight_precision", "input_tokens", "output_tokens", "concurrency", "tp", "ttft_ms",
    "tpot_ms",
)  # fmt: skip
LAYOUT = ("tp", "attention_dp", "pp", "moe_tp", "moe_ep")
# devices of a chip's system that the source's name leaves out of ours
DEVICES = {"a100_sxm": "a100-sxm-80gb", "b60": "arc-pro-b60", "rtx_pro_6000": "rtx-pro-6000-server"}
_DEPLOYMENT = (
    "model", "hardware", "engine", "engine_version", "weight_precision", "gemm_precision", "moe_precision",
    "kv_precision",
)  # fmt: skip


def read_serving(table: Columns, find: FindDevice, find_model: FindModel) -> Imported:
    """Runs of servers, in groups of one deployment each."""

    def find_chip(name: str) -> Hardware | None:
        return find(DEVICES.get(name, name))

    precision, model = table.texts("weight_precision"), table.texts("model")
    times = {name: table.numbers(name) * MILLISECONDS for name in ("ttft_ms", "tpot_ms")}
    sizes = {name: table.numbers(name) for name in ("input_tokens", "output_tokens", "concurrency")}
    layout_codes, layouts = _layouts(table)
    speculative = _filled(table, "speculative", 0.0)
    checks = [
        *known_checks(table.texts("suspect"), lambda text: not text, "suspect: {}"),
        *_metric_checks(times),
        *size_checks(sizes),
        *device_checks(table.texts("hardware"), find_chip),
        *known_checks(model, lambda text: find_model(text, ""), "unknown model {}"),
        *known_checks(precision, lambda text: not text or text.lower() in WEIGHTS, "unknown weight_precision {}"),
        *((layout_codes == code, said) for code, said in enumerate(layouts) if isinstance(said, str)),
        (~np.isin(speculative, (0.0, 1.0)), "speculative is neither 0 nor 1"),
    ]
    usable, skipped = sift(len(table), checks)
    keys = [*(table.texts(name) for name in _DEPLOYMENT), marked(speculative == 1.0)]
    keys.append(Texts(layout_codes, tuple(map(str, range(len(layouts))))))
    groups = []
    for key, chosen in group_rows(keys, usable):
        chip, layout = find_chip(key[1]), layouts[int(key[-1])]
        deployed = find_model(key[0], WEIGHTS.get(key[4].lower(), ""))
        assert chip is not None  # the others were sifted out
        assert deployed is not None
        assert isinstance(layout, Layout)
        groups.append(_group(table, key, chip.id, deployed, layout, sizes | times, chosen))
    return Imported(serving=tuple(groups), skipped=skipped, rows=len(table))


def _group(
    table: Columns,
    key: tuple[str, ...],
    hardware: str,
    deployed: tuple[str, str],
    layout: Layout,
    numbers: Mapping[str, Array],
    chosen: Array,
) -> ServingRows:
    subject, _, engine, version, _, gemm, experts, cache, speculative, _ = key
    dates = table.texts("date")
    unknown = np.full(len(chosen), np.nan)
    return ServingRows(
        source=NAME,
        file=table.path,
        harness=HARNESS,
        hardware=hardware,
        engine=engine,
        version=version,
        subject=subject,
        model=deployed[0],
        precision=deployed[1],
        gemm_precision=gemm,
        moe_precision=experts,
        cache_precision=cache,
        layout=layout,
        speculative=bool(speculative),
        rows=table.rows[chosen],
        input_tokens=numbers["input_tokens"][chosen],
        output_tokens=numbers["output_tokens"][chosen],
        concurrency=numbers["concurrency"][chosen],
        rate=unknown,
        requests=np.zeros(len(chosen)),
        ttft_seconds=numbers["ttft_ms"][chosen],
        tpot_seconds=numbers["tpot_ms"][chosen],
        e2e_seconds=unknown,
        output_throughput=unknown,
        dates=np.array(dates.values)[dates.codes[chosen]],
    )


def _metric_checks(times: Mapping[str, Array]) -> list[Check]:
    """At least one time of a run must be there, and those that are must be positive numbers."""
    checks: list[Check] = [(np.all([np.isnan(own) for own in times.values()], axis=0), "neither TTFT nor TPOT")]
    for name, seconds in times.items():
        checks += [(np.isinf(seconds), f"{name} is infinite"), (seconds <= 0, f"{name} is not positive")]
    return checks


def _layouts(table: Columns) -> tuple[Array, list[Layout | str]]:
    """(for each row a place in the list, layouts or what is wrong with them)."""
    columns = np.stack([table.numbers("tp"), *(_filled(table, name, 1.0) for name in LAYOUT[1:])], axis=1)
    distinct, codes = np.unique(columns, axis=0, return_inverse=True)
    return codes.reshape(-1), [_layout(*numbers) for numbers in distinct.tolist()]


def _layout(tensor: float, data: float, pipeline: float, expert_tensor: float, expert: float) -> Layout | str:
    degrees = [tensor, *(degree or 1.0 for degree in (data, pipeline, expert_tensor, expert))]  # 0: not set
    if not all(degree >= 1 and degree.is_integer() for degree in degrees):
        return "a degree of parallelism is no whole number"
    tensor, data, pipeline, expert_tensor, expert = degrees
    if expert_tensor * expert not in (1, tensor * data):
        return "degrees of experts' parallelism do not make the devices of attention's"
    return Layout(tensor=int(tensor), attention_data=int(data), pipeline=int(pipeline), expert=int(expert))


def _filled(table: Columns, name: str, default: float) -> Array:
    """A column with a default for empty cells."""
    numbers = table.numbers(name, default)
    texts = table.texts(name)
    empty = np.array([not value for value in texts.values], dtype=bool)[texts.codes]
    return np.where(empty, default, numbers)
