"""What requests hold, field by field: the names of the command line's options, SI units, unknown fields refused.

Names come from the catalog, or stand for something uploaded: no path and no `torch:` or `timm:` name is taken from the
network. May import: layouts, pydantic.
"""

from __future__ import annotations

import re
from datetime import date as Date
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from perfmodel.layouts import MOST_DEVICES

LARGEST_COUNT = 1 << 31
LARGEST_IMAGE = 1 << 14  # pixels of a side
UPLOAD = re.compile(r"upload:[0-9a-f]{32}")
_CODE = ("torch", "timm")
_FILES = (".yaml", ".yml", ".json", ".onnx", ".gguf", ".safetensors", ".py", ".pt", ".pth", ".bin")
_NAME = r"^[A-Za-z0-9][^/\\:\x00-\x1f\x7f]*$"
_CHANGES = r"(:[A-Za-z_]\w*=[^/\\:,=|\x00-\x1f\x7f]+)*"  # of a config, behind a model's name
_MODEL_NAME = rf"^({UPLOAD.pattern}|{_NAME[1:-1]}{_CHANGES})$"
MOST_LETTERS = 120
_ELSEWHERE = (
    "is taken for a file or for code, which are not read for requests from the network: give a name of the catalog, "
    "paste a config.json (POST /api/v1/models/config) or upload an ONNX file (POST /api/v1/models/onnx)"
)


def _catalog_name(name: str) -> str:
    if not name.isprintable():
        raise ValueError("a name holds characters that cannot be printed")
    if len(name) > MOST_LETTERS:
        raise ValueError(f"a name of {len(name)} characters is longer than {MOST_LETTERS}")
    if not name:
        raise ValueError("a name is empty")
    if not re.match(_NAME, name) or name.lower().endswith(_FILES):
        raise ValueError(f"'{name}' {_ELSEWHERE}")
    return name


def _model_name(name: str) -> str:
    if UPLOAD.fullmatch(name):
        return name
    base, *_ = name.split(":")
    _catalog_name(name if base.lower() in _CODE or not re.match(_MODEL_NAME, name) else base)
    if not name.isprintable() or len(name) > MOST_LETTERS:
        raise ValueError(f"a name is longer than {MOST_LETTERS} characters, or holds some that cannot be printed")
    return name


def _schema(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "maxLength": MOST_LETTERS, "pattern": pattern})


Name = Annotated[str, AfterValidator(_catalog_name), _schema(_NAME)]
ModelName = Annotated[str, AfterValidator(_model_name), _schema(_MODEL_NAME)]
Count = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
Degree = Annotated[int, Field(ge=1, le=MOST_DEVICES)]
Seconds = Annotated[float, Field(gt=0, le=1e9)]
Rate = Annotated[float, Field(gt=0, le=1e6)]
Users = Annotated[float, Field(ge=1, le=1 << 20)]
Listed = Field(min_length=1, max_length=64)
Names = Annotated[list[Name], Listed]
ModelNames = Annotated[list[ModelName], Listed]
Counts = Annotated[list[Count], Listed]
Degrees = Annotated[list[Degree], Listed]


