"""Fitted coefficients on disk: calibration/coefficients/*.json <-> `FittedScope`.

Files are JSON, which is read ten times faster than YAML and is YAML too: what is wrong with one is told by the strict
YAML reader, with its line. A file is one fit: what it was fitted on, and for each scope of kernels the shifts of the
priors (as factors), the effects of engines, kernels, families and devices on them, and the half-widths of intervals.
Several files may hold the same scope: a chip goes by the one that knows most of it, else by that of the chip most like
it (`fitted_scopes.choose_scopes`).
What was calibrated on this machine (`home.py`) lies apart, by chip, and is read for that chip alone. Fits of serving
engines (`SERVING`) lie in the same folder and are read by `serving.engine_files`.

May import: errors, types, home, threads, catalog, yaml_strict, coefficients, fitted_scopes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from perfmodel.catalog import Specs, data_dirs, load_hardware
from perfmodel.errors import Problem, SpecError, UnknownNameError
from perfmodel.fitted_scopes import LEVELS, REGIMES, SHARES, Array, Effect, FittedScope, Widths, choose_scopes
from perfmodel.home import coefficient_paths
from perfmodel.outside_files import MAX_SPEC_BYTES, parse_json, read_bytes
from perfmodel.threads import split_threads
from perfmodel.types import Hardware
from perfmodel.whole_files import write_whole
from perfmodel.yaml_strict import Document, describe, read_yaml, unknown_key

FOLDER = "calibration/coefficients"
SUFFIXES = (".json", ".yaml")
SERVING = "serving*.json"
FORMAT = 1
DIGITS = 5  # significant ones; a coefficient is not known to more
_LARGEST = 1e30  # of a coefficient; what is beyond is a mistake, and no float in the end
SEPARATOR = " | "  # between the parts of an effect's name
EFFECT_KINDS = {"engine": 1, "kernel": 2, "family": 1, "device": 1, "series": 3}  # and how many names each has
_INNERMOST = re.compile(r"[\[{][^\[\]{}]*[\]}]")  # lists and mappings without others inside go on one line
_KEYS = ("format", "fitted", "provenance", "data", "scopes")
_SCOPE_KEYS = ("runtime", "rows", "vendors", "coefficients", "effects", "intervals", "errors")
_COEFFICIENT_KEYS = ("prior", "prior_sd", "factor", "log_sd")
_INTERVAL_KEYS = ("level", "kernel", "correlation", "model_scale", *REGIMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoefficientFile:
    """One fit as it is stored.

    Args:
        fitted: date. provenance: the data in words. data: for each file its name, SHA-256 and rows.
    """

    fitted: str
    provenance: str
    data: tuple[Mapping[str, Any], ...]
    scopes: Mapping[str, FittedScope]


def load_scopes(*, specs: Specs = None) -> Mapping[str, tuple[FittedScope, ...]]:
    """All fits of each scope: the user's own, then the shipped ones.

    Raises:
        SpecError: a coefficients file with mistakes, all of them at once.
    """
    paths = [
        path
        for folder in data_dirs(FOLDER, specs=specs)
        for path in sorted(folder.iterdir())
        if path.suffix in SUFFIXES and not path.name.startswith(".") and not path.match(SERVING)
    ]
    return _load_all(tuple((str(path), path.stat().st_mtime_ns) for path in paths))


def scopes_for(hardware: Hardware, *, specs: Specs = None) -> dict[str, FittedScope]:
    """The fit of each scope that a chip goes by: one calibrated on the chip here, else what `choose_scopes` says.

    A CPU with some cores at work (`threads.with_threads`) goes by the fits of the whole one where none was made of it.

    Raises:
        SpecError: a coefficients file with mistakes, or one of this machine that does not speak of the chip it is
            named after. Files of other chips of this machine are not read.
    """
    whole = replace(hardware, id=split_threads(hardware.id)[0])
    chips = (whole, hardware) if whole.id != hardware.id else (hardware,)
    found = [load_scopes(specs=specs)]
    for chip in chips:
        own = coefficient_paths(chip.id, chip.path, SUFFIXES)
        if own:
            found.append(_load_all(tuple((str(path), path.stat().st_mtime_ns) for path in own)))
            _check_device(own, chip)
    chosen = closest_scopes(found[0], whole, specs=specs)
    for scopes in found:
        for chip in chips:
            chosen |= _fits_of_device(scopes, chip)
    return chosen


def closest_scopes(
    found: Mapping[str, Sequence[FittedScope]], hardware: Hardware, *, specs: Specs = None
) -> dict[str, FittedScope]:
    """`choose_scopes` with the chips of the catalog."""

    def find(device: str) -> Hardware | None:
        try:
            return load_hardware(device, specs=specs)
        except UnknownNameError:  # of a catalog that is not at hand
            return None

    return choose_scopes(found, hardware, find)


def _fits_of_device(found: Mapping[str, tuple[FittedScope, ...]], hardware: Hardware) -> dict[str, FittedScope]:
    return choose_scopes(
        {name: [fit for fit in fits if fit.level(hardware) == "device"] for name, fits in found.items()}, hardware
    )


def _check_device(paths: tuple[Path, ...], hardware: Hardware) -> None:
    for path in paths:
        scopes = read_coefficients(path).scopes.values()
        if not any(fit.covers(hardware) and fit.level(hardware) == "device" for fit in scopes):
            devices = sorted({effect[1] for fit in scopes for effect in fit.effects if effect[0] == "device"})
            message = (
                f"says nothing of {hardware.id} ({hardware.kind}, {hardware.vendor or 'no vendor'}), whose file it is "
                f"by its name; it was fitted on {', '.join(devices) or 'no device'}: rename it, or fit it again"
            )
            raise SpecError(str(path), [Problem(message=message)])


@lru_cache(maxsize=16)
def _load_all(files: tuple[tuple[str, int], ...]) -> Mapping[str, tuple[FittedScope, ...]]:
    found: dict[str, tuple[FittedScope, ...]] = {}
    for path, _ in files:
        for name, scope in read_coefficients(path).scopes.items():
            found[name] = (*found.get(name, ()), scope)
    return found


# ------------------------------------------------------------------------------------------------------- reading


def read_coefficients(path: str | os.PathLike[str]) -> CoefficientFile:
    """A checked file.

    Raises:
        SpecError: all its mistakes at once, with line and key.
    """
    try:
        document = _read_json(Path(path))
        return _read_document(document)
    except (OSError, ValueError, SpecError):  # told with lines by the slower reader
        return _read_document(read_yaml(Path(path)))


def _read_json(path: Path) -> Document:
    return Document(str(path), parse_json(read_bytes(path, MAX_SPEC_BYTES)))


def _read_document(document: Document) -> CoefficientFile:
    document.refuse()
    data = _mapping(document, document.data)
    _check_keys(document, data, _KEYS, ("format", "scopes"))
    if data.get("format", FORMAT) != FORMAT:
        document.report(f"is format {data['format']}; this version of perfmodel reads format {FORMAT}", "format")
    provenance = str(data.get("provenance", ""))
    scopes = {
        str(name): scope
        for name, facts in _mapping(document, data.get("scopes", {}), "scopes").items()
        if (scope := _read_scope(document, str(name), facts, provenance))
    }
    files = data.get("data", [])
    if not isinstance(files, list) or not all(isinstance(own, dict) for own in files):
        document.report("expected a list of files, each with its name, sha256 and rows", "data")
    document.refuse()
    return CoefficientFile(fitted=str(data.get("fitted", "")), provenance=provenance, data=tuple(files), scopes=scopes)


def _read_scope(document: Document, name: str, value: Any, provenance: str) -> FittedScope | None:
    where = ("scopes", name)
    facts = _mapping(document, value, *where)
    _check_keys(document, facts, _SCOPE_KEYS, ("runtime", "coefficients"), *where)
    table = _mapping(document, facts.get("coefficients", {}), *where, "coefficients")
    rows = {
        coefficient: [
            _positive(document, _mapping(document, row, *where, "coefficients", coefficient).get(key),
                      *where, "coefficients", coefficient, key)
            for key in _COEFFICIENT_KEYS
        ]
        for coefficient, row in table.items()
    }  # fmt: skip
    effects = dict(_read_effects(document, facts.get("effects", {}), len(rows), *where, "effects"))
    widths = dict(_read_intervals(document, facts.get("intervals", []), *where, "intervals"))
    vendors = facts.get("vendors", [])
    if not isinstance(vendors, list) or not all(map(_is_pair, vendors)):
        document.report("expected a list of pairs [kind, vendor]", *where, "vendors")
    count = facts.get("rows", 0)
    if type(count) is not int or count < 0:
        document.report(f"expected a number of rows, found {describe(count)}", *where, "rows")
    errors = _mapping(document, facts.get("errors", {}), *where, "errors")
    if document.problems or not rows:
        return None
    prior, prior_sd, factor, log_sd = np.array(list(rows.values()), dtype=float).T
    return FittedScope(
        scope=name, runtime=str(facts["runtime"]), names=tuple(rows), priors=prior, prior_sd=prior_sd,
        pooled=np.log(factor), log_sd=log_sd, effects=effects, vendors=frozenset(tuple(pair) for pair in vendors),
        rows=count, widths=widths, errors=errors, provenance=provenance,
    )  # fmt: skip


def _read_effects(document: Document, value: Any, count: int, *where: str) -> Iterator[tuple[Effect, Array]]:
    for kind, effects in _mapping(document, value, *where).items():
        if kind not in EFFECT_KINDS:
            document.report(unknown_key(kind, tuple(EFFECT_KINDS)), *where, kind)
            continue
        for name, factors in _mapping(document, effects, *where, kind).items():
            parts = tuple(str(name).split(SEPARATOR))
            if len(parts) != EFFECT_KINDS[kind]:
                document.report(f"the name of a {kind} has {EFFECT_KINDS[kind]} parts between '{SEPARATOR}'",
                                *where, kind, name)  # fmt: skip
            if not isinstance(factors, list) or len(factors) != count or not all(map(_is_positive, factors)):
                document.report(f"expected {count} positive factors, one per coefficient", *where, kind, name)
            else:
                yield (kind, *parts), np.log(np.array(factors, dtype=float))


def _read_intervals(document: Document, value: Any, *where: str) -> Iterator[tuple[tuple[str, str], Widths]]:
    if not isinstance(value, list):
        document.report(f"expected a list, found {describe(value)}", *where)
        return
    for place, entry in enumerate(value):
        facts = _mapping(document, entry, *where, str(place))
        _check_keys(document, facts, _INTERVAL_KEYS, _INTERVAL_KEYS, *where, str(place))
        rows = [facts.get(regime) for regime in (*REGIMES, "model_scale")]
        good = all(isinstance(row, list) and len(row) == len(SHARES) and all(map(_is_positive, row)) for row in rows)
        named = [str(facts.get("level")) in LEVELS, facts.get("kernel") in ("known", "any")]
        if not all(named) or not good or not _is_share(facts.get("correlation")):
            document.report(
                f"expected a level ({', '.join(LEVELS)}), a kernel (known, any), a correlation from 0 to 1 and "
                f"{len(SHARES)} positive numbers for each of {', '.join(REGIMES)} and model_scale", *where,
            )  # fmt: skip
            continue
        key = (str(facts["level"]), str(facts["kernel"]))
        by_regime = np.array(rows[: len(REGIMES)], dtype=float)
        yield key, Widths(key[0], by_regime, float(facts["correlation"]), np.array(rows[-1], dtype=float))


def _check_keys(
    document: Document, data: Mapping[str, Any], known: tuple[str, ...], needed: tuple[str, ...], *where: str
) -> None:
    for key in data.keys() - set(known):
        document.report(unknown_key(key, known), *where, key)
    for key in needed:
        if key not in data:
            document.report(f"'{key}' is missing", *where)


def _mapping(document: Document, value: Any, *keys: str) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    document.report(f"expected a mapping, found {describe(value)}", *keys)
    return {}


def _positive(document: Document, value: Any, *keys: str) -> float:
    if _is_positive(value):
        return float(value)
    document.report(f"expected a number above 0, found {describe(value)}", *keys)
    return 1.0


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _LARGEST


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(own, str) for own in value)


# ------------------------------------------------------------------------------------------------------- writing


def write_coefficients(path: str | os.PathLike[str], file: CoefficientFile) -> None:
    """Write a file whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    document = {
        "format": FORMAT,
        "fitted": file.fitted,
        "provenance": file.provenance,
        "data": [dict(entry) for entry in file.data],
        "scopes": {name: _scope_document(scope) for name, scope in sorted(file.scopes.items())},
    }
    text = json.dumps(document, indent=1, ensure_ascii=False)
    write_whole(path, _INNERMOST.sub(lambda found: " ".join(found[0].split()), text) + "\n")


