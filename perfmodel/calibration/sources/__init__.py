"""Importers of measurements, one file a source, and the table that knows them all.

    imported = read_measurements(["gemm_perf.parquet", "e2e_labels.csv"])
    imported.ops, imported.measurements, imported.skipped

A file is recognised by its columns (a file of runs by its first line, a report of a load test by its keys), or told
with `source=`. May import: what the package may. To add a source: a file with the columns it needs and a reader
`(Columns, FindDevice) -> Imported`, and a line in `FORMATS`. Readers of tables whose models come from the catalog take
`(Columns, FindDevice, FindModel)`. JSON reports of load tests: `reports.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from perfmodel.calibration.measurements import Imported
from perfmodel.calibration.sources import aiconfigurator, neusight, published, runs, serving, table, timm, vidur
from perfmodel.calibration.sources.aiconfigurator import attention, collectives, experts, gemm, latent_attention
from perfmodel.calibration.sources.columns import Columns, read_columns
from perfmodel.calibration.sources.load_tests import NOTHING_TOLD, Told, holds_json
from perfmodel.calibration.sources.model_names import FindModel, model_finder
from perfmodel.calibration.sources.reports import REPORTS, read_report
from perfmodel.calibration.sources.rows import FindDevice, device_finder
from perfmodel.catalog import Specs, load_hardware
from perfmodel.errors import InputError, UnknownNameError, some_names
from perfmodel.measuring.run_files import holds_runs

Reader: TypeAlias = Callable[[Columns, FindDevice], Imported]
ModelReader: TypeAlias = Callable[[Columns, FindDevice, FindModel], Imported]
Path: TypeAlias = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of table of a source.

    Args:
        columns: all of them are needed. one_of: of each tuple at least one.
        read: its reader; in `read_models` instead if it looks up models.
    """

    source: str
    table: str
    columns: tuple[str, ...]
    read: Reader | None = None
    one_of: tuple[tuple[str, ...], ...] = ()
    read_models: ModelReader | None = None

    def imported(self, columns: Columns, find: FindDevice, find_model: FindModel) -> Imported:
        """What a file of this format gives."""
        if self.read_models is not None:
            return self.read_models(columns, find, find_model)
        assert self.read is not None
        return self.read(columns, find)

    def missing(self, columns: Columns) -> list[str]:
        """What a file lacks to be of this format."""
        lacking = [name for name in self.columns if name not in columns]
        return lacking + [" or ".join(names) for names in self.one_of if not any(name in columns for name in names)]


MOST_NAMED = 12  # columns that a message names
FORMATS = (
    Format(neusight.NAME, "op times", neusight.OP_COLUMNS, neusight.read_ops),
    Format(neusight.NAME, "ops of models", neusight.TRACED_COLUMNS, neusight.read_op_labels),
    Format(neusight.NAME, "model times", neusight.LABEL_COLUMNS, neusight.read_labels),
    Format(timm.NAME, "inference", timm.INFER_COLUMNS, timm.read_models),
    Format(timm.NAME, "training", timm.TRAIN_COLUMNS, timm.read_models),
    Format(aiconfigurator.NAME, "gemm", gemm.GEMM_COLUMNS, gemm.read_gemm),
    Format(aiconfigurator.NAME, "attention", attention.ATTENTION_COLUMNS, attention.read_attention),
    Format(aiconfigurator.NAME, "mla", latent_attention.MLA_COLUMNS, latent_attention.read_mla),
    Format(aiconfigurator.NAME, "mla module", latent_attention.MODULE_COLUMNS, latent_attention.read_mla_module),
    Format(aiconfigurator.NAME, "moe", experts.MOE_COLUMNS, experts.read_moe),
    Format(aiconfigurator.NAME, "nccl", collectives.NCCL_COLUMNS, collectives.read_nccl),
    Format(aiconfigurator.NAME, "all-reduce", collectives.ALL_REDUCE_COLUMNS, collectives.read_all_reduce),
    Format(vidur.NAME, "mlp", vidur.MLP_COLUMNS, vidur.read_mlp),
    *(
        Format(vidur.NAME, operation, columns, vidur.read_network(operation))
        for operation, columns in vidur.NETWORK_COLUMNS.items()
    ),
    Format(serving.NAME, "server runs", serving.COLUMNS, read_models=serving.read_serving),
    Format(published.NAME, "static batches", published.COLUMNS, read_models=published.read_published),
    Format(table.NAME, "ops and models", table.TABLE_COLUMNS, table.read_table, table.ONE_OF),
)


