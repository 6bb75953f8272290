"""Commands that are killed while they write: no file is torn, and run again they give the same as undisturbed.

`make faults` kills 200 times; here are a few steps of each, chosen anew by their number.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.commands import FIT, SIMULATE, SWEEP, Command, Killing
from tests.faults.loop import kill_at_steps

pytest.importorskip("pyarrow")


@pytest.mark.parametrize(("command", "kills"), [(FIT, 3), (SIMULATE, 2), (SWEEP, 2)], ids=lambda own: str(own))
def test_killed(command: Command, kills: int, tmp_path: Path) -> None:
    killing = Killing(command, tmp_path / "files")
    kill_at_steps(killing, kills)
    assert killing.kills == kills
    assert killing.torn == []
