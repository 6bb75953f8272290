"""Writes docs/accuracy.md: every figure of accuracy, each from the validation that anyone can run.

    python docs/write_accuracy.py --data FOLDER     # the folder with aiconfigurator/, neusight/, vidur/, timm/
    python docs/write_accuracy.py --servers         # writes the section of servers alone, in a second

Nothing in the page is typed in by hand but the words between the tables. Takes about twenty minutes on two cores.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from perfmodel.anchoring import Anchor, Subject, anchored
from perfmodel.calibration.framework_fits import by_scope as by_framework_scope
from perfmodel.calibration.framework_fits import left_out_fits as left_out_framework_fits
from perfmodel.calibration.framework_fits import score_left_out as score_framework_left_out
from perfmodel.calibration.framework_rows import read_rows
from perfmodel.calibration.local import ScopeCalibration, calibrate_runs
from perfmodel.calibration.measurements import OpRows
from perfmodel.calibration.scoring import Group, Scored, metrics_of
from perfmodel.calibration.sources import read_measurements
from perfmodel.calibration.validation import Validation, validate
from perfmodel.catalog import load_hardware
from perfmodel.errors import InputError
from perfmodel.fitted_scopes import SHARES, half_normal_quantile
from perfmodel.measuring.run_files import read_runs
from perfmodel.serving.engine_files import read_engine_file
from perfmodel.whole_files import write_whole

LEVEL = 0.8
POOR_MEDIAN, COVERED = 0.25, (0.75, 0.92)
SERVERS = "## Servers"
PAGE = Path(__file__).parent / "accuracy.md"
RECORDED = Path(__file__).parents[1] / "calibration" / "measurements"


@dataclass(frozen=True)
class Section:
    """One validation and the groups it is reported by.

    Args:
        files: patterns below the data folder. by: labels of a row of the table. leave_out: None for coefficients as
            shipped. note: what to know when reading it.
    """

    title: str
    files: tuple[str, ...]
    by: tuple[str, ...]
    leave_out: str | None = "hardware"
    note: str = ""


@dataclass(frozen=True)
class Poor:
    """A group of rows that is off, or whose intervals are too "narrow" or too "wide"."""

    title: str
    what: str
    text: str


TIMM = "timm/benchmark-infer-*.csv"
FRAMEWORK_KEYS = ("runtime", "hardware", "precision", "kernel")
LLM = "aiconfigurator/*/{}/*/*/{}.parquet"
MODELS = Section(
    "Whole fp32 models, eager: inference and training step",
    ("neusight/e2e_labels.csv", "neusight/op_*/[!c]*.csv"),
    ("phase", "hardware"),
    note="Rows of operators are fitted, models are scored; nothing of the device left out is seen. Two labels of MI250 "
    "(training, gpt2_large batch 4 and gpt3_xl batch 1) say three times what their operators take together; they are "
    "scored all the same.",
)
SECTIONS = (
    Section("Matrix products of LLM engines", (LLM.format("gemm", "gemm_perf"),), ("scope", "engine"),
            note="vLLM's fp8_block and the like, timed launch by launch, tell of its host and are not scored."),
    Section("Attention of LLM engines", (LLM.format("attention", "*_attention_perf"),), ("scope", "engine")),
    Section("Latent attention, one device", (LLM.format("mla", "*_mla_perf"),), ("scope", "engine"), None,
            "No other device has such rows, so these are errors on rows that were fitted."),
    Section("Mixture of experts", (LLM.format("moe", "moe_perf"),), ("scope", "engine", "kernel")),
    Section("Collectives of one node", (LLM.format("comm", "*_perf"),), ("scope", "fabric", "function")),
    Section("Collectives inside and across nodes, A100", ("vidur/network/*/*.csv",), ("scope", "fabric", "function"),
            None, "The only tables across nodes: predicted as shipped, so these are errors on rows that were fitted."),
    Section("fp32 operators, eager", ("neusight/op_*/*.csv",), ("scope", "op")),
    MODELS,
    Section("Operators of an LLM on one device", ("vidur/compute/*/*/*/mlp.csv",), ("op",), None,
            "A100 in fp16, kernel durations alone; predicted as shipped, from fits to other tables."),
)  # fmt: skip


def main() -> None:
    """Run all validations and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with aiconfigurator/, neusight/, vidur/")
    parser.add_argument("--servers", action="store_true", help="write the section of servers alone")
    options = parser.parse_args()
    if options.servers:
        write_whole(PAGE, with_servers(PAGE.read_text(encoding="utf-8")))
        return
    if not options.data:
        parser.error("--data is needed for all but --servers")
    data = options.data
    parts = [_head()]
    poor: list[Poor] = []
    for section in SECTIONS:
        print(section.title, file=sys.stderr)
        parts.append(_section(section, data, poor))
    parts.append(_frameworks(data, poor))
    parts.append(_anchors(data))
    parts.append(_calibrated(poor))
    parts.append(servers())
    parts.append(_noise(data))
    parts.append(_poor(poor))
    write_whole(PAGE, "\n".join(parts))


