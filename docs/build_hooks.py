"""What mkdocs does for the site beside copying pages: new guides, files from outside, notebooks, and the reference.

Pages link to files of the repository as `../CONTRIBUTING.md`, which works wherever they are read; in the site such a
file stands below `files/`, whether it is a page or a schema. The names are those that mkdocs calls.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
ROOM, NOTEBOOK_ROOM, GUIDES = "files", "notebooks", "Tables, reports, page"
PATTERNS = (
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "hardware_specs/*.md",
    "calibration/*.md",
    "perfmodel/report/schemas/*.json",
)
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")


def on_config(config: Any) -> Any:
    """Puts pages that mkdocs.yml does not name at the end of the last guides, under their own headings."""
    named = set(re.findall(r"[\w./-]+\.md", repr(config.nav)))
    others = sorted(path.name for path in Path(config.docs_dir).glob("*.md") if path.name not in named)
    next(section[GUIDES] for section in config.nav if GUIDES in section).extend(others)
    return config


def on_files(files: Files, *, config: Any) -> Files:
    """Adds the files from outside, and the pages that are written from the code."""
    for pattern in PATTERNS:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, f"{ROOM}/{name}", abs_src_path=str(path)))
    sys.path.insert(0, str(Path(__file__).parent))
    from notebook_pages import NOTEBOOKS, notebook_page
    from write_reference import PAGES

    for name, written in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=written()))
    for path in NOTEBOOKS:
        text, pictures = notebook_page(path)
        files.append(File.generated(config, f"{NOTEBOOK_ROOM}/{path.stem}.md", content=text))
        for name, data in pictures.items():
            files.append(File.generated(config, f"{NOTEBOOK_ROOM}/{name}", content=data))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Points links at where files are in the site."""
    here = PurePosixPath(page.file.src_uri)
    return LINK.sub(lambda link: in_site(link[1], here), markdown)


def in_site(link: str, page: PurePosixPath) -> str:
    """Where a link of a page leads in the site.

    >>> in_site("../CHANGELOG.md", PurePosixPath("serving.md"))
    'files/CHANGELOG.md'
    >>> in_site("docs/serving.md", PurePosixPath("files/README.md"))
    '../serving.md'
    >>> in_site("parallelism.md", PurePosixPath("serving.md"))
    'parallelism.md'
    """
    outside = page.parts[0] == ROOM
    folder = PurePosixPath(*page.parts[1:]).parent if outside else PurePosixPath("docs", page).parent
    target = os.path.normpath(folder / link)
    inside = target.removeprefix("docs/") if target.startswith("docs/") else f"{ROOM}/{target}"
    return Path(os.path.relpath(inside, page.parent)).as_posix()
