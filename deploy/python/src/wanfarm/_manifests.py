"""Manifests, and the files that they name: a path, a text or a dict in; a job out."""

from __future__ import annotations

import glob
import json
import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import _blake3
from ._ask import ask, parsed
from ._flow import Flow, work
from ._settings import Settings
from .errors import ManifestFaults, NeedsBlake3, NotFound, NothingToRender, WanfarmError
from .models import Forecast, JobStatus, read

Source = str | os.PathLike[str] | Mapping[str, Any]

SYNTAXES = {".toml": "toml", ".yaml": "yaml", ".yml": "yaml", ".json": "json"}
#: How images and animations begin.
IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF", b"GIF8")
#: What pictures in a zip file are called.
PICTURES = (b".png", b".jpg", b".jpeg", b".webp")


@dataclass(frozen=True)
class Manifest:
    """A manifest that is not checked yet."""

    name: str
    text: str
    syntax: str
    #: Where the files lie that it names.
    folder: Path

    @staticmethod
    def of(source: Source, syntax: str | None, folder: str | os.PathLike[str] | None) -> Manifest:
        if isinstance(source, Mapping):
            return Manifest("manifest", json.dumps(source), "json", Path(folder or "."))
        if isinstance(source, str) and "\n" in source:
            return Manifest("manifest", source, syntax or guess(source), Path(folder or "."))
        path = Path(source)
        known = syntax or SYNTAXES.get(path.suffix.lower())
        if known is None:
            raise ValueError(f"{path} names no syntax: call it .toml, .yaml or .json, or give syntax=")
        text = path.read_text(encoding="utf-8-sig")
        return Manifest(str(path), text, known, Path(folder or path.parent))


def guess(text: str) -> str:
    """The syntax of a text without a name, as the command line guesses that of its standard input."""
    lines = (line.strip() for line in text.removeprefix("\ufeff").splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    if first.startswith("{"):
        return "json"
    is_toml = first.startswith("[") or ("=" in first and ":" not in first.split("=")[0])
    return "toml" if is_toml else "yaml"


def submit(settings: Settings, manifest: Manifest, key: str | None, taken: str, about: Mapping[str, Any]) -> Flow[JobStatus]:
    """Queues a job, once, however often it has to be asked for."""
    headers = {"idempotency-key": key or str(uuid.uuid4())}
    told = yield from post(settings, manifest, {"taken": taken}, headers)
    if told.get("job") is None:
        raise NothingToRender(f"{manifest.name}: every video stands there whole, {told.get('left_out')} are left out")
    if about:
        # Said by a request of its own; the same key again says it again.
        path = f"/api/v1/jobs/{told['job']}"
        content = json.dumps(about).encode()
        fields = {"content-type": "application/json"}
        what = f"job {told['job']} is queued, but that cannot be said of it"
        reply = yield from ask(settings, what, "PATCH", path, headers=fields, content=content)
        told = parsed(settings, reply)
    return read(JobStatus, told)


def forecast(settings: Settings, manifest: Manifest, taken: str) -> Flow[Forecast]:
    """What a manifest would take; nothing is queued."""
    told = yield from post(settings, manifest, {"taken": taken, "dry_run": "1"}, {})
    return read(Forecast, told)


def post(settings: Settings, manifest: Manifest, query: Mapping[str, str], headers: Mapping[str, str]) -> Flow[Any]:
    """Sends a manifest, with the files that the coordinator finds it to name. Which these are only the coordinator knows:
    texts may be templates, and paths patterns."""
    given: dict[str, str] = {}
    while True:
        content, kind = body(manifest, given)
        fields = {"content-type": kind, **headers}
        try:
            reply = yield from ask(
                settings, manifest.name, "POST", "/api/v1/jobs", query=query, headers=fields, content=content
            )
            return parsed(settings, reply)
        except ManifestFaults as faults:
            wanted = [name for name in faults.problem.files if name not in given]
            found = {name: path for want in wanted for name, path in looked_for(manifest, want) if name not in given}
            if not found:
                raise ManifestFaults(manifest.name, faults.problem, wanted) from None
        for name, path in found.items():
            given[name] = yield from put(settings, path)


def body(manifest: Manifest, given: Mapping[str, str]) -> tuple[bytes, str]:
    if not given:
        return manifest.text.encode(), f"application/{manifest.syntax}"
    whole = {"manifest": manifest.text, "syntax": manifest.syntax, "files": dict(given)}
    return json.dumps(whole).encode(), "application/vnd.wanfarm.submission+json"


def looked_for(manifest: Manifest, wanted: str) -> Iterable[tuple[str, Path]]:
    """The files here that a manifest names so, by the names that it would have for each."""
    exact = manifest.folder / wanted
    if exact.is_file():
        names = [wanted]
    elif any(letter in wanted for letter in "*?["):
        names = sorted(glob.glob(wanted, root_dir=manifest.folder, recursive=True))
    else:
        names = []
    for name in names:
        path = manifest.folder / name
        if path.is_file():
            yield name.replace(os.sep, "/"), checked(manifest, name, path)


def checked(manifest: Manifest, name: str, path: Path) -> Path:
    """A file that may be given: whoever asks gets no other kinds of files, and none that the manifest does not lead to."""
    leads_out = os.path.isabs(name) or ".." in Path(name).parts
    if leads_out and os.path.dirname(name) not in manifest.text:
        raise WanfarmError(f"{manifest.name} does not name the folder of {name}, which the coordinator asks for: not given")
    with path.open("rb") as file:
        head = file.read(300)
    if not may_be_given(head):
        what = "neither a picture (PNG, JPEG, WebP), a clip (mp4, GIF, a zip file of pictures) nor a safetensors file"
        raise WanfarmError(f"{path} is {what}: not given")
    return path


def may_be_given(head: bytes) -> bool:
    """How images, clips and LoRA files begin; nothing else is ever given to a coordinator that asks for it."""
    if head.startswith(b"PK\x03\x04"):
        name = head[30 : 30 + int.from_bytes(head[26:28], "little")].lower()
        # A folder comes before what is in it.
        return name.endswith((*PICTURES, b"/"))
    return head.startswith(IMAGES) or head[4:8] == b"ftyp" or head[8:9] == b"{"


def put(settings: Settings, path: Path) -> Flow[str]:
    """Gives the coordinator a file that it lacks; returns its digest."""
    if not _blake3.IS_HERE:
        raise NeedsBlake3(f"giving {path} to the coordinator")
    digest = yield from work(lambda: _blake3.digest(path))
    place, what = f"/api/v1/blobs/{digest}", f"{path} cannot be given to the coordinator"
    try:
        yield from ask(settings, what, "HEAD", place)
    except NotFound:
        fields = {"content-length": str(path.stat().st_size), "content-type": "application/octet-stream"}
        yield from ask(settings, what, "PUT", place, headers=fields, content=path)
    return digest


def video(prompt: str, model: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of one video."""
    of_job = {name: settings[name] for name in ("name", "priority", "output") if name in settings}
    of_video = {name: value for name, value in settings.items() if name not in of_job}
    escaped = prompt.replace("{", "{{").replace("}", "}}")
    return {"job": {"name": "video", "model": model} | of_job, "video": [{"prompt": escaped} | of_video]}
