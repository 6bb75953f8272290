"""Rows of a model without a server: batches and lengths of one prepared model in one call.

May import: points, serving_rows, predict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from perfmodel.fitted_scopes import LEVELS
from perfmodel.predict import DEFAULT_OUTPUT_TOKENS, predict_arrays
from perfmodel.preparing import Prepared, default_input_tokens, prepare
from perfmodel.sweeping.points import Run, Sweep
from perfmodel.sweeping.serving_rows import layout_of

BLOCK = 8192  # points whose intermediate arrays, one row for each kind of op, stay small


def prediction_rows(run: Run, sweep: Sweep) -> dict[str, Any]:
    """Results by column, numbers or arrays (n,).

    Raises:
        PerfmodelError: the model cannot run like that.
    """
    settings = run.settings
    prepared = prepare(
        settings["model"],
        settings["hardware"],
        precision=settings["precision"],
        runtime=settings["runtime"],
        cache_precision=settings["cache_precision"],
        channels_last=settings["channels_last"],
        threads=settings["threads"],
        image_size=settings["image_size"] or 0,
        layout=layout_of(settings),
        specs=sweep.specs,
    )
    sizes = _sizes(prepared, run)
    blocks = [
        predict_arrays(
            prepared, **{name: own[start : start + BLOCK] for name, own in sizes.items()}, level=sweep.level,
            with_levels=True,
        )
        for start in range(0, run.count, BLOCK)
    ]  # fmt: skip
    found = {name: np.concatenate([np.atleast_1d(block[name]) for block in blocks]) for name in blocks[0]}
    columns: dict[str, Any] = {"memory_bytes": found["memory_bytes"], "fits": found["fits"]}
    for phase in prepared.programs:
        columns |= {f"{phase}{end}_s": found[f"{phase}{end or '_seconds'}"] for end in ("", "_low", "_high")}
    shown = {"input_tokens": prepared.has_tokens, "output_tokens": prepared.generates, "batch": True}
    return {
        **columns,
        **_whole(prepared, found, sizes),
        **{name: own if shown[name] else None for name, own in sizes.items()},
        "precision": prepared.precision,
        "runtime": prepared.runtime,
        "devices": prepared.layout.devices,
        "level": [LEVELS[place] for place in found["level"].tolist()],
    }


def _sizes(prepared: Prepared, run: Run) -> dict[str, Any]:
    """Batch and lengths of each point, with the command's own where none are given."""
    usual = {
        "batch": 1,
        "input_tokens": default_input_tokens(prepared.model),
        "output_tokens": DEFAULT_OUTPUT_TOKENS if prepared.generates else 0,
    }
    given = {name: own for name, own in run.sizes.items() if own is not None}
    return {name: np.broadcast_to(given.get(name, value), (run.count,)) for name, value in usual.items()}


def _whole(prepared: Prepared, found: Mapping[str, Any], sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds and price of a whole request: prompt and answer, or all denoising steps."""
    repeats = {"decode": sizes["output_tokens"] - 1, "denoise": prepared.denoising_steps}
    whole = sum(found[f"{phase}_seconds"] * repeats.get(phase, 1) for phase in prepared.programs)
    in_flight = prepared.in_flight if prepared.generates else 1.0
    requests = sizes["batch"] * in_flight / whole
    hourly = prepared.hardware.price_usd_per_hour * prepared.layout.devices or np.nan
    return {
        "whole_s": whole,
        "requests_per_s": requests,
        "usd_per_hour": hourly,
        "usd_per_request": hourly / 3600 / requests,
    }
