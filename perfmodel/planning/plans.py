"""What a plan is, what is left out, and the order of plans. May import: planning, but what makes plans."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from perfmodel.economics import USUAL_SITE, Economics, Site, economics
from perfmodel.notebooks import notebook_html
from perfmodel.planning.candidates import Candidate
from perfmodel.planning.confirming import Confirmation
from perfmodel.planning.demand import Demand
from perfmodel.planning.load_curve import LoadCurve
from perfmodel.power import Power
from perfmodel.serving.latency_intervals import Latency

ORDERS = ("gpus", "cost", "energy")
# what a candidate fails by, beside the metrics
MEMORY, REFUSED, CONTEXT, MAX_GPUS, UNSTABLE = "memory", "refused", "context", "max_gpus", "unstable"
Rank: TypeAlias = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Replicas of a candidate that serve the load.

    Args:
        latencies: mean TTFT, TPOT and E2E with their 80 % intervals. confidence: that all means keep their limits.
        most: load that so many replicas carry within the limits; headroom: that over the load. binding: what ends it,
            a metric or capacity.
        requests_per_second: answered. power: of all devices, None where the chip's TDP is unknown.
        confirmation: of the best plans. curve: of one replica. site: where the devices stand.
    """

    candidate: Candidate
    replicas: int
    latencies: Mapping[str, Latency]
    standing: str
    confidence: float
    binding: str
    most: float
    headroom: float
    requests_per_second: float
    input_tokens: int
    output_tokens: int
    curve: LoadCurve
    power: Power | None = None
    site: Site = USUAL_SITE
    confirmation: Confirmation | None = None
    notes: tuple[str, ...] = ()

    @property
    def gpus(self) -> int:
        """Devices of all replicas."""
        return self.replicas * self.candidate.layout.devices

    @property
    def economics(self) -> Economics:
        """Money and energy at this load."""
        return economics(
            self.candidate.hardware, self.gpus, self.power, requests_per_second=self.requests_per_second,
            input_tokens=self.input_tokens, output_tokens=self.output_tokens, site=self.site,
        )  # fmt: skip

    @property
    def usd_per_hour(self) -> float:
        """Of all devices, at the chip's price; 0 if it is unknown."""
        return self.economics.usd_per_hour or 0.0

    @property
    def usd_per_million_tokens(self) -> float:
        """Of output, at this load; 0 if the price is unknown."""
        return self.economics.usd_per_million_output_tokens or 0.0

    def _repr_html_(self) -> str:
        """For notebooks."""
        return notebook_html(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A candidate that cannot serve the load.

    Args:
        binding: what it fails by: memory, refused, context, a metric, unstable or max_gpus. reason: in words.
        bound: seconds of the metric that no software can be below; 0 for other bindings.
    """

    candidate: Candidate
    binding: str
    reason: str
    bound: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The best plan where one assumption is another.

    Args:
        assumption: in words. candidate: of that plan; None: none is left. usd_per_hour: 0 if the price is unknown.
        flips: it is of another candidate than the plan that was chosen.
    """

    assumption: str
    candidate: Candidate | None
    replicas: int
    gpus: int
    usd_per_hour: float
    flips: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanAnswer:
    """All plans, best first, all candidates that make none, and what would change the choice."""

    demand: Demand
    feasible: tuple[Plan, ...]
    rejected: tuple[Rejected, ...]
    changes: tuple[Change, ...] = ()

    def _repr_html_(self) -> str:
        """For notebooks."""
        return notebook_html(self)


def rank(found: Plan, order: str) -> Rank:
    """What plans are sorted by: ascending; an unknown price or power comes last."""
    own = found.economics
    keys = {"gpus": float(found.gpus), "cost": own.usd_per_hour, "energy": own.joules_per_output_token}
    first = {"cost": ("cost", "gpus"), "energy": ("energy", "gpus", "cost")}.get(order, ("gpus", "cost"))
    values = [*(keys[name] for name in first), own.usd_per_million_output_tokens]
    return (*(math.inf if value is None else value for value in values), -found.confidence)
