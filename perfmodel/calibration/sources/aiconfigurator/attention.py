"""Prefill and decode attention of one device's heads."""

from __future__ import annotations

import numpy as np

from perfmodel.calibration.measurements import Imported, OpRows
from perfmodel.calibration.shapes import attention_arguments
from perfmodel.calibration.sources.aiconfigurator.groups import (
    COMMON_COLUMNS,
    DTYPES,
    Group,
    import_groups,
    sizes_of,
    with_resident,
)
from perfmodel.calibration.sources.columns import Columns
from perfmodel.calibration.sources.rows import FindDevice, known_checks, marked, size_checks
from perfmodel.precisions import element_bytes

ATTENTION_COLUMNS = (
    *COMMON_COLUMNS, "attn_dtype", "kv_cache_dtype", "batch_size", "isl", "step", "num_heads", "num_key_value_heads",
    "head_dim",
)  # fmt: skip
# kernels that turn queries to fp8 when the cache is, whatever attn_dtype says: prefill is faster than 16 bits allow
FP8_QUERY_KERNELS = {
    "torch_flow", "torch_flow_flashinfer", "vllm_flash_attn_fa3", "vllm_flashinfer_trtllmprefill",
    "vllm_flashinfer_trtllmdecode",
}  # fmt: skip
# SGLang's kernels of prompts that compute what lies outside the window and mask it: they are no faster with a window
MASKING_KERNELS = {"triton", "flashinfer"}


def read_attention(table: Columns, find: FindDevice) -> Imported:
    """Prefill and decode attention."""
    sizes = sizes_of(table, "batch_size", "isl", "num_heads", "head_dim")
    step = table.numbers("step")
    window, kv_heads = table.numbers("window_size", 0), table.numbers("num_key_value_heads")
    cache = table.texts("kv_cache_dtype")
    checks = [
        *size_checks(sizes),
        *size_checks({"step": step, "window_size": window, "num_key_value_heads": kv_heads}, at_least=0),
        *known_checks(cache, DTYPES.__contains__, "unsupported kv_cache_dtype {}"),
        ((table.numbers("beam_width", 1) > 1), "beam search"),
    ]
    return import_groups(table, find, "attn_dtype", checks, _attention, [cache, marked(window > 0), marked(step == 0)])


def _attention(group: Group) -> OpRows:
    cache_name, windowed, prefill = group.more
    cache, names = DTYPES[cache_name].weight, {"b": "batch_size", "h": "num_heads", "s": "isl", "c": "head_dim"}
    columns = group.sizes(names)
    given = group.sizes({"k": "num_key_value_heads", "step": "step"})
    columns["k"] = np.where(given["k"] > 0, given["k"], columns["h"])
    columns["t"] = columns["s"] + given["step"]
    columns["window"] = group.table.numbers("window_size", 0)[group.chosen]
    masks = bool(prefill) and group.engine == "sglang" and group.kernel in MASKING_KERNELS
    fp8_query = cache == "fp8" and group.kernel in FP8_QUERY_KERNELS
    arguments = attention_arguments(
        columns,
        windowed=bool(windowed) and not masks,
        causal=bool(prefill),
        cached=True,
        activation=group.dtype.activation,
        cache=cache,
        compute="fp8" if fp8_query else group.dtype.compute,
    )
    # new keys and values are read and written to the cache inside the time
    new_rows = 2 * columns["b"] * columns["k"] * columns["s"] * columns["c"]
    extra_bytes = new_rows * (element_bytes(group.dtype.activation) + element_bytes(cache))
    rows = group.op_rows("attention", arguments, runtime="graphs", conditions={"extra_bytes": extra_bytes})
    return with_resident(rows)
