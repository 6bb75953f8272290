"""perfmodel's own table of measurements: a CSV with one fact per row, for ops and whole models.

Needed in every row:

    hardware                               id or alias in the catalog
    precision                              fp32, bf16, fp8, w4a16, ... (of the matrix multiplications)
    seconds | milliseconds | microseconds  the time of one call; the column's name is the unit
    op | model                             an op below, or anything that `load_model` takes

About the run, all optional: runtime (eager unless given, compiled, graphs), engine, version, kernel, repeats, date, and
the conditions in `CONDITIONS` (see measurements.py). Sizes of an op, by kind:

    linear          m n k                                  rows, output and input features
    matmul          m n k (g)                              g independent products
    attention       batch heads kv_heads query_tokens key_tokens head_size (window causal cached)
    experts         tokens hidden width experts experts_per_token (gated)
    convolution     batch in_channels out_channels height width kernel (stride padding groups)
    normalization, softmax, pointwise, copy     rows columns (function inputs)
    embedding       rows columns                           rows looked up, their width
    collective      operation bytes devices (devices_per_node library)    library: nccl, custom, or gloo on a CPU

Sizes of a model: batch input_tokens output_tokens image_size, and the texts phase (forward), metric (latency), part,
layout; a column `option_<name>` gives a further setting. Cells that a row does not need stay empty.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from perfmodel.calibration.measurements import MEASURED_PHASES, Array, Imported, Measurement, OpRows
from perfmodel.calibration.sources.columns import Columns, Texts
from perfmodel.calibration.sources.rows import (
    Check,
    FindDevice,
    device_checks,
    group_rows,
    known_checks,
    marked,
    sift,
    size_checks,
    time_checks,
)
from perfmodel.calibration.sources.table_ops import (
    DEVICES_PER_NODE,
    KNOWN_TEXTS,
    OPS,
    RELATIONS,
    TEXTS,
    NeededColumns,
    table_arguments,
)
from perfmodel.errors import InputError, nearest_names
from perfmodel.kernels import RUNTIMES
from perfmodel.precisions import PRECISIONS, SCHEMES

NAME = "table"
UNITS = {"seconds": 1.0, "milliseconds": 1e-3, "microseconds": 1e-6}
TABLE_COLUMNS = ("hardware", "precision")
ONE_OF = (tuple(UNITS), ("op", "model"))
CONDITIONS = (
    "resident_bytes", "weight_copies", "event_floor", "kernel_only", "best_share", "extra_flops", "extra_bytes",
    "power_law", "expert_ranks",
)  # fmt: skip


METRICS = ("latency", "ttft", "tpot", "e2e")
_ZERO_ALLOWED = ("window", "padding")
_RUN = ("runtime", "engine", "version", "kernel", "date")
_MODEL_COUNTS = {"batch": 1, "input_tokens": 0, "output_tokens": 0, "image_size": 0, "repeats": 0}
_MODEL_TEXTS = (
    "hardware", "runtime", "engine", "version", "model", "part", "phase", "metric", "precision", "layout", "date",
)  # fmt: skip
_SIZES = tuple(dict.fromkeys(name for op in OPS.values() for name in (*op.needed, *op.optional)))
KNOWN_COLUMNS = (
    *TABLE_COLUMNS,
    *UNITS,
    "op",
    "model",
    *_RUN,
    *CONDITIONS,
    *_SIZES,
    *TEXTS,
    *_MODEL_COUNTS,
    *_MODEL_TEXTS,
)
_OPTION = "option_"


def read_table(table: Columns, find: FindDevice) -> Imported:
    """Ops and models of our own CSV.

    Raises:
        InputError: a column that nothing reads, or several columns of times.
    """
    _refuse_columns(table)
    seconds = next(table.numbers(name) * scale for name, scale in UNITS.items() if name in table)
    op, model = table.texts("op"), table.texts("model")
    is_op, is_model = _given(op), _given(model)
    runtime, precision = table.texts("runtime", "eager"), table.texts("precision")
    checks = [
        *time_checks(seconds),
        (is_op == is_model, "needs either an op or a model"),
        *device_checks(table.texts("hardware"), find),
        *known_checks(precision, SCHEMES.__contains__, f"unknown precision {{}} (known: {', '.join(PRECISIONS)})"),
        *known_checks(runtime, ("", *RUNTIMES).__contains__, "unknown runtime {}"),
        *known_checks(op, lambda text: not text or text in OPS, f"unknown op {{}} (known: {', '.join(OPS)})"),
        *_op_checks(table, op),
        *_model_checks(table, is_model),
    ]
    usable, skipped = sift(len(table), checks)
    texts = [table.texts(name) for name in ("hardware", "runtime", "precision", "engine", "version", "kernel")]
    flags = [table.texts(name) for name in TEXTS]
    across = table.numbers("devices") > _filled(table, "devices_per_node", DEVICES_PER_NODE)
    marks = [_as_texts(table.numbers("inputs", 1)), marked(table.numbers("window", 0) > 0), marked(across)]
    groups = group_rows([op, *texts, *flags, *marks], usable & is_op)
    return Imported(
        ops=tuple(_op_rows(table, find, key, chosen, seconds) for key, chosen in groups),
        measurements=tuple(_measurements(table, find, np.flatnonzero(usable & is_model), seconds)),
        skipped=skipped,
        rows=len(table),
    )


def _refuse_columns(table: Columns) -> None:
    unknown = [name for name in table.raw if name not in KNOWN_COLUMNS and not name.startswith(_OPTION)]
    units = [name for name in UNITS if name in table]
    problems = [f"unknown column '{name}'{_nearest(name)}" for name in unknown]
    if len(units) > 1:
        problems.append(f"times in several columns ({', '.join(units)}): keep one")
    if problems:
        raise InputError(f"{table.path}: {'; '.join(problems)}.")


def _nearest(name: str) -> str:
    nearest = nearest_names(name, KNOWN_COLUMNS)
    return f" (nearest: {', '.join(nearest)}; or {_OPTION}{name} for a setting)" if nearest else ""


def _given(texts: Texts) -> Array:
    return np.array([bool(value) for value in texts.values], dtype=bool)[texts.codes]


def _as_texts(numbers: Array) -> Texts:
    """Numbers as a key to group by; an empty cell counts as 1."""
    values, codes = np.unique(np.nan_to_num(numbers, nan=1.0), return_inverse=True)
    return Texts(codes.reshape(-1), tuple(str(int(value)) for value in values))


def _filled(table: Columns, name: str, default: float) -> Array:
    """A column with a default for empty cells."""
    numbers = table.numbers(name, default)
    return np.where(np.isnan(numbers), default, numbers)


def _op_checks(table: Columns, op: Texts) -> list[Check]:
    """Each op needs its own sizes."""
    checks: list[Check] = []
    for code, kind in enumerate(op.values):
        needs, chosen = OPS.get(kind, NeededColumns(())), op.codes == code
        columns = {name: table.numbers(name) for name in needs.needed}
        columns |= {name: _filled(table, name, default) for name, default in needs.optional.items()}
        for name, values in columns.items():
            own = size_checks({name: values}, at_least=int(name not in _ZERO_ALLOWED))
            checks += [(failed & chosen, f"{kind}: {reason}") for failed, reason in own]
        with np.errstate(all="ignore"):  # rows without sizes have failed already
            relations = {reason: fails(columns) for reason, fails in RELATIONS.get(kind, {}).items()}
        checks += [(failed & chosen, f"{kind}: {reason}") for reason, failed in relations.items()]
        for column, known in KNOWN_TEXTS.get(kind, {}).items():
            own = known_checks(table.texts(column), known.__contains__, f"{kind}: unknown {column} {{}}")
            checks += [(failed & chosen, reason) for failed, reason in own]
    return checks


def _model_checks(table: Columns, is_model: Array) -> list[Check]:
    known = {"phase": ("", *MEASURED_PHASES), "metric": ("", *METRICS)}
    checks = [
        check
        for name in known
        for check in known_checks(table.texts(name), known[name].__contains__, f"unknown {name} {{}}")
    ]
    for name, default in _MODEL_COUNTS.items():
        checks += size_checks({name: _filled(table, name, default)}, at_least=int(name == "batch"))
    return [(failed & is_model, reason) for failed, reason in checks]


def _op_rows(table: Columns, find: FindDevice, key: tuple[str, ...], chosen: Array, seconds: Array) -> OpRows:
    kind, device, runtime, precision, engine, version, kernel, *rest = key
    *flags, inputs, windowed, across = rest
    chip, needs = find(device), OPS[kind]
    assert chip is not None  # the others were sifted out
    columns = {name: table.numbers(name)[chosen] for name in needs.needed}
    columns |= {name: _filled(table, name, default)[chosen] for name, default in needs.optional.items()}
    texts = dict(zip(TEXTS, flags, strict=True)) | {"inputs": inputs, "windowed": windowed, "across": across}
    arguments = table_arguments(kind, columns, SCHEMES[precision], texts, chip)
    given = {name: table.numbers(name)[chosen] for name in CONDITIONS if name in table}
    return OpRows(
        source=NAME,
        file=table.path,
        hardware=chip.id,
        engine=engine,
        version=version,
        kernel=kernel,
        runtime=runtime or "eager",
        kind=kind,
        precision=precision,
        flags=arguments.flags,
        sizes=arguments.sizes,
        seconds=seconds[chosen],
        rows=table.rows[chosen],
        conditions={name: values for name, values in given.items() if not np.isnan(values).all()},
    )


def _measurements(table: Columns, find: FindDevice, rows: Array, seconds: Array) -> Iterator[Measurement]:
    defaults = {"phase": "forward", "metric": "latency", "runtime": "eager"}
    options = [name for name in table.raw if name.startswith(_OPTION)]
    texts = {name: _spelled(table, name, rows) for name in (*_MODEL_TEXTS, *options)}
    counts = {name: _filled(table, name, default)[rows].astype(int).tolist() for name, default in _MODEL_COUNTS.items()}
    for place, row in enumerate(rows):
        own = {name: spelled[place] or defaults.get(name, "") for name, spelled in texts.items()}
        chip = find(own.pop("hardware"))
        assert chip is not None  # the others were sifted out
        settings = {name.removeprefix(_OPTION): value for name in options if (value := own.pop(name))}
        yield Measurement(
            source=NAME,
            file=table.path,
            row=int(table.rows[row]),
            hardware=chip.id,
            subject=own["model"],
            options=settings,
            value_seconds=float(seconds[row]),
            **own,  # type: ignore[arg-type]
            **{name: values[place] for name, values in counts.items()},
        )


def _spelled(table: Columns, name: str, rows: Array) -> list[str]:
    texts = table.texts(name)
    return [texts.values[code] for code in texts.codes[rows]]
