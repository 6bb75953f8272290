"""The shipped profiles: each is well formed and plausible, and says what the collected facts say."""

import csv
import re
from pathlib import Path

import pytest

from perfmodel.catalog import FABRIC, HARDWARE, data_files, fold_name, list_fabrics, list_hardware, load_fabric
from perfmodel.hardware_profile import DTYPES

ROOT = Path(__file__).resolve().parent.parent
FACTS = ROOT.parent / "shared" / "data" / "hardware_facts" / "hardware_facts.csv"
CHIPS = {chip.id: chip for chip in list_hardware()}
FABRICS = {fabric.id: fabric for fabric in list_fabrics()}

# fact -> figure, for the figures a prediction stands on
HEADLINES = {
    "mem_capacity": "memory.capacity", "mem_bandwidth": "memory.bandwidth", "mem_usable": "memory.usable",
    "tdp": "power.tdp", "l2_capacity": "caches.l2", "num_cores": "cores.count", "clock_boost": "clocks.boost",
    "link_bandwidth_unidir": "links.bandwidth", "scaleup_domain_size": "links.domain_size",
    "cloud_price_usd_per_hour": "price.cloud_usd_per_hour", "sram_capacity": "memory.capacity",
    "sram_bandwidth": "memory.bandwidth",
}  # fmt: skip
# rate over the bf16 rate (fp16 where there is no bf16) of the matrix unit, as the architectures have it
RATIOS = {"tf32": (0.5,), "fp16": (1,), "fp8": (2,), "fp6": (2, 4), "fp4": (4, 8), "int8": (2,), "int4": (4,)}
EXCEPTIONS = {
    ("neuroncore-v2", "tf32"): 1, ("neuroncore-v3", "tf32"): 1, ("neuroncore-v4", "tf32"): 1,
    ("neuroncore-v2", "fp8"): 1, ("neuroncore-v4", "fp8"): 3.75, ("neuroncore-v4", "fp4"): 3.75,
    ("gaudi3", "fp8"): 1, ("gaudi3", "fp16"): 0.274, ("gaudi3", "tf32"): 0.274,
    ("tpu-v5p", "fp8"): 1, ("tpu-v6e", "fp8"): 1, ("tpu-v4", "int8"): 1,
    ("cdna1", "fp16"): 2, ("cdna1", "int8"): 2, ("cdna2", "int8"): 1,
    ("rdna3", "int8"): 1, ("rdna3", "int4"): 2, ("b300", "fp4"): 6.22, ("gb300", "fp4"): 6,
    ("rtx-5090", "int8"): 4, ("b300", "int8"): 0.068, ("gb300", "int8"): 0.066, ("groq-tsp", "int8"): 4,
}  # fmt: skip
# fp32 accumulation at half the rate, as on all GeForce cards of these generations
for _card in ("3070", "3080", "3080-ti", "3090", "3090-ti", "4070-ti", "4080", "4090"):
    EXCEPTIONS |= {(f"rtx-{_card}", "int8"): 4, (f"rtx-{_card}", "int4"): 8}


def facts(*kinds: str):
    if not FACTS.exists():
        pytest.skip("the table of hardware facts is not beside this checkout")
    with open(FACTS, newline="") as file:
        return [row for row in csv.DictReader(file) if row["kind"] in kinds]


def test_the_catalog_is_whole():
    kinds = {kind: [chip.id for chip in CHIPS.values() if chip.kind == kind] for kind in ("gpu", "tpu", "cpu")}
    assert len(CHIPS) >= 89
    assert len(kinds["tpu"]) == 7
    assert len(kinds["cpu"]) >= 12
    assert set(data_files()) == set(CHIPS)
    assert set(data_files(f"{HARDWARE}/{FABRIC}")) == set(FABRICS)
    named_in_the_manual = (
        "h100-sxm h200-sxm b200 gb200 a100-sxm-80gb a100-pcie-40gb l40s l4 t4 rtx-4090 rtx-pro-6000 mi300x gaudi-3 "
        "tpu-v5e tpu-v6e xeon-8480 epyc-9654 apple-m3-max"
    )
    assert set(named_in_the_manual.split()) <= set(CHIPS)


