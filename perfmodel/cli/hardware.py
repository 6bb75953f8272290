"""`perfmodel hardware list|show|check|prices|detect`.

May import: everything below, inside the functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from perfmodel.cli.options import echo_json, json_option, specs_option
from perfmodel.cli.usage import examples
from perfmodel.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from perfmodel.types import Fabric, Hardware

FABRIC = "fabric"
_PRICES_FILE = """
prices.yaml:
  source: offer of a lessor
  date: 2026-10-01
  prices:
    l40s: {usd_per_hour: 0.95}
    rtx-4090: {purchase_usd: 1800, years: 3}
"""


@click.group("hardware")
def hardware_command() -> None:
    """The chips and networks that are known, with the source of every figure."""


@hardware_command.command(
    "list",
    epilog=examples(
        "perfmodel hardware list --kind gpu",
        "perfmodel hardware list --family hopper --json",
    ),
)
@click.option("--kind", type=click.Choice(["gpu", "tpu", "cpu", "accelerator", FABRIC]), help="Only this kind.")
@click.option("--family", metavar="NAME", help="Only this architecture family, e.g. hopper.")
@specs_option
@json_option
def list_command(kind: str | None, family: str | None, specs: str | None, as_json: bool) -> None:
    """List chips (peak rates are dense) and networks."""
    from perfmodel.catalog import broken_local_files, fabric_to_dict, hardware_to_dict, list_fabrics, list_hardware

    for error in broken_local_files():
        click.echo(f"Warning: a profile of this machine is left out:\n{error}", err=True)
    known = list_hardware(specs=specs) if kind != FABRIC else ()
    if family and family not in {chip.family for chip in known}:
        raise UnknownNameError("family", family, {chip.family for chip in known}, "`perfmodel hardware list` shows all")
    chips = [chip for chip in known if kind in (None, chip.kind) and family in (None, chip.family)]
    fabrics = list_fabrics(specs=specs) if kind in (None, FABRIC) and not family else ()
    if as_json:
        echo_json([*map(hardware_to_dict, chips), *map(fabric_to_dict, fabrics)])
        return
    from perfmodel.home import is_local
    from perfmodel.report.catalog_tables import print_chips, print_fabrics
    from perfmodel.report.console import open_console

    console = open_console()
    print_chips(console, [chip for chip in chips if is_local(chip.path)], "This machine (local)")
    print_chips(console, [chip for chip in chips if not is_local(chip.path)])
    print_fabrics(console, fabrics)


@hardware_command.command(
    "show",
    epilog=examples(
        "perfmodel hardware show h100-sxm",
        "perfmodel hardware show my-specs/my-chip.yaml",
    ),
)
@click.argument("name", metavar="ID")
@specs_option
@json_option
def show_command(name: str, specs: str | None, as_json: bool) -> None:
    """Show every figure of a chip or network with its source and confidence.

    ID is an id or alias of the list, or a path to a YAML file.
    """
    from perfmodel.catalog import fabric_to_dict, hardware_to_dict
    from perfmodel.types import Hardware

    found = _find(name, specs)
    if as_json:
        echo_json(hardware_to_dict(found) if isinstance(found, Hardware) else fabric_to_dict(found))
        return
    from perfmodel.report.catalog_tables import print_chip, print_fabric
    from perfmodel.report.console import open_console

    console = open_console()
    if isinstance(found, Hardware):
        print_chip(console, found)
    else:
        print_fabric(console, found)


def _find(name: str, specs: str | None) -> Hardware | Fabric:
    """A chip, else a network of that name."""
    from pathlib import Path

    from perfmodel.catalog import is_path, load_fabric, load_hardware

    if is_path(name) and Path(name).parent.name == FABRIC:
        return load_fabric(name)
    try:
        return load_hardware(name, specs=specs)
    except UnknownNameError as error:
        try:
            return load_fabric(name, specs=specs)
        except UnknownNameError:
            raise error from None


@hardware_command.command(
    "check",
    epilog=examples(
        "perfmodel hardware check",
        "perfmodel hardware check my-specs/my-chip.yaml",
    ),
)
@click.argument("files", nargs=-1, type=click.Path(exists=True))
@specs_option
@click.pass_context
def check_command(ctx: click.Context, files: tuple[str, ...], specs: str | None) -> None:
    """Check profiles for mistakes: all of the catalog, or the given FILES and folders.

    Exit code 1 if there are any; every one is printed with file and line.
    """
    from perfmodel.catalog import check_specs

    errors = check_specs(files, specs=specs)
    for error in errors:
        click.echo(str(error))
    count = sum(len(error.problems) for error in errors)
    if count:
        click.echo(f"{count} {'mistake' if count == 1 else 'mistakes'} in {len(errors)} files", err=True)
        ctx.exit(1)
    click.echo("No mistakes found.")


@hardware_command.command(
    "prices",
    epilog=examples(
        "perfmodel hardware prices",
        "perfmodel hardware prices --prices prices.yaml",
        file=_PRICES_FILE,
    ),
)
@click.option("--prices", metavar="FILE", help="Your own prices (YAML or CSV), listed with the others.")
@specs_option
@json_option
def prices_command(prices: str | None, specs: str | None, as_json: bool) -> None:
    """List what is known of prices per device and hour, with date, source and age."""
    from datetime import date

    from perfmodel.catalog import list_hardware
    from perfmodel.prices import read_prices
    from perfmodel.report.cost_words import price_documents, print_prices

    chips = list_hardware(specs=specs)
    own = list(read_prices(prices, specs=specs).prices.values()) if prices else []
    rows = price_documents(chips, own, date.today())
    if as_json:
        echo_json(rows)
        return
    from perfmodel.report.console import open_console

    print_prices(open_console(), rows, len({chip.id for chip in chips} - {row["hardware"] for row in rows}))


@hardware_command.command(
    "detect",
    epilog=examples(
        "perfmodel hardware detect",
        "perfmodel hardware detect --save",
        "perfmodel hardware detect --device cuda --out my-gpu.yaml",
    ),
)
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda", "rocm", "mps"]),
    default="cpu",
    help="What to make a profile of.",
    show_default=True,
)
@click.option("--name", metavar="ID", help="Id of the profile. [default: the name of --out, else local]")
@click.option("--out", metavar="FILE", help="Write the profile into this .yaml file.")
@click.option("--save", is_flag=True, help="Write it where every command finds it: --hardware ID (PERFMODEL_HOME).")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@json_option
def detect_command(device: str, name: str | None, out: str | None, save: bool, force: bool, as_json: bool) -> None:
    """Tell what this machine is, and make a profile of it.

    Known chips take their figures from the catalog; figures that the system does not tell are assumed, and marked.
    """
    from pathlib import Path

    from perfmodel.machine.accelerators import (
        accelerator_profile,
        detect_accelerators,
        matching_accelerator,
        require_device,
    )
    from perfmodel.machine.detection import detect_machine
    from perfmodel.machine.profile import DEFAULT_NAME, matching_chip, starting_profile
    from perfmodel.machine.profile_files import save_profile, write_profile

    if out and save:
        raise InputError("--out and --save both say where to write the profile: give one of them.")
    wanted = name or (Path(out).stem if out else DEFAULT_NAME)
    accelerator = require_device(device) if device != "cpu" else None
    machine = detect_machine()
    if accelerator is not None:
        matched, profile = matching_accelerator(accelerator), accelerator_profile(accelerator, wanted)
    else:
        matched, profile = matching_chip(machine), starting_profile(machine, wanted)
    file = write_profile(profile, out, force=force) if out else save_profile(profile, force=force) if save else None
    accelerators = detect_accelerators()
    if as_json:
        from perfmodel.report.machine_table import machine_document

        echo_json(machine_document(machine, accelerators, matched, profile, str(file or "")))
        return
    from perfmodel.report.console import open_console
    from perfmodel.report.machine_table import print_machine

    print_machine(open_console(), machine, accelerators, matched, profile)
    if file is not None:
        click.echo(f"\nProfile: {file}")
        click.echo(f"Use it: --hardware {profile.id if save else file}")