def _head() -> str:
    return f"""# Accuracy

Written by `docs/write_accuracy.py` on {date.today().isoformat()}; every table is one `perfmodel validate` command,
which stands above it (DATA is the folder with the measurements). Errors are |predicted/measured - 1|, bias is above 0
where perfmodel predicts too slow. *One hardware left out* means: coefficients are fitted again without any row of the
device, which is then predicted from its datasheet, and from the kernels of engines that other devices ran too. The
interval of a device left out comes from the errors of the others. *Coverage* is the share of rows inside the
{LEVEL:.0%} interval: of all rows, and of the least and the best covered device; *width* its middle half-width (1.30:
from 1/1.30 to 1.30 times).
"""


def _section(section: Section, data: Path, poor: list[Poor]) -> str:
    files = [str(path) for pattern in section.files for path in sorted(data.glob(pattern))]
    command = (
        f"perfmodel validate {' '.join(f'DATA/{pattern}' for pattern in section.files)} --by {','.join(section.by)}"
    )
    if section.leave_out:
        command += f" --leave-out {section.leave_out}"
    head = (
        f"## {section.title}\n\n    {command}\n\n{section.note}\n"
        if section.note
        else f"## {section.title}\n\n    {command}\n"
    )
    if not files:
        return head + "\nNo such files were at hand.\n"
    try:
        found = validate(files, leave_out=section.leave_out, level=LEVEL)
    except InputError as error:
        return head + f"\n{error}\n"
    lines = [*_table(found, section.by, poor, section.title)]
    for reason, rows in found.skipped.items():
        lines.append(f"\nNot scored: {rows} rows, {reason.split('. ')[0].rstrip('.').replace(str(data), 'DATA')}.")
    return head + "\n" + "\n".join(lines) + "\n"


def _table(found: Validation, by: Sequence[str], poor: list[Poor], title: str) -> Iterator[str]:
    columns = (*by, "devices", "rows", "median %", "MAPE %", "P90 %", "bias %", "tau", "coverage", "by device", "width")
    yield f"Split: {found.split}.\n"
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "|".join("---" for _ in columns) + "|"
    for group in [*sorted(found.groups(by), key=lambda group: tuple(group.key.values())), Group({}, found.sets)]:
        yield _row(group, by, poor, title)


