"""Files of load tests -> anchors of a server's predictions: each run beside what is predicted for it without them.

May import: sources, serving_shipped and below.
"""

from __future__ import annotations

import os

import numpy as np

from perfmodel.calibration.serving_runs import closed_loops, gather_serving
from perfmodel.calibration.serving_shipped import predict_shipped
from perfmodel.calibration.sources import read_measurements
from perfmodel.calibration.sources.load_tests import NOTHING_TOLD, Told, holds_json
from perfmodel.catalog import Specs
from perfmodel.errors import InputError
from perfmodel.serving.server_anchors import ServerAnchor


def read_server_anchors(
    path: str | os.PathLike[str], *, specs: Specs = None, told: Told = NOTHING_TOLD
) -> tuple[ServerAnchor, ...]:
    """The anchors in a file of load tests, in any format that `perfmodel validate` reads.

    Args:
        told: what a report does not say: chip, model, engine, layout. Tables say it themselves.

    Raises:
        InputError: it cannot be read, or holds no closed loop that can be predicted.
    """
    imported = read_measurements(path, specs=specs, told=told if holds_json(path) else NOTHING_TOLD)
    data, skipped = gather_serving(closed_loops(imported.serving), specs=specs)
    if data is None:
        reasons = "; ".join(f"{reason} ({rows})" for reason, rows in {**imported.skipped, **skipped}.items())
        raise InputError(
            f"{os.fspath(path)} has no load test of a server to anchor a prediction on: "
            f"{reasons or 'it holds other measurements'}."
        )
    found, _ = predict_shipped(data, specs=specs)
    off = {
        "tpot": np.log(data.tpot / found.predicted["tpot"]),
        "ttft": np.log(data.ttft / found.predicted["ttft"]),
    }
    return tuple(
        ServerAnchor(
            labels={name: column[row] for name, column in data.labels.items()},
            sizes=tuple(map(float, data.slopes[row])),
            off={metric: float(own[row]) for metric, own in off.items() if np.isfinite(own[row])},
        )
        for row in range(len(data))
    )
