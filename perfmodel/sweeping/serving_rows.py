"""Rows of servers in steady state: a deployment's loads in one call.

May import: points, serving.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from perfmodel.layouts import Layout
from perfmodel.serving.deployments import Deployment, deploy
from perfmodel.serving.known_effects import UNSTATED
from perfmodel.serving.prediction_arrays import METRICS, predict_serving_arrays
from perfmodel.sweeping.points import Run, Sweep

_SAME = ("running", "waiting", "capacity", "stable", "fits")
_RENAMED = {
    "requests_per_s": "requests_per_second",
    "output_tokens_per_s": "output_tokens_per_second",
    "highest_rate_per_s": "highest_rate",
}


def layout_of(settings: Mapping[str, Any]) -> Layout:
    """The layout that a point's degrees make.

    Raises:
        InputError: they do not come out even.
    """
    return Layout(
        tensor=settings["tp"], pipeline=settings["pp"], expert=settings["ep"], attention_data=settings["attention_dp"]
    )


def deployment_of(settings: Mapping[str, Any], specs: str | None) -> Deployment:
    """The server that a point is about.

    Raises:
        PerfmodelError: it cannot be.
    """
    return deploy(
        settings["model"],
        settings["hardware"],
        engine=settings["engine"],
        precision=settings["precision"],
        cache_precision=settings["cache_precision"],
        layout=layout_of(settings),
        specs=specs,
    )


def cost_columns(price_usd_per_hour: float, devices: int, output_tokens_per_s: Any) -> dict[str, Any]:
    """Price of all devices, and of what they make; nothing where no price is known."""
    hourly = price_usd_per_hour * devices or np.nan
    with np.errstate(divide="ignore"):
        million = hourly / (np.asarray(output_tokens_per_s, dtype=float) * 3600) * 1e6
    return {"usd_per_hour": hourly, "usd_per_million_tokens": million}


def serving_rows(run: Run, sweep: Sweep) -> dict[str, Any]:
    """Results by column, numbers or arrays (n,).

    Raises:
        PerfmodelError: the deployment cannot be.
    """
    settings, sizes = run.settings, run.sizes
    deployment = deployment_of(settings, sweep.specs)
    found = predict_serving_arrays(
        deployment,
        **sizes,
        drafts=settings["draft_tokens"],
        replicas=settings["replicas"],
        version=settings["engine_version"] or UNSTATED,
        level=sweep.level,
        specs=sweep.specs,
    )
    devices = deployment.layout.devices * settings["replicas"]
    columns: dict[str, Any] = {name: found.columns[name] for name in _SAME}
    columns |= {name: found.columns[own] for name, own in _RENAMED.items()}
    for metric in METRICS:
        columns |= {f"{metric}{end}_s": found.columns[f"{metric}{end}_seconds"] for end in ("", "_low", "_high")}
    made = columns["output_tokens_per_s"]
    return {
        **columns,
        **cost_columns(deployment.hardware.price_usd_per_hour, devices, made),
        "precision": deployment.precision,
        "devices": devices,
        "output_tokens_per_s_per_device": made / devices,
        "level": found.standing,
        "refusal": _too_long(deployment, sizes),
    }


def _too_long(deployment: Deployment, sizes: Mapping[str, Any]) -> list[str] | None:
    """Why some requests cannot be: they are longer than the model's context."""
    most = deployment.model.max_context
    longer = sizes["input_tokens"] + sizes["output_tokens"] > most
    if not most or not longer.any():
        return None
    text = f"the request does not fit into the context of {deployment.subject} ({most} tokens)"
    return [text if own else "" for own in longer.tolist()]
