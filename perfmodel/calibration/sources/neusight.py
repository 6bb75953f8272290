"""NeuSight (sitar-lab/NeuSight): fp32 op times on NVIDIA and AMD GPUs, and times of whole transformers.

Ops: eager PyTorch, 25 runs between two CUDA events each, mean of the 5 fastest; the inputs stay the same, so that what
fits into the L2 is read from there. The summed dimension of `bmm` and `linear` is N: [B, M, N] x [B, N, K].
Whole models: the same rule, but the caching allocator is emptied before every run, which slows short ones.

    bmm, linear, conv, elem, ln, softmax .csv     OPName, Latency, Device and the sizes of the op
    op_labels.csv                                 device, mode, op_name, fw_ops, input_shapes, fw_ms, ...
    e2e_labels.csv                                device, model, mode, seqlen, batch, option, e2e_ms, ...
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from perfmodel.calibration.measurements import Array, Imported, Measurement, OpRows
from perfmodel.calibration.shapes import Arguments, op_arguments, w, x
from perfmodel.calibration.sources.columns import Columns, Texts
from perfmodel.calibration.sources.rows import (
    Check,
    FindDevice,
    device_checks,
    group_rows,
    known_checks,
    sift,
    size_checks,
    time_checks,
)
from perfmodel.outside_files import is_file, parse_json

NAME = "neusight"
PRECISION = "fp32"  # TF32 is off
SECONDS = 1e-3  # times are milliseconds
OP_COLUMNS = ("OPName", "Latency", "Device", "B")
LABEL_COLUMNS = ("device", "model", "mode", "seqlen", "batch", "option", "e2e_ms")
TRACED_COLUMNS = ("device", "mode", "op_name", "fw_ops", "input_shapes", "fw_ms")
_TRACED = ("mode", "op_name", "fw_ops", "input_shapes")
_DESCRIBED = re.compile(r"\[\['\w+', \((\d+(?:, \d+)+)\)\]\]")
BEST_SHARE = 5 / 25
# how long the host works on a call, against the cheapest: the smallest rows of each op, whose ratio is the same on all
# hosts (P4, V100, T4, A100: layer norm 1.80 to 1.85, softmax 1.25 to 1.29, linear 2.0); `u` ops wrap a scalar.
# The least of convolutions is 2.4, most of the small ones take 4: cuDNN's own work on the host
HOST_WORK = {
    "linear": 2.0, "bmm": 1.2, "conv": 4.0, "ln": 1.8, "softmax": 1.27,
    **dict.fromkeys(("addu", "mulu", "divu", "relu", "gelu"), 1.18), "powu": 1.12, "cube": 1.12,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Op:
    """An op of the source: our kind, our function, the columns its sizes stand in, and its tensors."""

    kind: str
    function: str
    columns: tuple[str, ...]
    inputs: tuple[str, ...]
    weights: tuple[str, ...]
    output: str


def _vector(kind: str, function: str, inputs: int = 1, weights: tuple[str, ...] = ()) -> _Op:
    return _Op(kind, function, ("B", "H"), ("B H",) * inputs, weights, "B H")


# the source's name -> op; `u` ops take one tensor and a scalar
OPS = {
    "bmm": _Op("matmul", "", ("B", "M", "N", "K"), ("B M N", "B N K"), (), "B M K"),
    "linear": _Op("linear", "", ("B", "M", "N", "K"), ("B M N",), ("K N", "K"), "B M K"),
    "conv": _Op(
        "convolution", "", ("B", "Input_Channel", "Output_Channel", "Kernel_Szie", "Input_Size", "Stride", "Padding"),
        ("B Input_Channel Input_Size Input_Size",), ("Output_Channel Input_Channel Kernel_Szie Kernel_Szie",),
        "B Output_Channel Output_Size Output_Size",
    ),
    "ln": _vector("normalization", "layer", weights=("H", "H")),
    "softmax": _vector("softmax", "softmax"),
    **{name: _vector("pointwise", name, inputs=2) for name in ("add", "mul", "div")},
    **{f"{name}u": _vector("pointwise", name) for name in ("add", "mul", "div")},
    "pow": _vector("pointwise", "general_pow", inputs=2),
    "powu": _vector("pointwise", "general_pow"),
    "cube": _vector("pointwise", "pow"),  # the only power in the traced models
    **{name: _vector("pointwise", name) for name in ("relu", "gelu", "tanh")},
}  # fmt: skip

# the source's model -> what load_model takes, where its config is not beside the labels in DLmodel_configs/
MODELS = {
    "bert_large": "bert-large", "gpt2_large": "gpt2-large", "gpt3_27": "gpt3-2.7b", "opt_13": "opt-1.3b",
    "gpt2_med": "gpt2-medium", "gpt2_xl": "gpt2-xl", "gpt3_13": "gpt3-13b", "gpt3_67": "gpt3-6.7b", "opt": "opt-125m",
}  # fmt: skip
# what was run: Hugging Face's own attention, and logits of all tokens; BERT as a sequence classifier in inference and
# with its pretraining head in training
EAGER = {"attention": "eager"}
LOGITS = {"logits": "all"}
PHASES = {"inf": "forward", "train": "training"}  # e2e of training is forward and backward, without the optimizer
RUNTIMES = {"": "eager", "fusion": "compiled"}  # any other option is a layout: dp4, tp4, pp4_1
_LAYOUT = re.compile(r"(dp|tp|pp)[0-9]+(_[0-9]+)?")


def read_ops(table: Columns, find: FindDevice) -> Imported:
    """Op times, one op per row."""
    seconds, name, device = table.numbers("Latency") * SECONDS, table.texts("OPName"), table.texts("Device")
    checks = [
        *time_checks(seconds),
        *device_checks(device, find),
        *known_checks(name, OPS.__contains__, "unknown op {}"),
        *_size_checks(table, name),
    ]
    usable, skipped = sift(len(table), checks)
    version = table.texts("Torch Version")
    groups = group_rows([name, device, version], usable)
    ops = tuple(_op_rows(table, find, key, chosen, seconds) for key, chosen in groups)
    return Imported(ops=ops, skipped=skipped, rows=len(table))


def _size_checks(table: Columns, name: Texts) -> Iterator[Check]:
    """Each op needs its own columns."""
    for code, op in enumerate(name.values):
        for column in OPS[op].columns if op in OPS else ():
            for failed, reason in size_checks({column: table.numbers(column)}, at_least=int(column != "Padding")):
                yield failed & (name.codes == code), reason
        if name.values[code] == "conv":
            reach = table.numbers("Input_Size") + 2 * table.numbers("Padding") - table.numbers("Kernel_Szie")
            yield (reach < 0) & (name.codes == code), "the kernel is larger than the padded image"


def _op_rows(table: Columns, find: FindDevice, key: tuple[str, ...], chosen: Array, seconds: Array) -> OpRows:
    name, device, version = key
    op, chip = OPS[name], find(device)
    assert chip is not None
    arguments = _arguments(op, {column: table.numbers(column)[chosen] for column in op.columns})
    rows = OpRows(
        source=NAME,
        file=table.path,
        hardware=chip.id,
        engine="torch",
        version=version.removeprefix("p"),
        kernel="",
        runtime="eager",
        kind=op.kind,
        precision=PRECISION,
        flags=arguments.flags,
        sizes=arguments.sizes,
        seconds=seconds[chosen],
        rows=table.rows[chosen],
    )
    cost = rows.cost()
    assert cost is not None
    conditions: dict[str, Array | float] = {
        "event_floor": HOST_WORK.get(name, 1.0),
        "best_share": BEST_SHARE,
        "resident_bytes": np.asarray(cost.bytes, dtype=float),
    }
    return replace(rows, conditions=conditions)


def _arguments(op: _Op, columns: dict[str, Array]) -> Arguments:
    if op.kind == "convolution":
        reach = columns["Input_Size"] + 2 * columns["Padding"] - columns["Kernel_Szie"]
        columns["Output_Size"] = np.floor(reach / columns["Stride"]) + 1
    attributes = {"function": op.function} if op.function else {}
    inputs = [x(shape, PRECISION) for shape in op.inputs] + [w(shape, PRECISION) for shape in op.weights]
    return op_arguments(op.kind, inputs, [x(op.output, PRECISION)], columns, attributes)


# ------------------------------------------------------------------------------------- ops of traced models


def read_op_labels(table: Columns, find: FindDevice) -> Imported:
    """Forward times of the ops of traced one-layer models; the same rule as the op files."""
    named = [_traced_op(*cells) for cells in zip(*(_cells(table, name) for name in _TRACED), strict=True)]
    raw: dict[str, list[str]] = {
        "OPName": [name for name, _ in named],
        "Device": _cells(table, "device"),
        "Latency": _cells(table, "fw_ms"),
        **{letter: [dims.get(letter, "") for _, dims in named] for letter in "BMNKH"},
    }
    return read_ops(replace(table, raw=raw, converted={}), find)


def _cells(table: Columns, name: str) -> list[str]:
    texts = table.texts(name)
    return [texts.values[code] for code in texts.codes]


def _traced_op(mode: str, name: str, described: str, shapes: str) -> tuple[str, dict[str, str]]:
    """(name of the op as in the op files, or why it is none of them; its sizes by letter).

    >>> _traced_op("inf", "Linear", "[['Linear', (8192, 1024, 4096)]]", "[[16, 512, 1024]]")
    ('linear', {'B': '1', 'M': '8192', 'N': '1024', 'K': '4096'})
    """
    found = _DESCRIBED.fullmatch(described)
    op = name.removeprefix("VEC").lower().replace("powu", "cube")
    if mode != "inf":
        return "with a backward pass", {}
    if found is None or op not in OPS:
        return name, {}
    sizes = found[1].split(", ")
    if op in ("linear", "bmm"):
        product = ["1", *sizes][-4:]
        return (op, dict(zip("BMNK", product, strict=True))) if len(product) == 4 else (f"{name} without its sizes", {})
    elements = _elements(shapes)
    if not elements:
        return f"{name} with shapes that cannot be read", {}
    if len(elements) == 2 and elements[1] == 1:
        op = f"{op}u"  # a tensor of one element is a scalar
    elif len(set(elements)) > 1:
        return f"{name} with a broadcast operand", {}
    return (op, dict(zip("BH", sizes, strict=True))) if len(sizes) == 2 else (f"{name} without its sizes", {})


def _elements(shapes: str) -> list[int]:
    """How many elements each tensor has, of a list of shapes; none for anything else.

    >>> _elements("[[16, 512], [1]]"), _elements("[16"), _elements('[["a"]]')
    ([8192, 1], [], [])
    """
    try:
        found = parse_json(shapes)
    except ValueError:
        return []
    sound = isinstance(found, list) and all(
        isinstance(shape, list) and all(type(size) is int and size > 0 for size in shape) for shape in found
    )
    return [math.prod(shape) for shape in found] if sound else []


# ------------------------------------------------------------------------------------------------ whole models


def read_labels(table: Columns, find: FindDevice) -> Imported:
    """Times of whole models: forward, or forward and backward."""
    seconds, sizes = table.numbers("e2e_ms") * SECONDS, {name: table.numbers(name) for name in ("batch", "seqlen")}
    device, mode, option = table.texts("device"), table.texts("mode"), table.texts("option")
    checks = [
        *time_checks(seconds),
        *device_checks(device, find),
        *known_checks(mode, PHASES.__contains__, "unknown mode {}"),
        *known_checks(option, lambda text: text in RUNTIMES or _LAYOUT.fullmatch(text), "unknown option {}"),
        *size_checks(sizes),
    ]
    usable, skipped = sift(len(table), checks)
    parts = {
        name: table.numbers(f"{column}_ms") * SECONDS for name, column in (("forward", "fw"), ("backward", "bwall"))
    }
    facts = tuple(
        Measurement(
            source=NAME,
            file=table.path,
            row=int(table.rows[row]),
            hardware=chip.id,
            runtime=RUNTIMES.get(given, "eager"),
            engine="torch",
            version="",
            subject=model,
            model=_model(table.path, model),
            phase=PHASES[phase],
            precision=PRECISION,
            batch=int(sizes["batch"][row]),
            input_tokens=int(sizes["seqlen"][row]),
            layout="" if given in RUNTIMES else given,
            options=EAGER if model.startswith("bert") and phase == "inf" else EAGER | LOGITS,
            facts={f"{name}_seconds": float(part[row]) for name, part in parts.items() if part[row] > 0},
            repeats=5,
            value_seconds=float(seconds[row]),
        )
        for (name, phase, given, model), rows in group_rows([device, mode, option, table.texts("model")], usable)
        for row in rows
        if (chip := find(name))
    )
    return Imported(measurements=facts, skipped=skipped, rows=len(table))


def _model(path: str, name: str) -> str:
    """The config beside the labels, which is exactly what was measured, else a model of the catalog."""
    config = Path(path).expanduser().parent / "DLmodel_configs" / f"{name}.json"
    beside = config.name == f"{name}.json" and is_file(config)  # a cell may hold any text, also the way to another file
    return str(config) if beside else MODELS.get(name, "")