class Body(BaseModel):
    """What all bodies share: nothing is guessed from another type, and no field is passed over."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Common(Body):
    """Fields that are the same for all combinations."""

    image_size: Annotated[int, Field(ge=1, le=LARGEST_IMAGE)] | None = None
    sequence_parallel: bool = False
    cache_precision: Name | None = None
    channels_last: bool = False
    threads: Count | None = None
    level: Annotated[float, Field(gt=0, lt=1)] = 0.8
    strict: bool = False


def _today() -> str:
    return Date.today().isoformat()


class PriceFields(Body):
    """What a device of a chip costs: by the hour, or bought and written off over years. USD."""

    usd_per_hour: Annotated[float, Field(ge=1e-4, le=1e4)] | None = None
    purchase_usd: Annotated[float, Field(ge=1, le=1e8)] | None = None
    years: Annotated[float, Field(ge=0.1, le=30)] | None = None
    commitment: Literal["on-demand", "reserved", "spot", "owned"] | None = None
    date: Annotated[str, Field(pattern=r"^[0-9]{4}(-[0-9]{2}){0,2}$")] = Field(default_factory=_today)
    source: Annotated[str, Field(min_length=1, max_length=MOST_LETTERS)] = "given with the request"


class CostFields(Body):
    """Own prices by chip, and where the devices stand: what costs and energy are told for.

    Args:
        electricity: USD per kWh. pue: power of the site over that of its servers. utilisation: share of the hours that
            the devices serve this load.
    """

    prices: Annotated[dict[Name, PriceFields], Field(max_length=64)] | None = None
    electricity: Annotated[float, Field(ge=0, le=10)] | None = None
    pue: Annotated[float, Field(ge=1, le=5)] | None = None
    utilisation: Annotated[float, Field(ge=1e-6, le=1)] | None = None


class GridBody(Common):
    """Every combination of the lists."""

    model: ModelNames
    hardware: Names
    precision: Names | None = None
    batch: Counts = [1]
    input_tokens: Counts | None = None
    output_tokens: Counts | None = None
    steps: Counts | None = None
    tp: Degrees = [1]
    pp: Degrees = [1]
    ep: Degrees = [1]
    attention_dp: Degrees = [1]
    runtime: Names | None = None

    def combinations(self) -> int:
        """How many there are at most."""
        count = 1
        for name in GridBody.model_fields:
            value = getattr(self, name)
            count *= len(value) if isinstance(value, list) else 1
        return count


class PredictBody(GridBody, CostFields):
    """`perfmodel predict`."""

    max_batch: bool = False
    max_context: bool = False


class ScaleBody(GridBody):
    """`perfmodel scale`: `model` holds families, or at least two models."""

    phase: Names | None = None


class ExplainBody(Common):
    """`perfmodel explain`: one combination."""

    model: ModelName
    hardware: Name
    precision: Name | None = None
    batch: Count = 1
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    steps: Count | None = None
    tp: Degree = 1
    pp: Degree = 1
    ep: Degree = 1
    attention_dp: Degree = 1
    runtime: Name | None = None
    symbolic: bool = False


class ServerFields(Body):
    """A model on its chips, under an engine."""

    model: ModelName
    hardware: Name
    engine: Name = "vllm"
    precision: Name | None = None
    cache_precision: Name | None = None
    tp: Degree = 1
    pp: Degree = 1
    ep: Degree = 1
    attention_dp: Degree = 1
    replicas: Annotated[int, Field(ge=1, le=4096)] = 1
    draft_tokens: Annotated[int, Field(ge=0, le=64)] = 0


class ServingBody(ServerFields, CostFields):
    """`perfmodel predict --engine`, at one load and along a curve of loads.

    Give `concurrency` or `rate` for an answer at that load; `over` and `points`, or `loads`, for the curve; `slo_ttft`
    and `slo_tpot` for the largest number of users within limits.
    """

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    concurrency: Users | None = None
    rate: Rate | None = None
    over: Literal["concurrency", "rate"] = "concurrency"
    loads: Annotated[list[Annotated[float, Field(gt=0, le=1 << 20)]], Field(min_length=1, max_length=512)] | None = None
    points: Annotated[int, Field(ge=2, le=512)] = 32
    slo_ttft: Seconds | None = None
    slo_tpot: Seconds | None = None
    engine_version: Name | None = None
    level: Annotated[float, Field(gt=0, lt=1)] = 0.8
    strict: bool = False


class PlanBody(CostFields):
    """`perfmodel plan`."""

    model: ModelNames
    hardware: Names
    engine: Names = ["vllm"]
    precision: Names | None = None
    tp: Degrees = [1, 2, 4, 8]
    rate: Rate | None = None
    concurrency: Users | None = None
    input_tokens: Count
    output_tokens: Count
    length_spread: Annotated[float, Field(ge=0, le=10)] | None = None
    ttft: Seconds | None = None
    tpot: Seconds | None = None
    itl: Seconds | None = None
    e2e: Seconds | None = None
    percentile: Annotated[float, Field(gt=0, lt=100)] | Literal["mean"] = 95.0
    max_gpus: Annotated[int, Field(ge=1, le=1 << 24)] | None = None
    order: Literal["gpus", "cost", "energy"] = "gpus"


class SimulateBody(ServerFields):
    """`perfmodel simulate`: times in seconds, `link` in bytes per second."""

    router: Name = "round-robin"
    max_sequences: Annotated[int, Field(ge=1, le=65536)] | None = None
    chunk_tokens: Annotated[int, Field(ge=0, le=1 << 24)] | None = None
    cache_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    accepted: Annotated[float, Field(ge=1, le=65)] | None = None
    prefix_groups: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    prefix_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    prefill_replicas: Annotated[int, Field(ge=1, le=4096)] | None = None
    link: Annotated[float, Field(ge=1, le=1e15)] | None = None
    rate: Rate | None = None
    concurrency: Annotated[int, Field(ge=1, le=1 << 20)] | None = None
    arrival: Literal["poisson", "gamma", "constant", "on-off", "closed"] | None = None
    burstiness: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    on_time: Seconds = 10.0
    off_time: Seconds = 10.0
    think_time: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    input_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    output_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    length_spread: Annotated[float, Field(ge=0, le=10)] | None = None
    requests: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    slo_ttft: Seconds | None = None
    slo_tpot: Seconds | None = None
