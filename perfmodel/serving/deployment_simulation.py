"""Simulation of a deployment: the settings of `simulate` drawn from a model on chips under an engine.

    deploy ─▶ step table, cache, delays of the engine ─▶ simulate

Groups of attention data parallelism, and the batches that a pipeline has in flight, have sequences of their own: each
is simulated as a replica. A server's waits before a prompt is picked up that the closed form counts on the mean are,
but for the half step that a simulation shows by itself, steps of `FrontEnd.waiting_steps`; what a prompt takes beyond
the sum of its chunks is spread over its tokens. How far both then agree: benchmarks/simulator_against_closed_form.py,
docs/serving.md.

May import: deployments, engine_time, engine_coefficients, steady_answers, simulator and what they import.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from perfmodel.errors import InputError
from perfmodel.serving.deployments import Deployment
from perfmodel.serving.engine_coefficients import EngineCoefficients
from perfmodel.serving.engine_files import load_engine_coefficients
from perfmodel.serving.engine_time import tabulate
from perfmodel.serving.simulation_result import SimulationResult
from perfmodel.serving.simulation_run import Watch
from perfmodel.serving.simulation_settings import Disaggregation, FrontEnd, Objective, SharedPrefix, Speculation
from perfmodel.serving.simulator import simulate
from perfmodel.serving.steady_answers import WHOLE_PROMPT
from perfmodel.serving.steady_state import FEW_USERS, Loop, accepted_tokens, loop_steps
from perfmodel.serving.step_table import StepTable
from perfmodel.serving.workload import Workload

SHOWN_STEPS = 0.5  # that a prompt waits for the end of the step under way, which the simulation itself shows
NO_LIMIT = 1 << 24  # tokens, of a model that names no longest context


def deployment_table(deployed: Deployment, coefficients: EngineCoefficients) -> StepTable:
    """Step times of one rank."""
    return tabulate(deployed.work, deployed.host, coefficients, mixed=deployed.engine.mixed)


def front_end(
    deployed: Deployment,
    c: EngineCoefficients,
    *,
    users: int = 0,
    input_tokens: float = 0.0,
    computed_tokens: float = 0.0,
) -> FrontEnd:
    """What delays first tokens outside of the steps.

    Args:
        users: of a closed loop; 0 for any other load. input_tokens: of a prompt on the mean; computed_tokens: those of
            them that no cache holds. 0: a prompt takes what its chunks do.
    """
    waiting = float(c["waiting_steps"]) - SHOWN_STEPS
    if not deployed.engine.mixed:
        waiting += float(c["prefill_wait_steps"]) / (3 if 0 < users < FEW_USERS else 1)
    if deployed.layout.attention_data > 1:
        waiting += float(c["attention_data_steps"])
    token_seconds = float(c["token_seconds"])
    if computed_tokens:
        beyond = max(float(c["prefill_scale"]) - 1, 0.0)
        token_seconds += beyond * _prompt_seconds(deployed, c, computed_tokens) / input_tokens
    return FrontEnd(
        request_seconds=float(c["first_token_seconds"]),
        input_token_seconds=token_seconds,
        in_flight_seconds=float(c["request_seconds"]),
        waiting_steps=max(waiting, 0.0),
    )


def _prompt_seconds(deployed: Deployment, c: EngineCoefficients, tokens: float) -> float:
    """Steps of a prompt that nothing else shares."""
    loop = Loop(
        users=1,
        running=1,
        input_tokens=tokens,
        output_tokens=1,
        chunk_tokens=float(deployed.engine.chunk_tokens or WHOLE_PROMPT),
        mixed=deployed.engine.mixed,
    )
    return float(loop_steps(deployment_table(deployed, c), loop, 1.0).prompt)


def simulate_deployment(
    deployed: Deployment,
    workload: Workload,
    *,
    coefficients: EngineCoefficients | None = None,
    replicas: int = 1,
    router: str = "round-robin",
    seed: int = 0,
    cache_tokens: float = 0.0,
    drafts: int = 0,
    accepted: float = 0.0,
    prefix: SharedPrefix | None = None,
    prompt_replicas: int = 0,
    link_bytes_per_second: float = 0.0,
    objective: Objective | None = None,
    watch: Watch | None = None,
) -> SimulationResult:
    """Serve a workload by replicas of a deployment.

    Args:
        coefficients: of the engine; None for what was fitted for it, else its priors.
        replicas, router, seed, prefix, objective, watch: as `simulate`.
        cache_tokens: tokens that the KV cache of a rank holds; 0 for what its memory leaves.
        drafts: tokens drafted in a step; accepted: that a step makes of a sequence on the mean, 0 for the engine's.
        prompt_replicas: replicas more, that compute prompts only; caches move to the others over a link each.

    Raises:
        InputError: the model leaves no room for a cache, or a setting makes no sense.
    """
    c = coefficients or load_engine_coefficients(deployed.engine.id)
    prompt = float(np.mean(workload.input_tokens))
    context = prompt + float(np.mean(workload.output_tokens)) / 2
    kept = prefix.tokens if prefix and deployed.engine.prefix_cache else 0
    if not cache_tokens and not deployed.capacity.fits:
        raise InputError(f"{deployed.subject} on {deployed.hardware.id}: {'; '.join(deployed.notes)}")
    ranks = deployed.layout.attention_data * max(round(deployed.in_flight), 1)
    split = None
    if prompt_replicas:
        split = Disaggregation(
            prompt_replicas=prompt_replicas * ranks,
            decode_replicas=replicas * ranks,
            cache_bytes_per_token=float(deployed.capacity.sequence_bytes(context)) / context,
            link_bytes_per_second=link_bytes_per_second,
        )
    speculation = None
    if drafts:
        made = accepted or float(accepted_tokens(drafts, c))
        speculation = Speculation(drafts=drafts, accepted=made, draft_cost=float(c["draft_cost"]))
    found = simulate(
        deployment_table(deployed, c),
        replace(deployed.engine, max_sequences=max(int(deployed.capacity.max_sequences), 1)),
        workload,
        kv_capacity_tokens=cache_tokens or deployed.capacity.tokens(context),
        max_context=deployed.model.max_context or NO_LIMIT,
        replicas=1 if split else replicas * ranks,
        router=router,
        seed=seed,
        speculation=speculation,
        prefix=prefix,
        disaggregation=split,
        front_end=front_end(
            deployed, c, users=workload.users, input_tokens=prompt, computed_tokens=max(prompt - kept, 1.0)
        ),
        objective=objective,
        watch=watch,
    )
    return replace(found, notes=(*found.notes, *deployed.notes))