def test_every_name_means_one_chip():
    owners: dict[str, set[str]] = {}
    for chip in CHIPS.values():
        for name in (chip.id, *chip.aliases):
            owners.setdefault(fold_name(name), set()).add(chip.id)
    assert {name: chips for name, chips in owners.items() if len(chips) > 1} == {}


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
def test_every_figure_has_a_source(chip):
    assert chip.figures
    for key, figure in chip.figures.items():
        assert figure.source.strip(), key
        assert figure.confidence in ("high", "medium", "low"), key
        if all(source.startswith(("recalled", "derived", "assumed")) for source in figure.source.split("; ")):
            assert figure.confidence != "high", key


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
def test_identity(chip):
    path = Path(chip.path)
    assert (path.stem, path.parent.name) == (chip.id, chip.kind)
    assert chip.vendor
    assert chip.family
    assert chip.name.startswith(chip.vendor)
    assert chip.launch_date
    assert chip.price_date or not chip.price_usd_per_hour


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
def test_precisions_are_settled(chip):
    """A dtype is native with a rate, emulated through one that is, or refused."""
    for dtype in chip.native:
        assert ("matrix", dtype) in chip.peaks or ("vector", dtype) in chip.peaks
    assert not set(chip.native) & set(chip.fallbacks)
    assert set(chip.fallbacks.values()) <= set(chip.native)
    refused = set(DTYPES) - set(chip.native) - set(chip.fallbacks)
    assert refused <= {"fp64", "fp32", "tf32"}
    assert {"bf16", "fp16"} & {*chip.native, *chip.fallbacks}


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
def test_matrix_rates_stand_in_the_ratios_of_the_architecture(chip):
    rates = {dtype: rate for (unit, dtype), rate in chip.peaks.items() if unit == "matrix"}
    base = rates.get("bf16", rates.get("fp16"))
    for dtype, allowed in RATIOS.items():
        if dtype in rates and base:
            exception = EXCEPTIONS.get((chip.id, dtype), EXCEPTIONS.get((chip.family, dtype)))
            wanted = (exception,) if exception else allowed
            assert any(rates[dtype] / base == pytest.approx(ratio, rel=0.05) for ratio in wanted), dtype


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
def test_clocks_cores_and_links_hang_together(chip):
    if chip.base_clock_hertz and chip.clock_hertz:
        assert chip.base_clock_hertz <= chip.clock_hertz
    if chip.tensor_clock_hertz:
        assert chip.base_clock_hertz <= chip.tensor_clock_hertz <= 1.05 * chip.clock_hertz
    usable, capacity = chip.figures.get("memory.usable"), chip.figures["memory.capacity"]
    assert usable is None or 0.9 * capacity.value <= usable.value <= capacity.value
    assert chip.memory_bytes == (usable or capacity).value
    assert chip.domain_size >= 1
    if ("matrix", "bf16") in chip.peaks and ("vector", "fp32") in chip.peaks:
        assert chip.peaks["matrix", "bf16"] > chip.peaks["vector", "fp32"]


def test_nothing_points_at_the_way_the_facts_were_gathered():
    for path in [*data_files().values(), *data_files(f"{HARDWARE}/{FABRIC}").values()]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"collected by|helper|stored page|PyPI|RECALLED|/work|/tmp", text), path
        assert max(map(len, text.splitlines())) <= 140, path


# ------------------------------------------------------------------------------ against the table of facts


def test_every_device_of_the_table_has_a_profile():
    aliases = {fold_name(name): chip.id for chip in CHIPS.values() for name in (chip.id, *chip.aliases)}
    devices = {row["device_id"] for row in facts("gpu", "tpu", "cpu", "accelerator")}
    assert [device for device in sorted(devices) if fold_name(device) not in aliases] == []


def figure_key(row, chip) -> str:
    unit, _, dtype = row["field"].partition("_")
    if unit in ("matrix", "vector"):
        return f"peaks.{unit}.{dtype}"
    if unit == "sram" and chip.memory_type != "SRAM":
        return {"capacity": "caches.scratchpad", "bandwidth": "caches.scratchpad_bandwidth"}[dtype]
    return HEADLINES.get(row["field"], "")


def headline_rows():
    chips = {fold_name(name): chip for chip in CHIPS.values() for name in (chip.id, *chip.aliases)}
    for row in facts("gpu", "tpu", "cpu", "accelerator"):
        chip = chips[fold_name(row["device_id"])]
        key = figure_key(row, chip)
        if key and float(row["value"]):  # a zero stands for "has none"
            yield row, chip, key


def test_headline_figures_equal_the_table():
    compared, wrong = 0, []
    for row, chip, key in headline_rows():
        sparse = chip.id == "cerebras-wse3" and key.startswith("peaks")  # the one sparse rate of the table
        value = float(row["value"]) / (chip.sparsity_factor if sparse else 1)
        figure = chip.figures.get(key)
        compared += 1
        if figure is None or figure.value != pytest.approx(value, rel=1e-4):
            wrong.append((chip.id, key, value, figure and figure.value))
        elif figure.confidence != row["confidence"]:
            wrong.append((chip.id, key, row["confidence"], figure.confidence))
    assert wrong == []
    assert compared > 1000


def test_recalled_figures_stay_recognisable():
    recalled = [(row, chip, key) for row, chip, key in headline_rows() if row["source"].startswith("RECALLED")]
    assert len(recalled) > 50
    for _, chip, key in recalled:
        assert "recalled, not re-read: " in chip.figures[key].source, (chip.id, key)


def test_fabric_constants_equal_the_table():
    wrong = []
    for row in facts("network", "software"):
        if row["unit"] not in ("text", "date"):
            figure = load_fabric(fold_name(row["device_id"])).constants.get(row["field"])
            if figure is None or figure.value != pytest.approx(float(row["value"]), rel=1e-4):
                wrong.append((row["device_id"], row["field"]))
    assert wrong == []