def _scope_document(scope: FittedScope) -> dict[str, Any]:
    columns = (scope.priors, scope.prior_sd, np.exp(scope.pooled), scope.log_sd)
    effects: dict[str, dict[str, list[float]]] = {}
    for (kind, *parts), shift in scope.effects.items():
        effects.setdefault(kind, {})[SEPARATOR.join(parts)] = [_rounded(value) for value in np.exp(shift)]
    return {
        "runtime": scope.runtime,
        "rows": scope.rows,
        "vendors": sorted(list(pair) for pair in scope.vendors),
        "coefficients": {
            name: dict(zip(_COEFFICIENT_KEYS, map(_rounded, row), strict=True))
            for name, *row in zip(scope.names, *columns, strict=True)
        },
        "effects": effects,
        "intervals": [
            {
                "level": level,
                "kernel": kernel,
                "correlation": _rounded(widths.correlation),
                "model_scale": [_rounded(value) for value in widths.model_scale],
            }
            | {
                regime: [_rounded(value) for value in row]
                for regime, row in zip(REGIMES, widths.by_regime, strict=True)
            }
            for (level, kernel), widths in sorted(scope.widths.items())
        ],
        "errors": dict(scope.errors),
    }


def _rounded(value: float) -> float:
    return float(f"{float(value):.{DIGITS}g}")
