"""The recipes of CONTRIBUTING.md, done: its chip, op, front-end and source are added and used, as it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from perfmodel import load_hardware, predict
from perfmodel.calibration import sources
from perfmodel.calibration.validation import validate
from perfmodel.cli import main
from perfmodel.errors import PerfmodelError
from perfmodel.graphs.checks import check_graph
from tests.calibration.files import write_csv
from tests.docs.doc_commands import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
OP, FRONT_END, SOURCE = re.findall(r"```python\n([\s\S]*?)```", TEXT)
(CHIP,) = re.findall(r"```yaml\n([\s\S]*?)```", TEXT)
GRAPH = """
name: nearest
symbols: [batch]
tensors:
  x: {shape: [batch, 300, 64], dtype: fp32, kind: input}
  y: {shape: [batch, 500, 64], dtype: fp32, kind: input}
  d: {shape: [batch, 300, 500], dtype: fp32}
ops:
  - {name: distances, kind: pairwise_distance, inputs: [x, y], outputs: [d]}
"""


def test_a_chip(tmp_path: Path) -> None:
    folder = tmp_path / "hardware_specs" / "gpu"
    folder.mkdir(parents=True)
    (folder / "example-1.yaml").write_text(CHIP, encoding="utf-8")
    checked = CliRunner().invoke(main, ["hardware", "check", str(folder / "example-1.yaml")])
    assert checked.exit_code == 0, checked.stderr
    assert load_hardware("example-1", specs=str(tmp_path)).memory_bytes == 96 * 2**30
    prediction = predict("llama-3.1-8b", "example-1", specs=str(tmp_path))
    step = prediction.phases["decode"].time
    # the weights alone take 16 GB / 4 TB/s
    assert 4e-3 < step.low < step.seconds < 10e-3
    assert prediction.provenance["level"] == "datasheet"


def test_an_op(tmp_path: Path) -> None:
    """In a process of its own, since a kind is registered for good."""
    (tmp_path / "nearest.yaml").write_text(GRAPH, encoding="utf-8")
    (tmp_path / "recipe.py").write_text(OP, encoding="utf-8")
    code = (
        "import json, perfmodel\n"
        "from perfmodel.costs import known_kinds, registry, streaming\n"
        "before = perfmodel.explain('nearest.yaml', 'h100-sxm', batch=4)\n"
        "exec(open('recipe.py').read(), vars(streaming))\n"
        "registry.formula('pairwise_distance', sizes=streaming.pairwise_distance_sizes)(streaming.cost_streaming)\n"
        "model = perfmodel.load_model('nearest.yaml')\n"
        "after = perfmodel.explain(model, 'h100-sxm', batch=4)\n"
        "cost = after.phases['forward'].ops[0].cost\n"
        "print(json.dumps([len(before.unmodelled), len(after.unmodelled), cost.vector_flops, cost.bytes]))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PERFMODEL_HOME": str(tmp_path / "home")},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    unmodelled, modelled, flops, moved = json.loads(result.stdout)
    assert (unmodelled, modelled) == (1, 0)
    assert flops == 3 * 4 * 300 * 500 * 64
    assert moved == 4 * 4 * (300 * 64 + 500 * 64 + 300 * 500)


def test_a_front_end(tmp_path: Path) -> None:
    names: dict[str, object] = {}
    exec(compile(FRONT_END, "CONTRIBUTING.md", "exec"), names)
    read = names["read_layers_file"]
    (tmp_path / "digits.json").write_text('{"widths": [784, 256, 10]}')
    model = read(tmp_path / "digits.json")  # type: ignore[operator]
    check_graph(model.phases["forward"])
    assert model.parameters == 784 * 256 + 256 * 10
    prediction = predict(model, "h100-sxm", batch=64)
    assert not prediction.unmodelled
    assert prediction.phases["forward"].time.seconds >= prediction.phases["forward"].bound_seconds > 0
    for wrong in ('{"widths": [784]}', '{"widths": [1, -2]}', "[]", '{"widths": '):
        (tmp_path / "digits.json").write_text(wrong)
        with pytest.raises(PerfmodelError, match=r"digits\.json"):
            read(tmp_path / "digits.json")  # type: ignore[operator]


def test_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, object] = {}
    exec(compile(SOURCE, "CONTRIBUTING.md", "exec"), names)
    known = sources.Format(names["NAME"], "products", names["COLUMNS"], names["read_products"])  # type: ignore[arg-type]
    monkeypatch.setattr(sources, "FORMATS", (*sources.FORMATS, known))
    rows = [{"chip": "h100-sxm", "m": 4096, "n": 4096, "k": 4096, "us": us} for us in (215, 220, -1)]
    found = validate([write_csv(tmp_path / "products.csv", [*rows, rows[0] | {"chip": "abacus"}])])
    assert found.rows == 4
    assert found.skipped == {"time is negative": 1, "unknown device abacus": 1}
    assert found.predicted == 2


def test_files_that_the_recipes_name_exist() -> None:
    named = set(re.findall(r"`((?:tests|docs|graphs|costs|kernels|calibration|cli)/[\w/]+\.\w+)`", TEXT))
    made_up = {"graphs/layers_file.py", "calibration/sources/mylab.py", "tests/calibration/sources/test_mylab.py"}
    missing = {name for name in named - made_up if not ((ROOT / name).exists() or (ROOT / "perfmodel" / name).exists())}
    assert not missing
    said = {
        "_FAMILIES": "costs/__init__.py", "_SIZES": "costs/streaming.py", "_FAMILY": "kernels/memory_bound.py",
        "time_group": "kernels/__init__.py", "FORMATS": "calibration/sources/__init__.py",
        "_load": "graphs/__init__.py",
    }  # fmt: skip
    for word, file in said.items():
        assert f"`{word}`" in TEXT
        assert re.search(rf"^(?:def )?{word}\b", (ROOT / "perfmodel" / file).read_text(encoding="utf-8"), re.MULTILINE)
    for file in ("tests/costs/test_costs.py", "tests/graphs/test_front_ends.py"):
        assert "CASES" in (ROOT / file).read_text(encoding="utf-8")
