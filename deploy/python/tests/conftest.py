from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from farms import Night, until


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """A farm with one worker, for all tests that leave it as it is."""
    night = Night(tmp_path_factory.mktemp("night"))
    try:
        night.serve()
        night.work()
        until("the worker is there", lambda: [line.state for line in night.farm.workers()] == ["idle"])
        yield night
    finally:
        night.stop()


@pytest.fixture
def own_night(tmp_path: Path) -> Iterator[Night]:
    """A farm of a test's own, not started."""
    night = Night(tmp_path)
    try:
        yield night
    finally:
        night.stop()
