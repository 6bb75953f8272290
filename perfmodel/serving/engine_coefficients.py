"""The coefficients of serving engines: how much of its kernels' tabled times an engine pays, and what it adds.

    step = Σ classes (compute/c + memory/m + network/n + overhead·f) + layers·l·(1 + x·experts) + s + q·sequences

Tables time kernels one by one; an engine replays them in a graph, which hides part of every start (f), and adds host
time for each layer, step and sequence. First tokens wait for the scheduler, the prompts ahead and the load generator.
Every coefficient is Gaussian in its logarithm around the prior given here; those `by_engine` differ between engines.
Priors: what earlier experiments on servers' data favoured (TensorRT-LLM, vLLM and SGLang on Hopper and Blackwell).

May import: errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Parameter:
    """A coefficient before any measurement; value in SI units or a bare factor, log_sd of its logarithm."""

    name: str
    value: float
    log_sd: float
    meaning: str
    by_engine: bool = False


STEP_PARAMETERS = (
    Parameter("launch_share", 0.6, 0.4, "share of the tables' kernel starts that a replayed graph pays", True),
    Parameter("experts_launch_share", 0.7, 0.4, "the same for blocks of experts", True),
    Parameter("collective_latency", 1.0, 0.5, "latency of collectives against the tables'", True),
    Parameter("layer_seconds", 8e-6, 0.6, "host and gaps for each layer", True),
    Parameter("experts_layer_share", 0.3, 0.5, "what a layer with experts has on top, as a share"),
    Parameter("sparse_layer_share", 1.0, 0.5, "what a layer with an index for sparse attention has on top, as a share"),
    Parameter("step_seconds", 1e-3, 0.6, "scheduler and sampling of a step", True),
    Parameter("sequence_seconds", 5e-6, 0.8, "host time for each token made", True),
)
TOKEN_PARAMETERS = (
    Parameter("interference", 1.0, 0.2, "share of a prompt's extra time that running sequences see", True),
    Parameter("attention_data_interference", 1.0, 0.3, "the same, times this under attention data parallelism"),
    Parameter("draft_cost", 0.05, 0.5, "cost of a drafted token, as a share of a step"),
    Parameter("accepted_1", 1.75, 0.15, "tokens a step makes with one drafted token", True),
    Parameter("accepted_3", 2.4, 0.15, "tokens a step makes with three drafted tokens", True),
)
REQUEST_PARAMETERS = (
    Parameter("first_token_seconds", 30e-3, 0.8, "load generator, tokeniser and network before the first token", True),
    Parameter("waiting_steps", 1.0, 0.8, "steps a prompt waits before it is picked up", True),
    Parameter("prefill_wait_steps", 3.0, 1.0, "further ones where prompts do not share steps (a third below 16 users)"),
    Parameter("attention_data_steps", 1.5, 1.0, "further ones under attention data parallelism"),
    Parameter("prefill_scale", 1.1, 0.3, "a prompt's own steps against the sum of its chunks", True),
    Parameter("queue_share", 0.8, 0.5, "wait behind other prompts against a closed queue's", True),
    Parameter("burst_share", 0.12, 0.7, "what the start of a run, all users at once, adds to the mean", True),
    Parameter("token_seconds", 2e-6, 1.0, "host time for each token of a prompt", True),
    Parameter("request_seconds", 3e-4, 1.0, "host time for each request in flight", True),
)
PARAMETERS = (*STEP_PARAMETERS, *TOKEN_PARAMETERS, *REQUEST_PARAMETERS)
# engines of static batches (`static_batch`); these values change nothing, which is what holds for servers of today
STATIC_PARAMETERS = (
    Parameter("host_overlap", 1.0, 0.4, "p of (kernels^p + host^p)^(1/p); 1: one after the other", True),
    Parameter("key_rereads", 0.0, 1.0, "further reads of keys and values for each further query head of a group", True),
    Parameter("vector_hbm", 1.0, 0.2, "share of HBM that matrix-vector kernels reach, against other memory", True),
    Parameter(
        "unpack_operations", 0.0, 0.5, "of the vector units for each packed weight that such a kernel reads", True
    ),
    Parameter("stage_seconds", 0.0, 1.0, "handing a token's state to the next device that has layers", True),
    Parameter(
        "stage_slowdown", 1.0, 0.2, "time of a prompt dealt out to stages, against what their overlap promises", True
    ),
)
# multipliers of kernel classes, by the beginning of the class: (resource, log_sd)
CLASS_SPREADS: Mapping[str, tuple[tuple[str, float], ...]] = {
    "gemm": (("compute", 0.2), ("memory", 0.15)),
    "experts": (("compute", 0.3), ("memory", 0.15)),
    "attention.decode": (("work", 0.2),),
    "attention.prefill": (("work", 0.25),),
    "streaming": (("work", 0.5),),
    "collective": (("network", 0.25),),
    "": (("work", 0.3),),
}


def class_parameters(kernel_class: str) -> tuple[Parameter, ...]:
    """The multipliers of a class of kernels, named "<resource>.<class>".

    >>> [parameter.name for parameter in class_parameters("gemm.fp8.block")]
    ['compute.gemm.fp8.block', 'memory.gemm.fp8.block']
    """
    beginning = next(known for known in CLASS_SPREADS if kernel_class.startswith(known))
    return tuple(
        Parameter(f"{resource}.{kernel_class}", 1.0, log_sd, f"speed of {kernel_class} kernels against their tables")
        for resource, log_sd in CLASS_SPREADS[beginning]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCoefficients:
    """Values for one engine, or arrays for many rows; what is missing stands at its prior.

    Args:
        values: by name. level: what they stand on: "prior" or "engine". provenance: the data of the fit.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    level: str = "prior"
    provenance: str = ""

    def __getitem__(self, name: str) -> Any:
        return self.values[name] if name in self.values else _PRIOR_VALUES.get(name, 1.0)


_PRIOR_VALUES = {parameter.name: parameter.value for parameter in (*PARAMETERS, *STATIC_PARAMETERS)}


def parameters_for(classes: Iterable[str]) -> tuple[Parameter, ...]:
    """All coefficients of deployments with these classes of kernels."""
    return (*(parameter for name in classes for parameter in class_parameters(name)), *PARAMETERS)