def _row(group: Group, by: Sequence[str], poor: list[Poor], title: str) -> str:
    values = next(iter(metrics_of(group.sets, LEVEL).values()))
    by_device = {
        device: next(iter(metrics_of([own for own in group.sets if own.labels["hardware"] == device], LEVEL).values()))
        for device in sorted({own.labels["hardware"] for own in group.sets})
    }
    covered = [own["coverage"] for own in by_device.values()]
    name = ", ".join(group.key[key] for key in by if group.key.get(key)) or "all"
    if group.key and values["median_ape"] > POOR_MEDIAN:
        poor.append(Poor(title, "off", f"{name} ({values['median_ape']:.0%})"))
    for device, own in by_device.items() if group.key else ():
        if not COVERED[0] <= own["coverage"] <= COVERED[1]:
            what = "narrow" if own["coverage"] < COVERED[0] else "wide"
            poor.append(Poor(title, what, f"{name} on {device} ({own['coverage']:.0%})"))
    percents = [f"{100 * values[key]:.1f}" for key in ("median_ape", "mape", "p90_ape")]
    cells = [
        *(group.key.get(key) or ("all" if not group.key else "-") for key in by), ", ".join(by_device), str(group.rows),
        *percents, f"{100 * values['bias']:+.1f}", f"{values['kendall_tau']:.2f}", f"{values['coverage']:.2f}",
        f"{min(covered):.2f}-{max(covered):.2f}", f"{values['interval_factor']:.2f}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def _poor(found: Sequence[Poor]) -> str:
    heads = {
        "off": f"Median error above {POOR_MEDIAN:.0%}",
        "narrow": f"Intervals too narrow: fewer than {COVERED[0]:.0%} of a device's rows inside",
        "wide": f"Intervals wider than need be: more than {COVERED[1]:.0%} inside",
    }
    lines = ["## Where perfmodel is poor", ""]
    for what, head in heads.items():
        lines += [f"{head}:", ""]
        for title in dict.fromkeys(own.title for own in found if own.what == what):
            lines.append(f"- {title}: {'; '.join(own.text for own in found if (own.title, own.what) == (title, what))}")
        lines.append("")
    return "\n".join(lines)


def _frameworks(data: Path, poor: list[Poor]) -> str:
    """Image models in a framework, read once: families of models left out, devices left out, devices with anchors."""
    title = "Image models in a framework"
    files = sorted(data.glob(TIMM))
    head = f"## {title}\n\n    perfmodel validate DATA/{TIMM} --by {','.join(FRAMEWORK_KEYS)} --leave-out family\n"
    if not files:
        return head + "\nNo such files were at hand.\n"
    facts = read_measurements(files).measurements
    chips = {name: load_hardware(name) for name in dict.fromkeys(fact.hardware for fact in facts)}
    rows, skipped = read_rows(facts, chips, lambda text: print(text, file=sys.stderr))
    lines = [f"Not traced: {count} rows, {reason}.\n" for reason, count in skipped.items()]
    for leave_out in ("family", "hardware"):
        sets: list[Scored] = []
        for scope, members in by_framework_scope(rows, chips).items():
            fits = left_out_framework_fits(scope, members, chips, leave_out)
            sets += score_framework_left_out(scope, fits, chips, leave_out, LEVEL)
        split = {"family": "families of models left out, in five folds", "hardware": "one hardware left out"}[leave_out]
        found = Validation(
            source="timm", rows=len(rows), sets=tuple(sets), skipped={}, warnings=(), level=LEVEL, split=split
        )
        lines += [*_table(found, FRAMEWORK_KEYS, poor, f"{title}, {split}"), ""]
    lines += ["With runs of other models on the device left out as anchors:\n", *_anchor_table(sets, (0, 3, 10))]
    return head + "\n" + "\n".join(lines) + "\n"


def _anchors(data: Path) -> str:
    """Whole models with 0, 1 and 3 runs of other models of the same device as anchors."""
    files = [str(path) for pattern in MODELS.files for path in sorted(data.glob(pattern))]
    if not files:
        return "## Anchors\n\nNo files were at hand.\n"
    models = validate(files, leave_out="hardware", level=LEVEL).sets
    head = (
        "Whole fp32 models of a device left out, with so many runs of *other* models on it as anchors "
        "(`perfmodel predict --anchors FILE`); every model of every device, anchors drawn five times."
    )
    return f"## Anchors\n\n{head}\n\n" + "\n".join(_anchor_table(models, (0, 1, 3))) + "\n"


def _anchor_table(models: Sequence[Scored], counts: Sequence[int]) -> list[str]:
    lines = ["| anchors | median % | MAPE % | P90 % | coverage | width |", "|---|---|---|---|---|---|"]
    for count in counts:
        errors, inside, widths = _anchored_errors(models, count)
        percents = [f"{100 * value:.1f}" for value in (np.median(errors), errors.mean(), np.quantile(errors, 0.9))]
        cells = [str(count), *percents, f"{inside.mean():.2f}", f"{np.exp(np.median(widths)):.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _anchored_errors(models: Sequence[Scored], count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(errors, inside the interval, half-widths) of every model, five draws of anchors each."""
    random = np.random.default_rng(0)
    z = half_normal_quantile(LEVEL)
    found = []
    for own in models:
        others = [one for one in models if one.labels["hardware"] == own.labels["hardware"]]
        others = [one for one in others if one.labels["model"] != own.labels["model"]]
        for _ in range(5):
            chosen = random.permutation(len(others))[:count]
            shift, sd = anchored(_subject(own), [_anchor(others[place]) for place in chosen])
            error = -float(own.log_ratio[0]) - shift
            found.append((abs(np.expm1(-error)), abs(error) <= z * sd, z * sd))
    errors, inside, widths = (np.array(column, dtype=float) for column in zip(*found, strict=True))
    return errors, inside, widths


def _anchor(own: Scored) -> Anchor:
    return Anchor(subject=_subject(own), log_ratio=-float(own.log_ratio[0]))


def _subject(own: Scored) -> Subject:
    sd = float(own.half_width[0]) / half_normal_quantile(LEVEL)
    labels = own.labels
    return Subject(hardware=labels["hardware"], shares=own.shares, sd=sd, model=labels["model"], phase=labels["phase"])


def _calibrated(poor: list[Poor]) -> str:
    """Calibrations from recorded runs: whole models that no fit saw, before and after."""
    lines = [
        "## Calibrated on the machine at hand",
        "",
        "    perfmodel calibrate --threads 1,2",
        "",
        "From the runs in `calibration/measurements/`: programs of the quick suite and four runs of three anchors are "
        "fitted; the models in the tables are not, and no program has their shapes. *Before* is the machine's profile "
        "with what perfmodel ships for other chips. They are 15 runs for each line, so a coverage of .80 is known to "
        "about .10.",
    ]
    for folder in sorted(path.parent for path in RECORDED.glob("*/quick.jsonl")):
        suite, models = (read_runs(folder / name) for name in ("quick.jsonl", "models.jsonl"))
        versions = ", ".join(f"{name} {version}" for name, version in suite.header["versions"].items())
        loads = [float(point["load"]) for point in (*suite.points, *models.points)]
        lines += [
            "",
            f"{folder.name}: {suite.header['machine']['cpu']}, {suite.header['machine']['cores']} cores; {versions}; "
            f"measured {suite.header['created'][:10]} at a load of {min(loads):.1f} to {max(loads):.1f}.",
            "",
            "| threads | dtype | when | models | median % | MAPE % | P90 % | bias % | coverage |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        found = calibrate_runs(load_hardware(folder.name), suite, models)
        for own in found:
            lines += [_calibrated_row(own, when) for when in ("before", "after")]
            if not COVERED[0] <= own.after["coverage"] <= COVERED[1]:
                what = "narrow" if own.after["coverage"] < COVERED[0] else "wide"
                text = f"{own.dtype} on {own.threads} threads, coverage {own.after['coverage']:.2f}"
                poor.append(Poor("Calibrated on the machine at hand", what, text))
        lines += ["", *_calibrated_models(found)]
    return "\n".join(lines) + "\n"


def _calibrated_row(own: ScopeCalibration, when: str) -> str:
    metrics = own.before if when == "before" else own.after
    percents = [f"{100 * metrics[name]:.1f}" for name in ("median_ape", "mape", "p90_ape", "bias")]
    cells = [str(own.threads), own.dtype, when, f"{metrics['rows']:.0f}", *percents, f"{metrics['coverage']:.2f}"]
    return f"| {' | '.join(cells)} |"


def _calibrated_models(found: Sequence[ScopeCalibration]) -> Iterator[str]:
    """Milliseconds measured, and the error after calibration, of each model."""
    names = list(dict.fromkeys(score.name for own in found for score in own.scores))
    yield "| model | " + " | ".join(f"{own.dtype}, {own.threads} threads" for own in found) + " |"
    yield "|---|" + "---|" * len(found)
    for name in names:
        cells = []
        for own in found:
            score = next((one for one in own.scores if one.name == name), None)
            if score is None:
                cells.append("")
                continue
            error = score.after[0] / score.measured_seconds - 1
            missed = "" if score.after[1] <= score.measured_seconds <= score.after[2] else " (missed)"
            cells.append(f"{1e3 * score.measured_seconds:.1f} ms, {100 * error:+.0f} %{missed}")
        yield f"| {name} | {' | '.join(cells)} |"


def servers() -> str:
    """Errors of servers, from the file of their fit: runs that were left out as each level says."""
    path = RECORDED.parent / "coefficients" / "serving.json"
    fitted = read_engine_file(path)
    head = (
        "    perfmodel validate runs.csv --leave-out deployment\n"
        "    perfmodel validate runs.csv --leave-out model --anchor-runs 1\n\n"
        f"Fitted on {fitted.provenance}, {fitted.fitted}. *datasheet*: kernels and priors alone; *family*: one model "
        "left out; *device*: deployments left out in folds; *anchored*: one model left out, but for one run of each of "
        "its chips, engine versions and precisions. *Width* is the half-width of the 80 % interval that follows (1.28: "
        "from 1/1.28 to 1.28 times). "
        "How the figures come about: docs/serving.md."
    )
    lines = ["| level | metric | rows | median % | MAPE % | P90 % | width |", "|---|---|---|---|---|---|---|"]
    for level, metrics in fitted.errors.items():
        for metric, own in metrics.items():
            percents = [f"{100 * own[key]:.1f}" for key in ("median", "mape", "p90")]
            width = np.exp(fitted.widths[level][metric][SHARES.index(LEVEL)])
            lines.append(f"| {level} | {metric.upper()} | {own['rows']} | {' | '.join(percents)} | {width:.2f} |")
    return f"{SERVERS}\n\n{head}\n\n" + "\n".join(lines) + "\n"


def with_servers(page: str) -> str:
    """The page with its section of servers written anew, before the one on noise."""
    before, noise = page.split("## Noise floor")
    return f"{before.split(SERVERS)[0]}{servers()}\n## Noise floor{noise}"


def _noise(data: Path) -> str:
    """How far rows of the same sizes, kernel and device differ in the tables themselves."""
    patterns = (LLM.format("*", "*_perf"), "neusight/op_*/*.csv", "vidur/compute/*/*/*/mlp.csv")
    files = [str(path) for pattern in patterns for path in sorted(data.glob(pattern))]
    if not files:
        return "## Noise floor\n\nNo files were at hand.\n"
    differences: dict[tuple[str, str], list[np.ndarray]] = {}
    for rows in read_measurements(files).ops:
        differences.setdefault((rows.source, rows.kind), []).append(_repeats(rows))
    lines = ["| source | op | repeated rows | median % | P90 % |", "|---|---|---|---|---|"]
    for (source, kind), parts in sorted(differences.items()):
        own = np.concatenate(parts)
        if len(own):
            lines.append(
                f"| {source} | {kind} | {len(own)} | {100 * np.median(own):.1f} | {100 * np.quantile(own, 0.9):.1f} |"
            )
    head = "How far rows of the same sizes, conditions, kernel and device lie from each other: no formula does better."
    return f"## Noise floor\n\n{head}\n\n" + "\n".join(lines) + "\n"


def _repeats(rows: OpRows) -> np.ndarray:
    columns: Mapping[str, object] = {**rows.sizes, **rows.conditions}
    keys = np.array([np.broadcast_to(np.asarray(column, dtype=float), len(rows)) for column in columns.values()]).T
    _, place, count = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    place = place.reshape(-1)
    logs = np.log(rows.seconds)
    means = np.bincount(place, weights=logs) / count
    # two rows lie √2 times as far apart as each from their mean
    return np.abs(np.expm1((logs - means[place])[count[place] > 1] * np.sqrt(2)))


if __name__ == "__main__":
    main()
