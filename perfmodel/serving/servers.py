"""Opening a server: a model put on chips under an engine, checked for what is asked of it, as the closed form sees it.

    open_server ─▶ deploy, check_context, server_of ─▶ (Deployment, Server)

May import: deployments, engine_files, engine_time, steady_answers and below.
"""

from __future__ import annotations

from perfmodel.errors import InputError, UnmodelledError
from perfmodel.layouts import Layout
from perfmodel.serving.deployments import Deployment, deploy
from perfmodel.serving.engine_files import load_engine_coefficients
from perfmodel.serving.engine_time import tabulate
from perfmodel.serving.engines import EnginePolicy
from perfmodel.serving.steady_answers import Server
from perfmodel.types import Hardware, Model

DEFAULT_INPUT_TOKENS, DEFAULT_OUTPUT_TOKENS = 1024, 256


def open_server(
    model: str | Model,
    hardware: str | Hardware,
    *,
    engine: str | EnginePolicy,
    precision: str | None,
    cache_precision: str | None,
    layout: Layout | None,
    input_tokens: int,
    output_tokens: int,
    drafts: int,
    replicas: int,
    level: float,
    strict: bool,
    specs: str | None,
) -> tuple[Deployment, Server]:
    """A server that can be asked for its latencies; arguments as those of `predict_serving`.

    Raises:
        PerfmodelError: a level outside of 0 to 1; a deployment that cannot be; a request longer than the model's
            context; with `strict`, ops without a formula.
    """
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1 (0.8 for an 80 % interval), got {level!r}")
    deployment = deploy(
        model, hardware, engine=engine, precision=precision, cache_precision=cache_precision, layout=layout, specs=specs
    )
    check_context(deployment, input_tokens, output_tokens)
    if strict and deployment.unmodelled:
        raise UnmodelledError(
            f"{deployment.subject} has ops without a formula: {', '.join(kind for kind, _ in deployment.unmodelled)}"
        )
    return deployment, server_of(deployment, drafts=drafts, replicas=replicas, specs=specs)


def server_of(deployment: Deployment, *, drafts: int = 0, replicas: int = 1, specs: str | None = None) -> Server:
    """A deployment as the closed form sees it, with its engine's coefficients.

    Raises:
        InputError: drafts below 0, or no replica.
    """
    if drafts < 0 or replicas < 1:
        raise InputError(f"drafts must be at least 0 and replicas at least 1, got {drafts} and {replicas}")
    coefficients = load_engine_coefficients(deployment.engine.id, specs=specs)
    return Server(
        table=tabulate(deployment.work, deployment.host, coefficients, mixed=deployment.engine.mixed),
        coefficients=coefficients,
        sequences=deployment.capacity.sequences,
        chunk_tokens=deployment.engine.chunk_tokens,
        attention_data=deployment.layout.attention_data,
        drafts=drafts,
        replicas=replicas,
        pipeline=deployment.in_flight,
    )


def check_context(deployment: Deployment, input_tokens: int, output_tokens: int) -> None:
    """
    Raises:
        InputError: a request longer than the model's context.
    """
    most = deployment.model.max_context
    if most and input_tokens + output_tokens > most:
        raise InputError(
            f"{input_tokens} + {output_tokens} tokens do not fit into the context of {deployment.subject} ({most})"
        )
