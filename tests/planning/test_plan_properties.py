"""What holds of every plan: monotone in load and limits, and never unstable."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from perfmodel.planning.capacity import plan
from perfmodel.planning.confirming import FULLEST, TURNS, confirm
from perfmodel.planning.plans import PlanAnswer
from perfmodel.planning.sizing import deployed

FEW = settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.generate,))
CHIPS, ENGINES = st.sampled_from(["h100-sxm", "l40s", "l4", "mi300x"]), st.sampled_from(["vllm", "sglang"])


def plans(**changes: Any) -> PlanAnswer:
    asked: dict[str, Any] = {
        "model": "llama-3.2-1b", "hardware": "l4", "rate": 20.0, "ttft": 1.0, "tpot": 0.05,
        "input_tokens": 500, "output_tokens": 100,
    }  # fmt: skip
    return plan(**(asked | changes))


@FEW
@given(st.floats(0.02, 0.2), st.floats(1.0, 3.0), st.floats(0.2, 3.0), st.sampled_from([0.0, 95.0]), CHIPS, ENGINES)
def test_looser_limits_never_cost_more(
    tpot: float, looser: float, ttft: float, percentile: float, chip: str, engine: str
) -> None:
    asked: dict[str, Any] = {"hardware": chip, "engine": engine, "percentile": percentile, "rate": 50}
    strict = plans(tpot=tpot, ttft=ttft, **asked)
    loose = plans(tpot=tpot * looser, ttft=ttft * looser, **asked)
    if strict.feasible and strict.feasible[0].confirmation:
        assert loose.feasible[0].confirmation
        assert loose.feasible[0].gpus <= strict.feasible[0].gpus


@FEW
@given(st.floats(1, 300), st.floats(0.1, 1.0), st.sampled_from(["rate", "concurrency"]), CHIPS, ENGINES)
def test_lower_load_never_needs_more(load: float, share: float, kind: str, chip: str, engine: str) -> None:
    asked: dict[str, Any] = {"rate": 0.0, "percentile": 0.0, "hardware": chip, "engine": engine}
    many = plans(**(asked | {kind: max(round(load), 1)}))
    fewer = plans(**(asked | {kind: max(round(load * share), 1)}))
    assert fewer.feasible[0].gpus <= many.feasible[0].gpus


@FEW
@given(st.floats(0.5, 400), st.floats(0.0, 1.0), st.integers(50, 2000), st.integers(2, 400), CHIPS, ENGINES)
def test_what_is_recommended_is_stable_in_simulation(
    rate: float, spread: float, prompt: int, answer: int, chip: str, engine: str
) -> None:
    found = plans(
        rate=rate, spread=spread, input_tokens=prompt, output_tokens=answer, hardware=chip, engine=engine, ttft=5.0,
        tpot=0.2,
    )  # fmt: skip
    for own in found.feasible[:3]:
        assert own.confirmation is not None
        assert own.confirmation.stable
        assert own.confirmation.utilisation <= FULLEST
        longer = 4 * own.confirmation.requests / TURNS * own.replicas
        assert confirm(deployed(own.candidate, None), found.demand, own.replicas, in_flight=longer).stable
