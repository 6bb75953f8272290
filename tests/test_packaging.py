"""Wheel and source distribution: what is in them, what they say of themselves, and that they work anywhere."""

from __future__ import annotations

import email
import email.message
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DATA = ("hardware_specs", "model_specs", "engine_specs")
MOST_BYTES = {"wheel": 2_500_000, "sdist": 5_000_000}  # of the files; a table of measurements in them would be more
JUNK = re.compile(r"(^|/)(\.git|\.venv|\.ci|build|dist|shared|__pycache__|\.\w+_cache|\.hypothesis)(/|$)|\.(pyc|so)$")


def build(source: Path, kind: str, folder: Path) -> Path:
    """The wheel or sdist of a source tree, built by the backend that pyproject.toml names, without a network."""
    pytest.importorskip("hatchling", reason="building needs hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    subprocess.run(command, check=True, capture_output=True, text=True, cwd=source)
    (built,) = folder.glob({"wheel": "*.whl", "sdist": "*.tar.gz"}[kind])
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(CHECKOUT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(CHECKOUT, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what installing the wheel puts into site-packages."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def contents(wheel: Path) -> dict[str, int]:
    """Each file of a wheel with its checksum."""
    with zipfile.ZipFile(wheel) as archive:
        return {entry.filename: entry.CRC for entry in archive.infolist()}


def metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_string(archive.read(name).decode())


# commands of its arguments, one a word, in one process: (exit code, stdout, stderr) of each as JSON
RUNNER = """
import json, shlex, sys
from click.testing import CliRunner
from perfmodel.cli import main
done = [CliRunner().invoke(main, shlex.split(words)) for words in sys.argv[1:]]
print(json.dumps([(one.exit_code, one.stdout, one.stderr) for one in done]))
"""


def python(site: Path, folder: Path, *words: str, hidden: Path | None = None) -> str:
    """What Python prints that has the wheel alone, in a folder that has nothing of the checkout."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PERFMODEL", "COLUMNS"))}
    places = os.pathsep.join(str(place) for place in (hidden, site) if place)
    environment |= {"PERFMODEL_HOME": str(folder / "home"), "PYTHONPATH": places}
    return subprocess.run(
        [sys.executable, "-P", *words], capture_output=True, text=True, env=environment, cwd=folder, check=True
    ).stdout


@pytest.mark.slow
def test_wheel_holds_all_data_and_nothing_else(wheel: Path) -> None:
    names = set(contents(wheel))
    for folder in DATA:
        shipped = {f"perfmodel/_data/{path.relative_to(CHECKOUT)}" for path in (CHECKOUT / folder).rglob("*.yaml")}
        assert shipped
        assert shipped <= names
    coefficients = (CHECKOUT / "calibration" / "coefficients").glob("*.json")
    assert {f"perfmodel/_data/calibration/coefficients/{path.name}" for path in coefficients} <= names
    for folder, pattern in (("report/schemas", "*.json"), ("web/static", "*"), (".", "*.py")):
        files = (path for path in (CHECKOUT / "perfmodel" / folder).rglob(pattern) if path.is_file())
        here = {str(path.relative_to(CHECKOUT)) for path in files}
        assert {name for name in here if not JUNK.search(name)} <= names
    assert "perfmodel/py.typed" in names
    assert any(re.fullmatch(r"perfmodel-[\d.]+\.dist-info/licenses/LICENSE", name) for name in names)
    assert {PurePosixPath(name).parts[0].partition("-")[0] for name in names} == {"perfmodel"}
    unwanted = (".ipynb", ".png", ".jsonl")
    assert not [name for name in names if JUNK.search(name) or "/tests/" in name or name.endswith(unwanted)]
    assert wheel.stat().st_size < MOST_BYTES["wheel"]


@pytest.mark.slow
def test_what_the_wheel_says_of_itself(wheel: Path) -> None:
    told = metadata(wheel)
    assert told["Name"] == "perfmodel"
    assert told["Version"] == PROJECT["version"]
    assert wheel.name == f"perfmodel-{PROJECT['version']}-py3-none-any.whl"
    assert told["License-Expression"] == "Apache-2.0"
    assert told["License-File"] == "LICENSE"
    assert told["Requires-Python"] == ">=3.11"
    assert told["Summary"]
    assert told["Description-Content-Type"] == "text/markdown"
    assert not [
        text for text in told.get_all("Classifier", []) if text.startswith("License ::")
    ]  # the expression says it
    extras = set(told.get_all("Provides-Extra", []))
    assert extras == set(PROJECT["optional-dependencies"])
    everything = set(re.findall(r"\w+", PROJECT["optional-dependencies"]["all"][0])) - {"perfmodel"}
    assert everything == extras - {"all", "dev", "docs"}


def test_the_version_stands_in_one_place() -> None:
    """Nothing else in the package names it, and CHANGELOG.md has a section of it."""
    version = PROJECT["version"]
    assert re.search(rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)$", (CHECKOUT / "CHANGELOG.md").read_text(), re.M)
    named = [
        path
        for path in (CHECKOUT / "perfmodel").rglob("*.py")
        if re.search(rf"version.*\"{re.escape(version)}\"", path.read_text())
    ]
    assert not named


def test_extras_that_messages_name_exist() -> None:
    sources = [*(CHECKOUT / "perfmodel").rglob("*.py"), CHECKOUT / "README.md", *(CHECKOUT / "docs").glob("*.md")]
    named = {name for path in sources for name in re.findall(r"perfmodel\[(\w+)\]", path.read_text(encoding="utf-8"))}
    assert {"web", "torch", "timm", "onnx", "parquet", "dask"} <= named
    assert named <= set(PROJECT["optional-dependencies"])


@pytest.mark.slow
def test_sdist_is_a_checkout_and_makes_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {PurePosixPath(*PurePosixPath(name).parts[1:]).as_posix() for name in archive.getnames()}
        archive.extractall(tmp_path, filter="data")
    assert {"LICENSE", "README.md", "CHANGELOG.md", "PKG-INFO", "tests/test_packaging.py", "docs/index.md"} <= names
    assert not [name for name in names if JUNK.search(name)]
    assert sdist.stat().st_size < MOST_BYTES["sdist"]
    (source,) = tmp_path.glob("perfmodel-*")
    again = build(source, "wheel", tmp_path / "wheel")
    assert contents(again) == contents(wheel)


@pytest.mark.slow
def test_wheel_works_elsewhere(site: Path, tmp_path: Path) -> None:
    assert python(site, tmp_path, "-c", "import perfmodel; print(perfmodel.__file__)").startswith(str(site))
    assert python(site, tmp_path, "-m", "perfmodel", "--version") == f"perfmodel {PROJECT['version']}\n"
    llama = "llama-3.1-8b --hardware h100-sxm"
    wanted = {
        f"predict {llama} --json": '"hardware": "h100-sxm"',
        f"predict {llama} --engine vllm --concurrency 32 --json": '"level": "device"',
        f"explain {llama} --html why.html": "Report: why.html",
        "engines list": "sglang",
    }
    answers = json.loads(python(site, tmp_path, "-c", RUNNER, *wanted))
    for (code, printed, complaint), told in zip(answers, wanted.values(), strict=True):
        assert code == 0, complaint
        assert told in printed
    assert "perfmodel" in (tmp_path / "why.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_needs_an_extra_says_which(site: Path, tmp_path: Path) -> None:
    """Where the packages of an extra are missing, the command names it. They are hidden by modules that cannot load."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in ("torch", "timm", "onnx", "pyarrow"):
        (hidden / f"{name}.py").write_text(f'raise ModuleNotFoundError("not here", name="{name}")\n')
    (tmp_path / "m.onnx").write_bytes(b"\x08\x07")
    wanted = {
        "predict timm:resnet50 --hardware t4": "perfmodel[timm]",
        "predict m.onnx --hardware t4": "perfmodel[onnx]",
        "measure": "perfmodel[torch]",
    }
    answers = json.loads(python(site, tmp_path, "-c", RUNNER, *wanted, hidden=hidden))
    for (code, _, complaint), extra in zip(answers, wanted.values(), strict=True):
        assert code == 2, complaint
        assert f"pip install '{extra}'" in complaint
