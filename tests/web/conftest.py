"""One server for the tests of a process: the application itself, with worker processes of its own."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

MISSING = [name for name in ("fastapi", "uvicorn", "plotly", "httpx") if find_spec(name) is None]


class Skipped(pytest.Module):
    """A file whose imports are not there."""

    def collect(self) -> Iterator[pytest.Item]:
        pytest.skip(f"the web extra is not installed: {', '.join(MISSING)}")


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Skip the files of this folder, with the reason, where the extra is not installed."""
    here = module_path.parent == Path(__file__).parent
    return Skipped.from_parent(parent, path=module_path) if here and MISSING else None


@pytest.fixture(scope="session")
def client() -> Iterator[TestClient]:
    """Requests to an application with small limits, and its workers."""
    from fastapi.testclient import TestClient

    from perfmodel.web.app import create_app
    from perfmodel.web.limits import Limits

    limits = Limits(
        workers=1, combinations=24, loads=64, candidates=8, simulated_requests=500_000, simulated_tokens=1_000_000_000,
        config_bytes=100_000, onnx_bytes=200_000, quick_seconds=30.0,
    )  # fmt: skip
    with TestClient(create_app(limits), base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client
