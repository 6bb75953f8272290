"""Reports of load tests, in the JSON of the tool that ran them.

A report is known by its keys; a file may hold several, in a list or one a line. May import: what the package may. To
add a tool: a file with `NAME`, `holds_runs` and `read_runs`, and a line in `REPORTS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from perfmodel.calibration.measurements import Imported
from perfmodel.calibration.sources import genai_perf, guidellm, llmperf, vllm_bench
from perfmodel.calibration.sources.load_tests import Document, Run, Told, group_runs, read_documents
from perfmodel.calibration.sources.model_names import WEIGHTS, FindModel
from perfmodel.errors import InputError
from perfmodel.graphs import load_model
from perfmodel.precisions import SCHEMES, find_scheme
from perfmodel.types import Hardware


@dataclass(frozen=True, slots=True)
class Report:
    """A tool for load tests, and how its JSON is told from others' and read."""

    source: str
    holds_runs: Callable[[Document], bool]
    read_runs: Callable[[Document], Iterator[Run]]


REPORTS = (
    Report(vllm_bench.NAME, vllm_bench.holds_runs, vllm_bench.read_runs),
    Report(guidellm.NAME, guidellm.holds_runs, guidellm.read_runs),
    Report(genai_perf.NAME, genai_perf.holds_runs, genai_perf.read_runs),
    Report(llmperf.NAME, llmperf.holds_runs, llmperf.read_runs),
)


def read_report(
    path: str | os.PathLike[str], source: str | None, told: Told, chip: Hardware | None, find_model: FindModel
) -> Imported:
    """The runs of a file of reports.

    Args:
        source: one of `REPORTS`; None for whichever it is. chip: that of `told`.

    Raises:
        InputError: no JSON, none of these tools', or something that neither it nor `told` says.
        UnknownNameError: a precision that is not known.
    """
    name, told = os.fspath(path), replace(told, precision=_precision(told.precision))
    candidates = [report for report in REPORTS if source in (None, report.source)]
    by_report: dict[Report, list[Run]] = {}
    for document in read_documents(path):
        report = next((own for own in candidates if own.holds_runs(document)), None)
        if report is None:
            known = source or ", ".join(own.source for own in REPORTS)
            keys = ", ".join(list(document)[:12]) or "none"
            raise InputError(f"{name} is no report of a load test that is understood ({known}); its keys: {keys}.")
        by_report.setdefault(report, []).extend(report.read_runs(document))
    parts = [
        group_runs(name, report.source, found, told, chip, _also_files(find_model))
        for report, found in by_report.items()
    ]
    return sum(parts, Imported())


def _precision(name: str) -> str:
    """A precision of ours, under our name for it or that of an engine."""
    if name and name not in SCHEMES and name not in WEIGHTS:
        find_scheme(name)
    return name if name in SCHEMES else WEIGHTS.get(name, "")


def _also_files(find_model: FindModel) -> FindModel:
    """Also models that are no names, but files and folders."""

    def find(name: str, precision: str) -> tuple[str, str] | None:
        found = find_model(name, precision)
        if found is None and os.path.exists(name):
            return name, precision or load_model(name).precision
        return found

    return find
