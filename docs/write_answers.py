"""Runs the commands in README and pages again and puts what they print behind them.

    python docs/write_answers.py            # writes the pages
    python docs/write_answers.py --check    # fails where a page is not what its commands print

A command is a block of Markdown that begins with ```console and `$ perfmodel`; other blocks stay as they are.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import sys
from pathlib import Path

from click.testing import CliRunner

from perfmodel.cli import main as perfmodel
from perfmodel.whole_files import write_whole

FOLDER = Path(__file__).parent
BLOCK = re.compile(r"```console\n\$ perfmodel (.*)\n[\s\S]*?```")
PAGES = tuple(
    page
    for page in (*sorted(FOLDER.glob("*.md")), FOLDER.parent / "README.md")
    if BLOCK.search(page.read_text(encoding="utf-8"))
)


def refreshed(text: str) -> str:
    """The page with what its commands print now."""
    return BLOCK.sub(lambda block: f"```console\n$ perfmodel {block[1]}\n{printed(block[1])}```", text)


def printed(command: str) -> str:
    """Stdout of a perfmodel command, run in the repository's folder, without blanks at the ends of lines."""
    with contextlib.chdir(FOLDER.parent):
        result = CliRunner().invoke(perfmodel, shlex.split(command), env={"COLUMNS": None})
    if result.exit_code:
        sys.exit(f"perfmodel {command}\n{result.stderr}")
    return "".join(f"{line.rstrip()}\n" for line in result.stdout.strip().splitlines())


def main() -> None:
    """Write or check all pages."""
    stale = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if (new := refreshed(text)) != text:
            stale.append(page.name)
            if "--check" not in sys.argv:
                write_whole(page, new)
    if stale and "--check" in sys.argv:
        sys.exit(f"not what the commands print: {', '.join(stale)}")


if __name__ == "__main__":
    main()
