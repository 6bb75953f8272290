"""Commands that are killed while they write: no file is torn, and run again they give the same as undisturbed.

`make faults` kills 200 times; here are a few kills of each, at steps that leave most behind.
"""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("torch")

from tests.faults.commands import FIT, SIMULATE, SWEEP, Command, Killing
from tests.faults.loop import kill_at_steps

pytestmark = [pytest.mark.torch, pytest.mark.slow]


@pytest.mark.parametrize(("command", "kills"), [(FIT, 3), (SIMULATE, 1)], ids=["fit", "simulate"])
def test_files_are_old_or_new(command: Command, kills: int, tmp_path: Path) -> None:
    killing = Killing(command, tmp_path / "files")
    kill_at_steps(killing, kills)
    assert killing.kills == killing.resumes == kills
    assert killing.torn == []


def test_a_sweep_goes_on_wherever_it_was(tmp_path: Path) -> None:
    killing = Killing(SWEEP, tmp_path / "files")
    for before_the_end in (4, 2):  # parts are removed, and what tells whose they are
        assert killing.kill(at=killing.steps - before_the_end)
        killing.resume()
    assert killing.torn == []
