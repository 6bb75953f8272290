"""What a host takes to start the kernels of a GPU one by one; how it overlaps with them is in program.py.

May import: coefficients.
"""

from __future__ import annotations

from perfmodel.coefficients import prior

HOST_SECONDS = prior(
    "host.seconds_per_launch", 8e-6, 0.4, meaning="host time to launch one kernel", source="NeuSight eager fp32 models",
    variants={"compiled": (5e-6, 0.5), "graphs": (0.2e-6, 0.7)},
)  # fmt: skip
