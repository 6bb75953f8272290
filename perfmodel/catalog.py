"""Where shipped and user files lie, how names resolve to them, and the chips and fabrics read from them.

    >>> load_hardware("h100_sxm").power_watts
    700.0

A file is found by its name, which is its id. A user's folder (`specs=`, then the folders of `PERFMODEL_DATA`, then the
chips calibrated on this machine, `home.py`) comes before the shipped ones, so a file of the same name there replaces a
shipped one. May import: errors, home, units, types, yaml_strict, figures, threads, hardware_profile. The model catalog
uses `data_files` and `resolve_name` for its own folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from perfmodel.errors import InputError, Problem, SpecError, UnknownNameError, nearest_names
from perfmodel.hardware_profile import read_fabric, read_hardware
from perfmodel.home import HARDWARE as LOCAL
from perfmodel.home import home_folder, home_state, is_local
from perfmodel.threads import split_threads, with_threads
from perfmodel.types import Fabric, Figure, Hardware
from perfmodel.yaml_strict import read_yaml

HARDWARE = "hardware_specs"
FABRIC = "fabric"  # folder inside of it
ENVIRONMENT = "PERFMODEL_DATA"
MACHINE_ALIAS = "machine-"  # and a machine's id: an alias of every profile that was made on that machine
HARDWARE_HINT = "`perfmodel hardware list` shows all; a path to a YAML file works too"

Specs: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None

_APART = (HARDWARE, "model_specs", "calibration", FABRIC)  # folders that are never searched as part of another
_PACKAGE = Path(__file__).resolve().parent
_SUFFIXES = (".yaml", ".yml")
_TRADEMARK = re.compile(r"\((r|tm|c)\)", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s_/\-‐‑‒–—]+")


# -------------------------------------------------------------------------------------------- where files lie


def data_dirs(name: str = HARDWARE, *, specs: Specs = None) -> tuple[Path, ...]:
    """The folders of one kind of data, in the order in which they are searched.

    Args:
        name: "hardware_specs", "model_specs", "calibration", or a folder inside one ("hardware_specs/fabric").
        specs: the user's own folders. Each holds a folder `name`, or, for hardware, lies flat.

    Raises:
        InputError: a folder given by the user does not exist.
    """
    found = [_inside(root, name) for root in _user_roots(specs)]
    top, _, rest = name.partition("/")
    if top == HARDWARE:
        found.append(home_folder(LOCAL) / rest)
    shipped = _PACKAGE / "_data" / name
    found.append(shipped if os.path.isdir(shipped) else _PACKAGE.parent / name)
    return tuple(folder for folder in found if os.path.isdir(folder))


def search_state() -> str:
    """Text that changes when other folders are searched, or when something was put into the home."""
    return f"{os.environ.get(ENVIRONMENT, '')}\n{home_state()}"


def data_files(name: str = HARDWARE, *, specs: Specs = None) -> dict[str, Path]:
    """Id -> YAML file, for all files in `data_dirs(name)` and the folders one level below; the first one wins.

    Raises:
        InputError: a folder cannot be read.
    """
    files: dict[str, Path] = {}
    for folder in data_dirs(name, specs=specs):
        here, folders = _list_folder(folder)
        for path in [*here, *(path for inner in folders for path in _list_folder(inner)[0])]:
            files.setdefault(path.stem, path)
    return files


def _find_file(name: str, identifier: str, specs: Specs) -> Path | None:
    """The file of that id, as `data_files` would give it, without listing all the others."""
    for folder in data_dirs(name, specs=specs):
        for place in (folder, *_list_folder(folder)[1]):
            for suffix in _SUFFIXES:
                if os.path.isfile(path := place / f"{identifier}{suffix}"):
                    return path
    return None


def _list_folder(folder: Path) -> tuple[list[Path], list[Path]]:
    """The YAML files and the folders in a folder, without folders of another kind of data."""
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be read ({error.strerror}): check its permissions.") from None
    files = [folder / name for name, is_folder in found if name.endswith(_SUFFIXES) and not is_folder]
    return files, [folder / name for name, is_folder in found if is_folder and name not in _APART]


def _user_roots(specs: Specs) -> list[Path]:
    given = [] if specs is None else [specs] if isinstance(specs, str | os.PathLike) else list(specs)
    roots = [(Path(entry).expanduser(), "") for entry in given]
    listed = os.environ.get(ENVIRONMENT, "").split(os.pathsep)
    roots += [(Path(entry).expanduser(), f" (from {ENVIRONMENT})") for entry in listed if entry]
    for root, origin in roots:
        if not os.path.isdir(root):
            raise InputError(f"no folder {root}{origin}: give a folder with YAML files in it.")
    return [root for root, _ in roots]


def _inside(root: Path, name: str) -> Path:
    top, _, rest = name.partition("/")
    return root / rest if top == HARDWARE and not os.path.isdir(root / HARDWARE) else root / name


# -------------------------------------------------------------------------------------------------- names


def fold_name(name: str) -> str:
    """The form in which names are compared: lower case, with dashes for blanks and underscores.

    >>> fold_name("NVIDIA A100-SXM4 80GB"), fold_name("rtx_4090"), fold_name("Intel(R) Core(TM) i9")
    ('nvidia-a100-sxm4-80gb', 'rtx-4090', 'intel-core-i9')
    """
    return _SEPARATORS.sub("-", _TRADEMARK.sub("", name).strip().lower()).strip("-")


def is_path(name: str) -> bool:
    """Whether a name is a path to a YAML file rather than a name of the catalog."""
    return name.endswith(_SUFFIXES) or os.sep in name


def resolve_name(what: str, name: str, known_ids: Iterable[str], aliases: Mapping[str, str], hint: str = "") -> str:
    """The id that a name stands for: an id, an alias, or the beginning of exactly one of them.

    Args:
        what: what is looked up, for the message ("chip", "model").
        aliases: alias -> id; aliases are folded like names.

    Raises:
        UnknownNameError: nothing fits, or several ids do.
    """
    folded = fold_name(name)
    ids = {fold_name(known): known for known in known_ids}
    others = {fold_name(alias): known for alias, known in aliases.items()}
    if folded in ids or folded in others:
        return ids.get(folded) or others[folded]
    for names in (ids, others):
        fitting = sorted({known for start, known in names.items() if folded and start.startswith(folded)})
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            shown = ", ".join(fitting[:12]) + (f" and {len(fitting) - 12} more" if len(fitting) > 12 else "")
            raise UnknownNameError(what, name, (), f"Several begin like that: {shown}. Say which; {hint}")
    # an owner before the name (meta-llama/...) makes all of that owner's look near
    near = nearest_names(fold_name(name.rstrip("/").rpartition("/")[2]), [*ids, *others], count=12)
    nearest = dict.fromkeys(ids.get(other) or others[other] for other in near)
    raise UnknownNameError(what, name, (), hint, nearest=list(nearest)[:4])


# ---------------------------------------------------------------------------------------- chips and fabrics


def load_hardware(name: str, *, specs: Specs = None) -> Hardware:
    """The chip of that name.

    Args:
        name: an id ("h100-sxm"), an alias ("NVIDIA H100 80GB HBM3"), the beginning of one id, or a path to a file;
            of a CPU also with the cores that work ("i9-10940x-4-threads"), as `threads.with_threads` names it.
        specs: the user's own folders, searched first.

    Raises:
        UnknownNameError: with the nearest names; or more threads than the CPU has cores.
        SpecError: the profile has mistakes: all of them, with file and line.
    """
    if is_path(name):
        return _read_hardware_file(Path(name).expanduser())
    path = _find_file(HARDWARE, fold_name(name), specs)
    if path is None:
        files = data_files(HARDWARE, specs=specs)
        try:
            path = files[_resolve_chip(name, files)]
        except UnknownNameError:
            chip, threads = split_threads(fold_name(name))
            if not threads:
                raise
            return _some_cores(name, load_hardware(chip, specs=specs), threads)
    return _read_hardware_file(path)


def _some_cores(name: str, chip: Hardware, threads: int) -> Hardware:
    try:
        return with_threads(chip, threads)[0]
    except InputError as error:
        raise UnknownNameError("chip", name, (), str(error)) from None


def match_hardware(names: Iterable[str], *, specs: Specs = None) -> Hardware | None:
    """The chip that one of the names stands for in full, as a device reports it; None where the catalog has none.

    Beginnings do not count: a CPU that calls itself "AMD EPYC" is none of those in the catalog. What was calibrated
    on this machine is no part of the catalog here.
    """
    files = {known: path for known, path in data_files(HARDWARE, specs=specs).items() if not is_local(path)}
    meant = {fold_name(alias): known for alias, known in _aliases(files.values()).items()}
    meant |= {fold_name(known): known for known in files}
    found = next((meant[folded] for folded in map(fold_name, names) if folded in meant), None)
    return None if found is None else _read_hardware_file(files[found])


def _resolve_chip(name: str, files: Mapping[str, Path]) -> str:
    """The id that a name stands for; the chips of this machine do not make a beginning ambiguous.

    The alias of a machine means what its owner made of it, before a profile of it that the catalog has.
    """
    others = {known: path for known, path in files.items() if not is_local(path)}
    if name.startswith(MACHINE_ALIAS):
        own = _aliases(path for path in files.values() if is_local(path))
        if name in own:
            return own[name]
    try:
        return resolve_name("chip", name, others, _aliases(others.values()), HARDWARE_HINT)
    except UnknownNameError:
        if len(others) == len(files):
            raise
        return resolve_name("chip", name, files, _aliases(files.values()), HARDWARE_HINT)


def list_hardware(*, specs: Specs = None) -> tuple[Hardware, ...]:
    """All chips, sorted by kind, vendor and id; without those of this machine whose profile has mistakes.

    Raises:
        SpecError: of the first other profile with mistakes.
    """
    chips = _read_usable(data_files(HARDWARE, specs=specs).values())
    return tuple(sorted(chips, key=lambda chip: (chip.kind, chip.vendor, chip.id)))


def broken_local_files() -> list[SpecError]:
    """The mistakes in the profiles of this machine, which `list_hardware` leaves out: an error per file."""
    folder = home_folder(LOCAL)
    return check_specs(files) if os.path.isdir(folder) and (files := _list_folder(folder)[0]) else []


def load_fabric(name: str, *, specs: Specs = None) -> Fabric:
    """The network or launch path of that name: an id, the beginning of one id, or a path. Raises as `load_hardware`."""
    if is_path(name):
        return _read_fabric_file(Path(name).expanduser())
    files = data_files(f"{HARDWARE}/{FABRIC}", specs=specs)
    return _read_fabric_file(files[resolve_name("fabric", name, files, {}, "`perfmodel hardware list` shows all")])


def list_fabrics(*, specs: Specs = None) -> tuple[Fabric, ...]:
    """All networks and launch paths, sorted by id."""
    files = data_files(f"{HARDWARE}/{FABRIC}", specs=specs)
    return tuple(_read_fabric_file(path) for _, path in sorted(files.items()))


def check_specs(paths: Iterable[str | os.PathLike[str]] = (), *, specs: Specs = None) -> list[SpecError]:
    """The mistakes in hardware and fabric profiles: one error per faulty file, none where all is well.

    Args:
        paths: files or folders; all files of the catalog if there are none. A file in a folder `fabric` is a fabric.

    Besides each file by itself: an id or alias that two files claim. Several profiles may be of one machine.
    """
    files = [file for path in paths for file in _files_below(Path(path))]
    if not files:
        names = (HARDWARE, f"{HARDWARE}/{FABRIC}")
        files = [file for name in names for file in data_files(name, specs=specs).values()]
    errors: list[SpecError] = []
    owners: dict[str, Path] = {}
    for file in files:
        try:
            loaded = _read_fabric_file(file) if file.parent.name == FABRIC else _read_hardware_file(file)
        except SpecError as error:
            errors.append(error)
            continue
        claimed = [loaded.id, *(loaded.aliases if isinstance(loaded, Hardware) else ())]
        taken = {name: owners[name] for name in dict.fromkeys(map(fold_name, claimed)) if name in owners}
        taken = {name: owner for name, owner in taken.items() if not name.startswith(MACHINE_ALIAS)}
        problems = [Problem(message=f"'{name}' already means {owner}", key="aliases") for name, owner in taken.items()]
        if problems:
            errors.append(SpecError(str(file), problems))
        owners.update({fold_name(name): file for name in claimed if fold_name(name) not in owners})
    return errors


def hardware_to_dict(hardware: Hardware) -> dict[str, Any]:
    """A view of a chip that JSON can hold: its values, and every figure with source, confidence and note."""
    fields = {name: getattr(hardware, name) for name in hardware.__dataclass_fields__}
    peaks: dict[str, dict[str, float]] = {}
    for (unit, dtype), value in hardware.peaks.items():
        peaks.setdefault(unit, {})[dtype] = value
    figures = {key: figure_to_dict(figure) for key, figure in hardware.figures.items()}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
    origin = {"local": is_local(hardware.path)}
    return {**plain, **origin, "peaks": peaks, "fallbacks": dict(hardware.fallbacks), "figures": figures}


def fabric_to_dict(fabric: Fabric) -> dict[str, Any]:
    """As `hardware_to_dict`, of a fabric."""
    constants = {key: figure_to_dict(figure) for key, figure in fabric.constants.items()}
    return {
        "id": fabric.id, "name": fabric.name, "kind": fabric.kind, "constants": constants,
        "notes": list(fabric.notes), "path": fabric.path,
    }  # fmt: skip


def figure_to_dict(figure: Figure) -> dict[str, Any]:
    """One figure as JSON holds it."""
    return {name: getattr(figure, name) for name in figure.__dataclass_fields__}


def _aliases(files: Iterable[Path]) -> dict[str, str]:
    aliases: dict[str, str] = {}
    for chip in _read_usable(files):
        for alias in chip.aliases:
            aliases.setdefault(alias, chip.id)
    return aliases


def _read_usable(files: Iterable[Path]) -> Iterator[Hardware]:
    """The chips of the files; a broken one of this machine is told of when it is asked for, and hides no other."""
    for path in files:
        try:
            yield _read_hardware_file(path)
        except SpecError:
            if not is_local(path):
                raise


def _files_below(path: Path) -> list[Path]:
    if not os.path.isdir(path):
        return [path]
    return sorted(file for suffix in _SUFFIXES for file in path.rglob(f"*{suffix}"))


def _read_hardware_file(path: Path) -> Hardware:
    return _hardware_cached(str(path), *_version(path))


def _read_fabric_file(path: Path) -> Fabric:
    return _fabric_cached(str(path), *_version(path))


def _version(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1024)
def _hardware_cached(path: str, _time: int, _size: int) -> Hardware:
    return read_hardware(read_yaml(path), Path(path).stem)


@lru_cache(maxsize=1024)
def _fabric_cached(path: str, _time: int, _size: int) -> Fabric:
    return read_fabric(read_yaml(path), Path(path).stem)
