"""Figures of engines that people published: a static batch per row, one figure each.

    hardware,n_devices,model,precision,engine,input_len,output_len,batch_or_concurrency,metric,value,unit,source

All requests of a batch start together (`rate` inf, as many `requests` as `concurrency`), so nothing waits:

    prefill_throughput        prompt tokens per second of the whole batch   -> TTFT
    prefill_latency, first_token_latency                                    -> TTFT
    decode_throughput         tokens per second of the whole batch          -> TPOT
    decode_latency_per_token  a step of the whole batch                     -> TPOT
    e2e_latency                                                             -> E2E
    output_throughput         of all devices; output_throughput_per_gpu of one of them

llama.cpp (from 2024 on; it split rows before) and exllama give each device some of the layers; other engines split
every layer, unless the engine's name says TPn or PPn. A power cap may stand behind the hardware, release and date
behind the engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from perfmodel.calibration.measurements import Array, Imported
from perfmodel.calibration.serving_rows import METRICS as FIGURES
from perfmodel.calibration.serving_rows import ServingRows
from perfmodel.calibration.sources.columns import Columns, Texts
from perfmodel.calibration.sources.model_names import WEIGHTS, FindModel, plain_name
from perfmodel.calibration.sources.rows import Check, FindDevice, group_rows, known_checks, sift, size_checks
from perfmodel.catalog import fold_name
from perfmodel.layouts import Layout
from perfmodel.types import Hardware

NAME = "published"
HARNESS = "static batch"
COLUMNS = (
    "hardware", "n_devices", "model", "precision", "engine", "input_len", "output_len", "batch_or_concurrency",
    "metric", "value", "unit",
)  # fmt: skip
SECONDS = {"ms": 1e-3, "s": 1.0, "us": 1e-6}
# metric -> what it is in `ServingRows`, and its value from that of the row, and the row's batch, prompt and devices
_Convert = Callable[[Array, Array, Array, Array], Array]
_TIMES: Mapping[str, str] = {
    "prefill_latency": "ttft_seconds", "first_token_latency": "ttft_seconds",
    "decode_latency_per_token": "tpot_seconds", "e2e_latency": "e2e_seconds",
}  # fmt: skip
_RATES: Mapping[str, tuple[str, str, _Convert]] = {
    "prefill_throughput": ("ttft_seconds", "tok/s", lambda value, batch, prompt, devices: batch * prompt / value),
    "decode_throughput": ("tpot_seconds", "tok/s", lambda value, batch, prompt, devices: batch / value),
    "output_throughput": ("output_throughput", "tok/s", lambda value, batch, prompt, devices: value),
    "output_throughput_per_gpu": (
        "output_throughput", "tok/s/GPU", lambda value, batch, prompt, devices: value * devices
    ),
}  # fmt: skip
METRICS = (*_TIMES, *_RATES)
# beginning of the engine's name -> ours, and whether it splits layers (tensor) or deals them out (pipeline)
ENGINES = {
    "tensorrt-llm": ("trtllm", "tensor"), "fastertransformer": ("fastertransformer", "tensor"),
    "megatron": ("megatron", "tensor"), "vllm": ("vllm", "tensor"), "llama.cpp": ("llama-cpp", "pipeline"),
    "mlc-llm": ("mlc-llm", "tensor"), "exllama-v2": ("exllamav2", "pipeline"), "exllama": ("exllama", "pipeline"),
    "gpt-fast": ("gpt-fast", "tensor"),
}  # fmt: skip
# engine -> the profile of its early kind, and the date and the release before which it is that
ERAS = {
    "trtllm": ("trtllm-2023", "2024-06", (0, 10)), "vllm": ("vllm-2023", "2024-06", (0, 5)),
    "llama-cpp": ("llama-cpp-2023", "2024", (0,)),
}  # fmt: skip
LAYERS_SINCE = {"llama-cpp": "2024"}  # year in which an engine came to deal out layers instead of splitting them
DOCUMENTS = {"mlc-ai/llm-perf-bench": "2023"}  # part of a source -> its year, where engines have no date of their own
# names that these documents use for others' models
MODELS = {
    "gpt-125m": "gpt3-125m", "gpt-350m": "gpt3-350m", "gpt-1.3b": "gpt3-1.3b", "gpt-2.7b": "gpt3-2.7b",
    "gpt-6.7b": "gpt3-6.7b", "gpt-13b": "gpt3-13b", "gpt-175b": "gpt3-175b", "llama-7b": "llama-2-7b",
    "llama-13b": "llama-2-13b", "llama-70b": "llama-2-70b", "mistral-7b": "mistral-7b-v0.1",
}  # fmt: skip
PRECISIONS = {
    "f16": "fp16", "int8-weight-only": "w8a16", "int4-weight-only": "w4a16", "int4-g32-weight-only": "w4a16",
    "q4-k-m": "gguf:q4_k_m",
}  # fmt: skip
# the same board under another name, or one whose memory is alike
DEVICES = {"h100-80gb": "h100-sxm", "m1-7-core-gpu-8gb": "apple-m1", "gh200": "gh200-96gb", "a100": "a100-sxm-80gb"}
# some builds of llama.cpp read prompts 3 to 13 times too slowly on A100 in F16: at less than this share of the rate
# with 4-bit weights, which take more work
ARTEFACT_CHIP, ARTEFACT_SHARE = "A100", 0.5
_CAP = re.compile(r"\s*\((\d+) ?W cap\)$")
_NOTE = re.compile(r"\s*\(.*\)$")
_MEMORY = re.compile(r"-\d+gb$")
_RELEASE = re.compile(r"\d+\.\d+(?:\.\d+)?")
_COMMIT = re.compile(r"commit ([0-9a-f]{7,})")
_DATE = re.compile(r"\d{4}-\d\d-\d\d|\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* \d{4}|\b20\d\d\b")
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_DEGREE = re.compile(r"\b(TP|PP) ?(\d{1,4})\b")


@dataclass(frozen=True, slots=True)
class EngineName:
    """What the name of an engine says."""

    engine: str
    version: str
    date: str
    split: str
    degrees: Mapping[str, int]


def read_published(table: Columns, find: FindDevice, find_model: FindModel) -> Imported:
    """Figures of static batches, in groups of one deployment."""
    chips = {name: _chip(name, find) for name in table.texts("hardware").values}
    engines = _engines(table)
    layouts = _layouts(table, engines)
    numbers = {name: table.numbers(name) for name in ("input_len", "output_len")}
    counts = {name: table.numbers(name) for name in ("n_devices", "batch_or_concurrency")}
    checks = [
        *known_checks(table.texts("hardware"), chips.get, "unknown device {}"),
        *known_checks(table.texts("metric"), METRICS.__contains__, "unknown metric {}"),
        *size_checks(counts),
        *size_checks(numbers, at_least=0),
        *_unit_checks(table),
        *_model_checks(table, find_model),
        *((own[0], own[1]) for own in layouts.values() if isinstance(own[1], str)),
        (
            _artefacts(table),
            "a prompt in F16 takes more than twice that in 4 bits on an A100: an artefact of the build",
        ),
    ]
    with np.errstate(all="ignore"):  # rows without sizes are sorted out by the checks
        figures = _figures(table, counts["batch_or_concurrency"], numbers["input_len"], counts["n_devices"])
    value = table.numbers("value")
    checks.append((np.isnan(value), "value is missing or not a number"))
    checks += [
        (~np.isfinite(own) | (own <= 0), "value is not positive")
        for own in (value, *(np.nan_to_num(figure, nan=1.0) for figure in figures.values()))
    ]
    usable, skipped = sift(len(table), checks)
    keys = [table.texts(name) for name in ("hardware", "model", "precision", "n_devices")]
    groups = []
    for (engine, hardware, model, precision, devices), chosen in group_rows([engines, *keys], usable):
        chip, deployed, layout = chips[hardware], _model(model, precision, find_model), layouts[engine, devices][1]
        assert chip is not None  # the others were sifted out
        assert deployed is not None
        assert isinstance(layout, Layout)
        groups.append(_group(table, chip, hardware, model, deployed, read_engine_name(engine), layout, figures, chosen))
    return Imported(serving=tuple(groups), skipped=skipped, rows=len(table))


def _group(
    table: Columns,
    chip: Hardware,
    hardware: str,
    model: str,
    deployed: tuple[str, str],
    engine: EngineName,
    layout: Layout,
    figures: Mapping[str, Array],
    chosen: Array,
) -> ServingRows:
    batch, cap = table.numbers("batch_or_concurrency")[chosen], _CAP.search(hardware)
    return ServingRows(
        source=NAME,
        file=table.path,
        harness=HARNESS,
        hardware=chip.id,
        engine=engine.engine,
        version=engine.version,
        subject=model,
        model=deployed[0],
        precision=deployed[1],
        layout=layout,
        rows=table.rows[chosen],
        input_tokens=table.numbers("input_len")[chosen],
        output_tokens=table.numbers("output_len")[chosen],
        concurrency=batch,
        rate=np.full(len(chosen), np.inf),
        requests=batch,
        dates=np.full(len(chosen), engine.date),
        facts={"power_watts": np.full(len(chosen), float(cap[1]))} if cap else {},
        ttft_seconds=figures["ttft_seconds"][chosen],
        tpot_seconds=figures["tpot_seconds"][chosen],
        e2e_seconds=figures["e2e_seconds"][chosen],
        output_throughput=figures["output_throughput"][chosen],
    )


def read_engine_name(text: str) -> EngineName:
    """Engine, release, date and layout that a name tells.

    >>> read_engine_name("TensorRT-LLM 0.5-era (commit 6755a3f0, 2023-11-18)").version
    '0.5'
    >>> read_engine_name("FasterTransformer TP8 PP2").degrees
    {'TP': 8, 'PP': 2}
    """
    folded = fold_name(text)
    engine, split = next(
        (known for start, known in ENGINES.items() if folded.startswith(start)),
        (fold_name(_NOTE.sub("", text)), "tensor"),
    )
    release, commit, date = _RELEASE.search(_NOTE.sub("", text)), _COMMIT.search(text), _DATE.search(text)
    version = release[0] if release else commit[1] if commit else ""
    degrees = {name: int(count) for name, count in _DEGREE.findall(text)}
    told = _iso(date[0]) if date else ""
    if told and told < LAYERS_SINCE.get(engine, ""):
        split = "tensor"
    return EngineName(_of_era(engine, told, release[0] if release else ""), version, told, split, degrees)


def _of_era(engine: str, date: str, release: str) -> str:
    """The profile for the time of a release: engines changed more than their names.

    >>> _of_era("vllm", "2023", ""), _of_era("trtllm", "", "0.9.0"), _of_era("trtllm", "", "1.0")
    ('vllm-2023', 'trtllm-2023', 'trtllm')
    """
    early, until, first = ERAS.get(engine, (engine, "", (0,)))
    numbers = tuple(int(part[:9]) for part in release.split(".")[:2]) if release else ()
    return early if (numbers < first if numbers else "" < date < until) else engine


def _iso(date: str) -> str:
    """May 2024 -> 2024-05."""
    if not date[0].isalpha():
        return date
    return f"{date[-4:]}-{_MONTHS.index(date[:3]) // 3 + 1:02}"


def _chip(name: str, find: FindDevice) -> Hardware | None:
    """The chip, with or without the memory that stands behind its name."""
    folded = fold_name(_CAP.sub("", name))
    bare = _MEMORY.sub("", folded)
    for spelled in (folded, DEVICES.get(folded, ""), bare, f"rtx-{bare}"):
        if spelled and (chip := find(spelled)):
            return chip
    return None


def _model(model: str, precision: str, find_model: FindModel) -> tuple[str, str] | None:
    stated = fold_name(_NOTE.sub("", precision))
    asked = PRECISIONS.get(stated, WEIGHTS.get(stated, ""))
    return find_model(MODELS.get(plain_name(model), model), asked) if asked else None


def _model_checks(table: Columns, find_model: FindModel) -> list[Check]:
    model, precision = table.texts("model"), table.texts("precision")
    checks: list[Check] = []
    for place, name in enumerate(model.values):
        for number, stated in enumerate(precision.values):
            if _model(name, stated, find_model) is None:
                rows = (model.codes == place) & (precision.codes == number)
                checks.append((rows, f"unknown model {name} in {stated or 'no precision'}"))
    return checks


def _engines(table: Columns) -> Texts:
    """The engines' names, with the year of the document behind those that have no date."""
    engine, source = table.texts("engine"), table.texts("source")
    years = [next((year for part, year in DOCUMENTS.items() if part in text), "") for text in source.values]
    known: dict[str, int] = {}
    codes = []
    for place, document in zip(engine.codes, source.codes, strict=True):
        name, year = engine.values[place], years[document]
        dated = f"{name} ({year})" if year and not _DATE.search(name) else name
        codes.append(known.setdefault(dated, len(known)))
    return Texts(np.array(codes, dtype=np.int64), tuple(known))


