"""The `perfmodel ...` lines of README and docs, as a person would type them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "hardware_specs" / "README.md",
    ROOT / "calibration" / "README.md", *sorted((ROOT / "docs").glob("*.md")),
)  # fmt: skip
FENCE = re.compile(r"^ *```(\w*)")
# in a console block what is typed, and what a plan says to type next; in a shell block and an indented one, all
TYPED = {
    "console": re.compile(r"^(?:\$ |Best: | +)perfmodel (.+)"),
    "sh": re.compile(r"^perfmodel (.+)"),
    "": re.compile(r"^ {4,}perfmodel (.+)"),
}
INLINE = re.compile(r"`perfmodel ([^`]+)`")


def commands(text: str) -> Iterator[str]:
    """What stands behind `perfmodel` in the blocks of a page, without comments."""
    fence = None
    for line in text.splitlines():
        if found := FENCE.match(line):
            fence = None if fence is not None else found[1]
        elif (typed := TYPED.get(fence or "")) and (fence or fence is None) and (command := typed.match(line)):
            yield re.sub(r"\s+#.*", "", command[1]).strip()


def inline_commands(text: str) -> Iterator[str]:
    """Commands in the running text, which may be cut short and have placeholders."""
    without_blocks = re.sub(r"^ *```[\s\S]*?^ *```", "", text, flags=re.MULTILINE)
    yield from (" ".join(command.split()) for command in INLINE.findall(without_blocks))


def shown_file(name: str) -> str:
    """The file of that name that a page shows, which stands in its first line."""
    blocks = (
        block
        for page in sorted((ROOT / "docs").glob("*.md"))
        for block in re.findall(r"```yaml\n([\s\S]*?)```", page.read_text(encoding="utf-8"))
    )
    return next(block for block in blocks if block.startswith(f"# {name}"))
