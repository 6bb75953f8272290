"""What a calibration stands on and what it came to, in sentences; shared by its table and its report.

May import: calibration, measuring, formats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from statistics import median

from perfmodel.calibration.local import SHARE, ModelScore, ScopeCalibration
from perfmodel.measuring.run_files import Runs
from perfmodel.report.formats import format_bytes, format_number, join_words

UNLIKELY = 0.1  # chance of so few held intervals, below which it is told
FAR_OFF = 1.5  # predicted over measured, or its inverse, from which a model is named
OFTEN_DISTURBED = 0.02  # of all runs


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under what runs were taken.

    Args:
        device: cpu or cuda. machine, versions: as the file of runs has them. created: when measuring began.
        load: lowest, middle and highest load average, () where the system tells none. drift: the slowest clock over
            that at the start. runs, disturbed: how many there are; how many of them other programs disturbed.
    """

    device: str
    machine: Mapping[str, object]
    versions: Mapping[str, str]
    suite: str
    created: str
    load: tuple[float, ...]
    drift: float
    runs: int
    disturbed: int


def conditions_of(suite: Runs, models: Runs) -> Conditions:
    """The conditions of a calibration's runs: programs and whole models."""
    points = [*suite.points, *models.points]
    loads = sorted(float(point["load"]) for point in points if "load" in point)
    return Conditions(
        device=str(suite.header.get("device", "")),
        machine=dict(suite.header.get("machine", {})),
        versions=dict(suite.header.get("versions", {})),
        suite=str(suite.header.get("suite", "")),
        created=str(suite.header.get("created", "")),
        load=(loads[0], median(loads), loads[-1]) if loads else (),
        drift=max((float(point.get("drift", 1.0)) for point in points), default=1.0),
        runs=len(points),
        disturbed=sum(bool(point.get("contaminated")) for point in points),
    )


def scope_words(own: ScopeCalibration) -> str:
    """A dtype and where it runs: `fp32 on 1 thread`, `bf16 on 8 threads`, `fp16 on the GPU, compiled`."""
    where = f"{own.threads} thread{'s' if own.threads > 1 else ''}" if own.threads else "the GPU"
    return f"{own.dtype} on {where}" + (f", {own.runtime}" if own.runtime != "eager" else "")


def is_held(measured: float, interval: tuple[float, float, float]) -> bool:
    """Whether a measurement lies in (seconds, low, high) of its prediction."""
    return interval[1] <= measured <= interval[2]


def result_sentences(own: ScopeCalibration) -> Iterator[str]:
    """What the check on whole models came to, and what in it to beware of."""
    if not own.scores:
        yield f"{scope_words(own)}: not checked on whole models; its intervals come from runs left out of fits."
        return
    before, after = own.before["median_ape"], own.after["median_ape"]
    held = sum(is_held(score.measured_seconds, score.after) for score in own.scores)
    yield (
        f"{scope_words(own)}: the median error of {len(own.scores)} runs of whole models, none of them fitted, went "
        f"from {100 * before:.1f} % to {100 * after:.1f} %; {held} lie in their {100 * SHARE:g} % interval."
    )
    if after > before:
        yield f"{scope_words(own)}: calibration made it worse; measure again with nothing else running."
    if _chance_of(held, len(own.scores)) < UNLIKELY:
        yield f"{scope_words(own)}: intervals are too narrow for models like these; take them with caution."
    far = [score for score in own.scores if _factor(score) > FAR_OFF]
    if far:
        named = [_off_words(score) for score in sorted(far, key=_factor, reverse=True)]
        yield f"{scope_words(own)}: far off: {join_words(named)}."


def _chance_of(held: int, models: int) -> float:
    """That so few of the models or fewer lie in intervals that hold `SHARE` of them."""
    return sum(comb(models, count) * SHARE**count * (1 - SHARE) ** (models - count) for count in range(held + 1))


def _factor(score: ModelScore) -> float:
    ratio = score.after[0] / score.measured_seconds
    return max(ratio, 1 / ratio)


def _off_words(score: ModelScore) -> str:
    way = "slow" if score.after[0] > score.measured_seconds else "fast"
    return f"{score.name} (predicted {format_number(_factor(score), 2)} times too {way})"


def standing_sentences(conditions: Conditions) -> Iterator[str]:
    """Machine, versions, date, load: what the coefficients hold for."""
    machine, versions = conditions.machine, conditions.versions
    facts = [str(machine.get(key)) for key in ("cpu", "gpu", "isa") if machine.get(key)]
    facts += [f"{machine['cores']} cores"] if machine.get("cores") else []
    llc = machine.get("llc_bytes")
    facts += [f"last cache {format_bytes(llc)}"] if isinstance(llc, int | float) and llc else []
    known = f" (machine {machine['id']})" if machine.get("id") else ""
    names = join_words([f"{name} {number}" for name, number in versions.items()])
    yield f"Measured on {', '.join(facts) or 'this machine'}{known}, device {conditions.device}, with {names}."
    when = conditions.created.replace("T", " ")[:16]
    load = ""
    if conditions.load:
        low, middle, high = conditions.load
        load = f"; load average {low:.1f} to {high:.1f}, mostly {middle:.1f}"
    yield (
        f"Begun {when}{' UTC' if conditions.created.endswith('+00:00') else ''}{load}; clock at its slowest "
        f"{100 * max(conditions.drift - 1, 0):.0f} % below that at the start; {conditions.runs} runs"
        f"{f', {conditions.disturbed} of them disturbed and left out' if conditions.disturbed else ', none disturbed'}."
    )
    if conditions.runs and conditions.disturbed / conditions.runs > OFTEN_DISTURBED:
        yield "Other programs were running: close them, remove the runs, and calibrate again for better coefficients."


def next_sentences(found: Sequence[ScopeCalibration], name: str) -> Iterator[str]:
    """The commands that use the calibration.

    Args:
        name: of the profile.
    """
    whole = [own for own in found if own.chip.id == name]
    parts = dict.fromkeys(own.threads for own in found if own.chip.id != name)
    # on a GPU a model with a KV cache is predicted as a serving engine runs it, unless told otherwise
    eager = " --runtime eager" if any(own.chip.kind == "gpu" for own in whole) else ""
    if whole or not parts:
        yield f"perfmodel predict MODEL --hardware {name}{eager}"
    for threads in parts:
        yield f"perfmodel predict MODEL --hardware {name} --threads {threads}"