SOURCES = (
    *dict.fromkeys(known.source for known in FORMATS), runs.NAME, *(report.source for report in REPORTS)
)  # fmt: skip


def read_measurements(
    paths: Path | Iterable[Path], source: str | None = None, *, specs: Specs = None, told: Told = NOTHING_TOLD
) -> Imported:
    """Read files of measurements, of one source or of several.

    Args:
        source: one of `SOURCES`; None to recognise each file by its columns, first line or keys.
        specs: the user's own folders with chips and models, searched first.
        told: what the user says of load tests, whose reports name no chip.

    Raises:
        UnknownNameError: no source of that name.
        InputError: files that cannot be read, are of no known form or hold no usable row: all of them at once.
    """
    if source is not None and source not in SOURCES:
        raise UnknownNameError("source", source, SOURCES, f"Known: {', '.join(SOURCES)}")
    find, find_model = device_finder(specs), model_finder(specs)
    problems, total = list[str](), Imported()
    files = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    reports = [path for path in files if source != runs.NAME and not holds_runs(path) and holds_json(path)]
    if told and not reports:
        raise InputError(
            f"{', '.join(os.fspath(path) for path in files)}: hardware, model, engine and layout are told "
            "for reports of load tests only, and none is in JSON; drop them here."
        )
    chip = load_hardware(told.hardware, specs=specs) if told.hardware else None
    for path in files:
        try:
            if path in reports:
                total += _usable(path, read_report(path, source, told, chip, find_model))
            else:
                total += _usable(path, _read_file(path, source, find, find_model))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n".join(problems))
    return total


def _read_file(path: Path, source: str | None, find: FindDevice, find_model: FindModel) -> Imported:
    found = holds_runs(path)
    if source == runs.NAME or (found and source is None):
        imported = runs.read_run_file(path, find)
    elif found:
        raise InputError(f"{os.fspath(path)} is a file of runs and no {source} table: leave out the source.")
    else:
        columns = read_columns(path)
        unread = Imported(skipped=columns.skipped, rows=sum(columns.skipped.values()))
        imported = _recognise(columns, source).imported(columns, find, find_model) + unread
    return imported


# for those who bring a table of their own, which is nearest to none
_OWN_TABLE = (
    "A table of your own has the columns hardware, precision, milliseconds (or seconds, microseconds), model or op, "
    "and sizes (batch, input_tokens, ...)."
)


def _usable(path: Path, imported: Imported) -> Imported:
    if not imported.used:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in imported.skipped.items())
        hint = " `perfmodel hardware list` has the names of chips." if "unknown device" in reasons else ""
        raise InputError(
            f"{os.fspath(path)}: none of its {imported.rows} measured values can be used: {reasons}.{hint}"
        )
    return imported


def _recognise(columns: Columns, source: str | None) -> Format:
    """The format a file is of: the one that needs most of its columns.

    Raises:
        InputError: it is of none; the message names the columns that the nearest one misses.
    """
    candidates = [known for known in FORMATS if source in (None, known.source)]
    fitting = [known for known in candidates if not known.missing(columns)]
    if fitting:
        return max(fitting, key=lambda known: len(known.columns))
    nearest = min(candidates, key=lambda known: len(known.missing(columns)) / len(known.columns))
    lacking, has = nearest.missing(columns), some_names(list(columns.raw), MOST_NAMED)
    if source is not None:
        raise InputError(
            f"{columns.path} is no {source} table: it lacks the columns {', '.join(lacking)}. It has {has}."
        )
    close = f"Nearest is {nearest.source} ({nearest.table}), which also needs {', '.join(lacking)}. "
    raise InputError(
        f"{columns.path}: no source has tables with the columns {has}. "
        f"{close if len(lacking) < len(nearest.columns) else ''}Known sources: {', '.join(SOURCES)}. {_OWN_TABLE}"
    )