def _layouts(table: Columns, engine: Texts) -> dict[tuple[str, str], tuple[Array, Layout | str]]:
    """(engine, devices as written) -> its rows, and the layout or what is wrong with it."""
    devices = table.texts("n_devices")
    found: dict[tuple[str, str], tuple[Array, Layout | str]] = {}
    for place, name in enumerate(engine.values):
        told = read_engine_name(name)
        for number, count in enumerate(devices.values):
            rows = (engine.codes == place) & (devices.codes == number)
            if rows.any():
                found[name, count] = rows, _layout(told, count)
    return found


def _layout(told: EngineName, devices: str) -> Layout | str:
    if not re.fullmatch(r"[1-9]\d{0,5}(\.0)?", devices):
        return "n_devices is no whole number"
    count, pipeline = int(float(devices)), told.degrees.get("PP", 1)
    tensor = told.degrees.get("TP", count // pipeline if told.split == "tensor" or told.degrees else 1)
    pipeline = count if told.split == "pipeline" and not told.degrees else pipeline
    if tensor * pipeline != count:
        return "n_devices contradicts the layout in the engine's name"
    return Layout(tensor=tensor, pipeline=pipeline)


def _unit_checks(table: Columns) -> list[Check]:
    metric, unit = table.texts("metric"), table.texts("unit")
    checks: list[Check] = []
    for place, name in enumerate(metric.values):
        known = tuple(SECONDS) if name in _TIMES else (_RATES[name][1],) if name in _RATES else ()
        for number, stated in enumerate(unit.values):
            if known and stated not in known:
                rows = (metric.codes == place) & (unit.codes == number)
                checks.append((rows, f"{name} in {stated or 'no unit'}, not in {' or '.join(known)}"))
    return checks


def _figures(table: Columns, batch: Array, prompt: Array, devices: Array) -> dict[str, Array]:
    """The columns of figures of `ServingRows`; each row has one, the others are NaN."""
    metric, unit, value = table.texts("metric"), table.texts("unit"), table.numbers("value")
    scale = np.array([SECONDS.get(text, np.nan) for text in unit.values])[unit.codes]
    figures = {name: np.full(len(table), np.nan) for name in FIGURES}
    for place, name in enumerate(metric.values):
        rows = metric.codes == place
        if name in _TIMES:
            figures[_TIMES[name]][rows] = (value * scale)[rows]
        elif name in _RATES:
            column, _, convert = _RATES[name]
            figures[column][rows] = convert(value, batch, prompt, devices)[rows]
    return figures


def _artefacts(table: Columns) -> Array:
    """Prompts in F16 that are far slower than the same with 4-bit weights, where the build is to blame."""
    names = ("hardware", "n_devices", "model", "engine", "input_len", "batch_or_concurrency")
    texts = {name: table.texts(name) for name in (*names, "metric", "precision")}
    spelled = {name: [own.values[code] for code in own.codes] for name, own in texts.items()}
    value, found = table.numbers("value"), np.zeros(len(table), dtype=bool)
    prompts = [
        place
        for place, metric in enumerate(spelled["metric"])
        if metric == "prefill_throughput" and spelled["hardware"][place].startswith(ARTEFACT_CHIP)
    ]
    keys = {place: tuple(spelled[name][place] for name in names) for place in prompts}
    narrow = {keys[place]: value[place] for place in prompts if spelled["precision"][place].startswith("Q4")}
    for place in prompts:
        if spelled["precision"][place] == "F16" and keys[place] in narrow:
            found[place] = value[place] < ARTEFACT_SHARE * narrow[keys[place]]
    return found
