"""Files of finished videos: fetched whole or not at all, gone on with where a connection broke, checked by their digests."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from . import _blake3
from ._ask import Patience, get, refusal
from ._flow import Broken, Close, Flow, Open, open_stream, read_stream, work
from ._jobs import videos
from ._settings import Settings
from .errors import Damaged, FilesLost, NotACoordinator, WanfarmError
from .models import OutputFile, read

#: How often other bytes than those that were written are fetched once more.
TRIES = 3
#: How often a connection may be cut at one place of a file; one that is silent, or is not there, is another thing.
CUTS = 4


def listed(settings: Settings, job: int, index: int) -> Flow[list[OutputFile]]:
    """The files of a video."""
    path = f"/api/v1/jobs/{job}/videos/{index}/files"
    query: dict[str, str] = {}
    files: list[OutputFile] = []
    while True:
        page = yield from get(settings, f"cannot list the files of video {index} of job {job}", path, query)
        files += [read(OutputFile, line) for line in page.get("files", [])]
        if not page.get("next_cursor"):
            return files
        query = {"cursor": page["next_cursor"]}


def download(settings: Settings, job: int, folder: Path, only: Iterable[int] | None) -> Flow[list[Path]]:
    """Fetches the files of a job's finished videos; those that are there already stay. Returns all paths."""
    wanted = None if only is None else set(only)
    finished = yield from videos(settings, job, {"state": "done"})
    there: list[Path] = []
    lost: list[str] = []
    for video in finished:
        if wanted is not None and video.index not in wanted:
            continue
        for file in (yield from listed(settings, job, video.index)):
            target = folder.joinpath(*parts(file.path))
            if file.state not in ("whole", "unknown"):
                lost.append(file.path)
                continue
            try:
                yield from fetch(settings, job, video.index, file, target)
                there.append(target)
            except Damaged:
                lost.append(file.path)
    if lost:
        raise FilesLost(lost, there)
    return there


def save(settings: Settings, job: int, index: int, target: Path) -> Flow[Path]:
    """Fetches the one file of a video that has the ending of the path."""
    files = yield from listed(settings, job, index)
    suffix = target.suffix.lower()
    alike = [file for file in files if file.path.lower().endswith(suffix)]
    # A sheet of frames before single frames; and the video's own film is its only one.
    alike.sort(key=lambda file: not file.path.endswith(".contact.png"))
    if not suffix or not alike:
        have = ", ".join(sorted({Path(file.path).suffix for file in files})) or "nothing"
        raise WanfarmError(f"video {index} of job {job} has no {suffix or 'file without an ending'}: it has {have}")
    yield from fetch(settings, job, index, alike[0], target)
    return target


def parts(path: str) -> list[str]:
    """The parts of a path that stays below the folder it is joined to: the sender is not trusted."""
    names = path.split("/")
    for name in names:
        special = name in ("", ".", "..") or len(name.encode()) > 255
        if special or any(letter in '\\:"' or not letter.isprintable() for letter in name):
            raise NotACoordinator(f"the coordinator names a file {path!r}, which could lead out of the folder")
    return names


def fetch(settings: Settings, job: int, index: int, file: OutputFile, target: Path) -> Flow[None]:
    """Fetches one file into its place, unless it is there."""
    if (yield from work(lambda: is_there(target, file))):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # Of these bytes and no others, so that another attempt can go on with it.
    half = target.with_name(f".{target.name[:100]}.{file.blake3[:16] or os.getpid()}.part")
    path = f"/api/v1/jobs/{job}/videos/{index}/files/{quote(file.path)}"
    for _ in range(TRIES):
        yield from receive(settings, path, file, half)
        if (yield from work(lambda: is_right(half, file))):
            yield from work(lambda: put_in_place(half, target))
            return
        half.unlink()
    raise Damaged(f"{path} holds other bytes than the coordinator wrote: {file.bytes} bytes, BLAKE3 {file.blake3}")


def receive(settings: Settings, path: str, file: OutputFile, half: Path) -> Flow[None]:
    """Receives the bytes of a file that are not there yet. A connection that breaks is made again."""
    patience, most, stuck = Patience(settings), 0, 0
    while True:
        # Without its digest nobody could tell whether two parts belong together; the coordinator checks whole files.
        have = half.stat().st_size if _blake3.IS_HERE and half.exists() else 0
        if 0 < have == file.bytes:
            return
        fields = {"range": f"bytes={have}-", "if-range": f'"{file.blake3}"'} if 0 < have < file.bytes else {}
        try:
            stream = yield from open_stream(Open(path, {}, fields, settings.timeout))
            if stream.status >= 400 and stream.status not in (416, 502, 503, 504):
                raise refusal(f"{path} cannot be fetched", stream)
            if stream.status >= 400:
                half.unlink(missing_ok=True)
                raise Broken(f"it answers {stream.status}", True)
            is_more = stream.status == 206
            with half.open("ab" if is_more else "wb") as out:
                while (chunk := (yield from read_stream(stream))) is not None:
                    out.write(chunk)
                    patience.renew()
                    if out.tell() > file.bytes:
                        break
                out.flush()
                os.fsync(out.fileno())
            yield Close(stream)
            return
        except Broken as why:
            # A coordinator breaks off before the end of a file that holds other bytes than it wrote.
            got = half.stat().st_size if half.exists() else 0
            stuck = 0 if got > most else stuck + why.cut
            most = max(most, got)
            if stuck >= CUTS:
                half.unlink(missing_ok=True)
                raise Damaged(f"{path} breaks off at the same place again and again: {why}") from why
            yield from patience.wait(str(why))


def is_there(target: Path, file: OutputFile) -> bool:
    """Whether the file is there with these bytes, as far as that can be told."""
    if not _blake3.IS_HERE or not target.is_file() or target.stat().st_size != file.bytes:
        return False
    return _blake3.digest(target) == file.blake3


def is_right(half: Path, file: OutputFile) -> bool:
    if half.stat().st_size != file.bytes:
        return False
    return not _blake3.IS_HERE or _blake3.digest(half) == file.blake3


def put_in_place(half: Path, target: Path) -> None:
    half.replace(target)
    folder: Any = None
    try:
        folder = os.open(target.parent, os.O_RDONLY)
        os.fsync(folder)
    except OSError:
        # Windows opens no folders.
        pass
    finally:
        if folder is not None:
            os.close(folder)
