"""BLAKE3, where its package is installed."""

from __future__ import annotations

from pathlib import Path

from ._settings import CHUNK

try:
    from blake3 import blake3 as _hasher
except ImportError:  # an extra
    _hasher = None  # type: ignore[assignment, misc]

IS_HERE = _hasher is not None


def digest(path: Path) -> str:
    """The digest of a file, as 64 hexadecimal digits."""
    assert _hasher is not None
    hashed = _hasher()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            hashed.update(chunk)
    return str(hashed.hexdigest())
