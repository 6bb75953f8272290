"""Every command that README and docs show is run; where that would measure a machine, its options are read.

What commands print is checked by tests/test_written_answers.py, which runs those of its pages.
"""

from __future__ import annotations

import glob
import importlib.util
import json
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from perfmodel.cli import main
from tests.calibration.files import write_csv
from tests.calibration.sources.test_reports import VLLM
from tests.docs.doc_commands import PAGES, ROOT, commands, inline_commands, shown_file
from tests.test_written_answers import write_answers

# beginning of a command -> why it is not run here
NOT_RUN = {
    r"measure(?!.*--suggest)": "measures this machine for minutes",
    r"measure .*--suggest": "traces hundreds of programs; tests/cli/test_suggest_option.py runs it",
    r"calibrate": "measures this machine, or fits runs, for minutes; tests/cli/test_calibrate_command.py runs it",
    r"validate DATA/": "needs the published tables; docs/write_accuracy.py ran it",
    r"hardware detect --device cuda": "needs a GPU",
    r"serve": "serves until it is stopped; test_served_pages.py starts it",
}
SHOWN = {command: page for page in PAGES for command in commands(page.read_text(encoding="utf-8"))}
WRITTEN = {
    block[1] for page in write_answers.PAGES for block in write_answers.BLOCK.finditer(page.read_text(encoding="utf-8"))
}


def reason_not_to_run(command: str) -> str:
    return next((reason for start, reason in NOT_RUN.items() if re.match(start, command)), "")


RUN = sorted(command for command in SHOWN if command not in WRITTEN and not reason_not_to_run(command))
READ = sorted(command for command in SHOWN if reason_not_to_run(command))


def shortened(command: str) -> str:
    return command[:50]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that commands name, and a home where the machine has been detected."""
    folder = tmp_path_factory.mktemp("desk")
    for name in ("docs", "calibration", "hardware_specs"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "result.json").write_text(json.dumps(VLLM | {"mean_ttft_ms": 55.0}))
    recorded = ROOT / "calibration" / "measurements" / "epyc-zen4-2-cores"
    (folder / "runs-cpu-collectives.jsonl").symlink_to(recorded / "collectives.jsonl")
    for name in ("quick", "validation"):
        (folder / f"runs-cuda-{name}.jsonl").symlink_to(recorded / "quick.jsonl")
    write_csv(folder / "runs.csv", server_runs())
    write_csv(
        folder / "trace.csv",
        [{"arrival": second / 2, "input_tokens": 900 + second, "output_tokens": 200} for second in range(40)],
    )
    own = folder / "my-specs" / "hardware_specs" / "gpu"
    own.mkdir(parents=True)
    (own / "example-1.yaml").write_text(chip_of(ROOT / "CONTRIBUTING.md"))
    for name in ("prices.yaml", "sweep.yaml"):
        (folder / name).write_text(shown_file(name))
    CliRunner().invoke(main, ["hardware", "detect", "--save"], env={"PERFMODEL_HOME": str(folder / "home")})
    return folder


def chip_of(page: Path) -> str:
    """The profile that a page shows."""
    block = re.search(r"```yaml\n(id: [\s\S]*?)```", page.read_text(encoding="utf-8"))
    assert block is not None
    return block[1]


def server_runs() -> list[dict[str, object]]:
    """Load tests of several deployments, as a table."""
    return [
        {"model": model, "hardware": chip, "engine": engine, "engine_version": version, "tp": tp,
         "weight_precision": "fp8", "input_tokens": 1000, "output_tokens": 500, "concurrency": users,
         "ttft_ms": 60.0 + 5 * users, "tpot_ms": 6.0 + users / 8}
        for model in ("Qwen/Qwen3-32B", "Qwen/Qwen3-8B", "meta-llama/Llama-3.1-8B-Instruct")
        for chip in ("h100_sxm", "h200_sxm")
        for engine, version in (("vllm", "0.12.0"), ("sglang", "0.5.9"))
        for tp in (1, 2)
        for users in (1, 8, 32, 64)
    ]  # fmt: skip


@pytest.mark.parametrize("command", RUN, ids=shortened)
def test_shown_commands_run(command: str, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("timm", "torch"):
        if f"{package}:" in command and importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not here")
    monkeypatch.chdir(desk)
    home = desk / ("empty" if "--save" in command else "home")
    result = CliRunner().invoke(main, expanded(command), env={"PERFMODEL_HOME": str(home)})
    assert result.exit_code == 0, f"{SHOWN[command].name}: {result.stderr}"
    assert result.stdout.strip()


@pytest.mark.parametrize("command", READ, ids=shortened)
def test_options_of_commands_that_are_not_run(command: str, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    parsed(expanded(command))


def expanded(command: str) -> list[str]:
    """The words of a command, file patterns replaced by the files, as a shell does."""
    words: list[str] = []
    for word in shlex.split(command):
        words += sorted(glob.glob(word)) or [word] if "*" in word else [word]
    return words


def parsed(words: list[str]) -> None:
    """Reads arguments and options as click does, down to the last command, without running anything."""
    command, context = main, click.Context(main, info_name="perfmodel")
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, words[0]
        command, words = found, words[1:]
    files = [parameter for parameter in command.params if isinstance(parameter.type, click.Path)]
    for parameter in files:
        parameter.type.exists = False  # type: ignore[attr-defined]
    command.make_context(command.name, words, parent=context)


def test_reasons_not_to_run_are_needed() -> None:
    for start in NOT_RUN:
        assert any(re.match(start, command) for command in SHOWN), start


INLINE = sorted({command for page in PAGES for command in inline_commands(page.read_text(encoding="utf-8"))})


@pytest.mark.parametrize("command", INLINE, ids=shortened)
def test_commands_in_the_text_name_options_that_exist(command: str) -> None:
    words = command.split()
    if words[0] == "COMMAND":
        return
    known, context = main, click.Context(main)
    while isinstance(known, click.Group) and words and not words[0].startswith("-"):
        found = known.get_command(context, words.pop(0))
        assert found is not None, command
        known = found
    options = {name for parameter in known.get_params(context) for name in (*parameter.opts, *parameter.secondary_opts)}
    asked = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", " ".join(words)))
    assert asked <= options | {"--help", "--version"}, asked - options


def test_no_typed_command_is_passed_over() -> None:
    """The forms that pages write commands in are known."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        typed = re.findall(r"^(?:\$ | {4})perfmodel .*", text, re.MULTILINE)
        assert len(typed) <= len(list(commands(text))), page.name
    assert len(SHOWN) > 50
