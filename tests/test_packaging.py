"""The built wheel finds its data from any directory, without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="building a wheel needs hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", str(CHECKOUT), "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*command, "--wheel-dir", str(folder)], check=True, capture_output=True, text=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_wheel_holds_all_data_and_works_elsewhere(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for folder in ("hardware_specs", "model_specs", "engine_specs", "calibration"):
            shipped = {f"perfmodel/_data/{path.relative_to(CHECKOUT)}" for path in (CHECKOUT / folder).rglob("*.yaml")}
            assert shipped <= names
        assert {
            "perfmodel/_data/engine_specs/vllm.yaml",
            "perfmodel/_data/calibration/coefficients/serving.json",
        } <= names
        schemas = (CHECKOUT / "perfmodel" / "report" / "schemas").glob("*.json")
        assert {f"perfmodel/report/schemas/{path.name}" for path in schemas} <= names
        assert "perfmodel/py.typed" in names
        assert not any(name.startswith("tests/") for name in names)
        archive.extractall(tmp_path / "site")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PERFMODEL")}
    environment["PERFMODEL_HOME"] = str(tmp_path / "home")
    environment["PYTHONPATH"] = str(tmp_path / "site")
    code = "import perfmodel, sys; sys.exit(0 if sys.argv[1] in perfmodel.__file__ else 1)"
    subprocess.run([sys.executable, "-P", "-c", code, str(tmp_path)], check=True, env=environment, cwd=tmp_path)
    arguments = ["predict", "llama-3.1-8b", "--hardware", "h100-sxm", "--json"]
    result = subprocess.run(
        [sys.executable, "-P", "-m", "perfmodel", *arguments],
        capture_output=True, text=True, env=environment, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert '"hardware": "h100-sxm"' in result.stdout
    server = subprocess.run(
        [sys.executable, "-P", "-m", "perfmodel", *arguments, "--engine", "vllm", "--concurrency", "32"],
        capture_output=True, text=True, env=environment, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert '"level": "device"' in server.stdout
