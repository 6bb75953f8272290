"""A `Hardware` as the text of a profile, and into a file: what `hardware_profile.read_hardware` reads again.

May import: errors, whole_files, units, types, yaml_strict, hardware_profile, home, catalog.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from perfmodel.catalog import fold_name, match_hardware
from perfmodel.errors import InputError
from perfmodel.hardware_profile import read_hardware
from perfmodel.home import HARDWARE, home_folder
from perfmodel.types import Figure, Hardware
from perfmodel.units import format_quantity, parse_quantity
from perfmodel.whole_files import write_whole
from perfmodel.yaml_strict import parse_yaml

_WIDTH = 110
_WORD = re.compile(r"[A-Za-z]+")
_OWN_WORDS = ("assumed", "derived", "detected", "measured")
_DATED = "price."  # such a figure is true of a day, and of no machine


def write_profile(hardware: Hardware, path: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Write a profile, whole or not at all.

    Args:
        path: NAME.yaml, where NAME is the id of the chip. Folders of the home are made where they are missing.
        force: replace a file that is there.

    Returns:
        The file.

    Raises:
        InputError: another name or ending, a file that is there already, a folder that is missing or protected.
        SpecError: the chip does not make a valid profile.
    """
    target = Path(path).expanduser()
    if target.suffix not in (".yaml", ".yml"):
        raise InputError(f"'{path}' must end in .yaml: profiles are YAML files.")
    if target.stem != hardware.id:
        raise InputError(f"'{path}': a profile is named after its id: write {hardware.id}.yaml, or choose --name.")
    text = profile_text(hardware)
    read_hardware(parse_yaml(text, target), target.stem)
    if os.path.lexists(target) and not force:
        raise InputError(f"{target} exists already: choose another name, or replace it with --force.")
    write_whole(target, text)
    return target


def save_profile(hardware: Hardware, *, force: bool = False) -> Path:
    """Write a profile into the home, where every command finds it by its id.

    Raises:
        InputError: as `write_profile`; or the id is that of a chip of the catalog, which it would replace.
    """
    check_name(hardware.id)
    return write_profile(hardware, made_folder(HARDWARE) / f"{hardware.id}.yaml", force=force)


def check_name(name: str) -> None:
    """Raises:
    InputError: the id is that of a chip of the catalog, which a profile of the home would replace.
    """
    known = match_hardware([name])
    if known is not None:
        raise InputError(
            f"'{name}' is the chip {known.id} of the catalog ({known.path}): choose another --name, like local."
        )


def made_folder(part: str) -> Path:
    """A folder of the home, made where it is missing.

    Raises:
        InputError: it cannot be made, or nothing can be written there.
    """
    folder = home_folder(part)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be made: {error.strerror}; set PERFMODEL_HOME.") from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"the folder {folder} is write-protected: make it writable, or set PERFMODEL_HOME.")
    return folder


def as_read(hardware: Hardware) -> Hardware:
    """The chip as its profile would be read: derived fields follow from its figures.

    Raises:
        SpecError: the figures contradict each other or the format.
    """
    read = read_hardware(parse_yaml(profile_text(hardware), f"{hardware.id}.yaml"))
    return replace(read, path="")


def profile_text(hardware: Hardware) -> str:
    """The profile of a chip as YAML, from its figures; prices, which are of a day, are left out."""
    kept = {key: figure for key, figure in hardware.figures.items() if not key.startswith(_DATED)}
    sources = _short_sources(kept.values())
    head = {
        "id": hardware.id, "name": hardware.name, "vendor": hardware.vendor, "kind": hardware.kind,
        "family": hardware.family, "launch_date": hardware.launch_date,
        "aliases": [alias for alias in hardware.aliases if fold_name(alias) != hardware.id],
    }  # fmt: skip
    body: dict[str, Any] = {}
    texts = {"memory.type": hardware.memory_type, "cores.kind": hardware.core_kind, "links.name": hardware.link_name}
    for key, text in texts.items():
        if text:
            _put(body, key, text)
    for key, figure in kept.items():
        _put(body, key, _figure_document(figure, sources))
    precisions = {"native": list(hardware.native), "fallback": dict(hardware.fallbacks)}
    document = {
        **{key: value for key, value in head.items() if value},
        **body,
        "precisions": {key: value for key, value in precisions.items() if value},
    }
    after = {"notes": list(hardware.notes), "sources": {short: source for source, short in sources.items()}}
    return _yaml(document, None) + _yaml({key: value for key, value in after.items() if value}, False)


def _yaml(document: Mapping[str, Any], flow: bool | None) -> str:
    """YAML of a mapping: with None, the innermost mappings and lists stand on one line; with False, nothing does."""
    import yaml

    text: str = yaml.safe_dump(
        dict(document), sort_keys=False, default_flow_style=flow, allow_unicode=True, width=_WIDTH
    )
    return text


def _short_sources(figures: Iterable[Figure]) -> dict[str, str]:
    """Reference -> the short name it has in the file: its first word where that is enough ("derived", "detected")."""
    parts = dict.fromkeys(part for figure in figures for part in figure.source.split("; "))
    names: dict[str, str] = {}
    for part in parts:
        word = _WORD.match(part)
        short = word[0].lower() if word and word[0].lower() in _OWN_WORDS else "reference"
        taken = sum(name.split("-")[0] == short for name in names.values())
        names[part] = f"{short}-{taken + 1}" if taken or short == "reference" else short
    return names


def _put(document: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        document = document.setdefault(section, {})
    document[last] = value


def _figure_document(figure: Figure, sources: Mapping[str, str]) -> dict[str, Any]:
    short = [sources[part] for part in figure.source.split("; ")]
    facts = {
        "value": _quantity(figure),
        "source": short[0] if len(short) == 1 else short,
        "confidence": figure.confidence,
        "note": figure.note,
    }
    return {key: value for key, value in facts.items() if value}


def _quantity(figure: Figure) -> str | int | float:
    """The value with the unit it prints best in, exact to what a float holds."""
    if figure.dimension == "count":
        return int(figure.value) if figure.value == int(figure.value) else figure.value
    for digits in range(1, 16):
        text = format_quantity(figure.value, figure.dimension, digits)
        if parse_quantity(text, figure.dimension) == figure.value:
            return text
        if figure.dimension == "bytes" and digits > 5 and figure.value == int(figure.value):
            break
    number = int(figure.value) if figure.value == int(figure.value) else repr(figure.value)
    return f"{number} {format_quantity(0.0, figure.dimension).split()[1]}"
