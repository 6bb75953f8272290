"""timm (huggingface/pytorch-image-models): image models' throughput, `results/benchmark-infer-*.csv`.

10 warm-up and 40 timed steps, synchronised after each, random input on the device already; ms per batch. Device,
precision, memory format and torch version stand in the name of the file only:

    benchmark-infer-amp-nhwc-pt240-cu124-rtx3090.csv      benchmark-infer-fp32-nchw-pt240-cpu-i9_10940x-dynamo.csv

`amp` keeps weights and inputs in fp32 and casts under autocast, norms included (`norms: low`, timm's fast_norm): a
ResNet-50 with group norm takes 1.16 times the one with batch norm, where group norm in fp32 would take 1.7. `-dynamo`
is torch.compile without CUDA graphs.
Files of training steps (`benchmark-train-*`) have the same form.
"""

from __future__ import annotations

import re
from pathlib import PurePath

import numpy as np

from perfmodel.calibration.measurements import Array, Imported, Measurement
from perfmodel.calibration.sources.columns import Columns
from perfmodel.calibration.sources.rows import FindDevice, sift, size_checks, time_checks
from perfmodel.errors import InputError
from perfmodel.types import Hardware

NAME = "timm"
SECONDS = 1e-3  # step times are milliseconds
REPEATS = 40
INFER_COLUMNS = ("model", "infer_img_size", "infer_step_time", "infer_batch_size")
TRAIN_COLUMNS = ("model", "train_img_size", "train_step_time", "train_batch_size")
PHASES = {"infer": "forward", "train": "training"}
# precision in the file's name -> (precision, autocast from fp32 weights)
PRECISIONS = {
    "amp": ("fp16", True), "amp_fp16": ("fp16", True), "amp_bf16": ("bf16", True),
    "fp16": ("fp16", False), "float16": ("fp16", False), "bf16": ("bf16", False), "bfloat16": ("bf16", False),
    "fp32": ("fp32", False), "float32": ("fp32", False),
}  # fmt: skip
# fp32 on GPUs computes in TF32: the script allows it for matmul, and cuDNN does by default
GPU_FP32 = "tf32"
_NAME = re.compile(
    r"benchmark-(?P<mode>infer|train)-(?P<precision>[a-z0-9_]+)-(?P<format>nchw|nhwc)-pt(?P<torch>[0-9]+)"
    r"-(?:cu(?P<cuda>[0-9]+)-|cpu-)(?P<device>.+?)(?P<dynamo>-dynamo)?\.csv"
)
_EXAMPLE = "benchmark-infer-amp-nhwc-pt240-cu124-rtx3090.csv"


def read_models(table: Columns, find: FindDevice) -> Imported:
    """Step times of image models, one model and image size per row.

    Raises:
        InputError: the file's name does not say device and precision, or names a precision that is not known.
    """
    said = _NAME.fullmatch(PurePath(table.path).name)
    if said is None or said["precision"] not in PRECISIONS:
        known = "" if said is None else f" with a precision of {', '.join(PRECISIONS)}"
        raise InputError(
            f"{table.path}: device and precision of a timm table stand in its file name only; "
            f"name it like {_EXAMPLE}{known}."
        )
    prefix, chip = said["mode"], find(said["device"])
    if chip is None:
        return Imported(skipped={f"unknown device {said['device']}": len(table)}, rows=len(table))
    sizes = {name: table.numbers(f"{prefix}_{name}") for name in ("batch_size", "img_size")}
    seconds = table.numbers(f"{prefix}_step_time") * SECONDS
    usable, skipped = sift(len(table), [*time_checks(seconds), *size_checks(sizes)])
    return Imported(
        measurements=tuple(_measurements(table, said, chip, sizes, seconds, np.flatnonzero(usable))),
        skipped=skipped,
        rows=len(table),
    )


def _measurements(
    table: Columns, said: re.Match[str], chip: Hardware, sizes: dict[str, Array], seconds: Array, rows: Array
) -> list[Measurement]:
    precision, autocast = PRECISIONS[said["precision"]]
    if precision == "fp32" and chip.kind == "gpu":
        precision = GPU_FP32
    options = {"memory_format": said["format"], "cuda": said["cuda"] or ""}
    if autocast:
        options |= {"autocast": precision, "norms": "low"}
    names, prefix = table.texts("model"), said["mode"]
    flops = 2e9 * table.numbers(f"{prefix}_gmacs")  # of one image
    parameters = 1e6 * table.numbers("param_count")
    batch, side = sizes["batch_size"], sizes["img_size"]
    return [
        Measurement(
            source=NAME,
            file=table.path,
            row=int(table.rows[row]),
            hardware=chip.id,
            runtime="compiled" if said["dynamo"] else "eager",
            engine="torch",
            version=_torch_version(said["torch"]),
            subject=(model := names.values[names.codes[row]]),
            model=f"timm:{model}",
            phase=PHASES[prefix],
            precision=precision,
            batch=int(batch[row]),
            image_size=int(side[row]),
            options=options,
            facts=_finite(parameters=parameters[row], flops=flops[row] * batch[row]),
            repeats=REPEATS,
            value_seconds=float(seconds[row]),
        )
        for row in rows
    ]


def _torch_version(digits: str) -> str:
    """pt240 -> 2.4.0, pt1131 -> 1.13.1.

    >>> _torch_version("240"), _torch_version("1131"), _torch_version("113"), _torch_version("2100")
    ('2.4.0', '1.13.1', '1.13', '2.10.0')
    """
    if digits[0] == "1":  # the last releases of torch 1 were 1.10 to 1.13
        return f"1.{digits[1:3]}" + (f".{digits[3]}" if len(digits) > 3 else "")
    return f"{digits[0]}.{digits[1:-1]}.{digits[-1]}"


def _finite(**values: float) -> dict[str, float]:
    """Those of the numbers that the row has."""
    return {name: float(value) for name, value in values.items() if np.isfinite(value) and value > 0}
