"""What a coordinator tells, as dataclasses.

Fields have the names that its JSON has. What a later coordinator tells more is kept in `more`, what an earlier one does not
tell is the default: neither is an error.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

#: The states that a job or a video does not leave by itself.
ENDED = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True, kw_only=True)
class Model:
    """Something that is told."""

    #: Fields that this version does not know.
    more: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class JobStatus(Model):
    """A job's line."""

    job: int = 0
    name: str = ""
    model: str = ""
    priority: int = 0
    #: active, paused, done, failed or cancelled.
    state: str = "unknown"
    videos: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    running: int = 0
    waiting_for: str | None = None
    unreported: str | None = None
    submitted: datetime | None = None
    ended: datetime | None = None
    report: str | None = None
    owner: str | None = None
    note: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_ended(self) -> bool:
        """Nothing more happens to it by itself."""
        return self.state in ENDED


@dataclass(frozen=True, kw_only=True)
class Loading(Model):
    """Weights on their way into memory."""

    model: str | None = None
    role: str | None = None
    read_bytes: int = 0
    of_bytes: int = 0
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class VideoStatus(Model):
    """A video's line."""

    index: int = 0
    #: waiting, running, writing, done, failed or cancelled.
    state: str = "unknown"
    stage: str | None = None
    steps_done: int = 0
    steps: int = 0
    loading: Loading | None = None
    seconds_per_step: float | None = None
    worker: str | None = None
    output: str = ""
    error: str | None = None
    files: tuple[str, ...] = ()
    verdict: str | None = None
    prompt: str = ""
    seconds: float | None = None
    cache: Mapping[str, Any] | None = None
    nag: Mapping[str, Any] | None = None
    decode: str = "full"
    loras: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    started: datetime | None = None
    ended: datetime | None = None
    eta: datetime | None = None
    #: What `sweep` and `zip` of the manifest say for it, by name.
    swept: Mapping[str, str] = field(default_factory=dict)
    #: What the manifest calls it.
    name: str | None = None
    #: The video that it starts from a frame of, while that is not done.
    waiting_for: str | None = None

    @property
    def has_ended(self) -> bool:
        """Nothing more happens to it by itself."""
        return self.state in ENDED


@dataclass(frozen=True, kw_only=True)
class Running(Model):
    """What a worker computes; `video` is JOB/INDEX."""

    video: str = ""
    stage: str | None = None
    steps_done: int = 0
    steps: int = 0


@dataclass(frozen=True, kw_only=True)
class Memory(Model):
    """The memory of a worker that holds what it is told to."""

    budget_bytes: int = 0
    weights_bytes: int = 0
    loaded: tuple[Mapping[str, Any], ...] = ()
    loading: Loading | None = None


@dataclass(frozen=True, kw_only=True)
class WorkerStatus(Model):
    """A worker's line."""

    id: str = ""
    name: str = ""
    #: idle, busy, draining, drained, set aside, refused, lost, gone or left (drained).
    state: str = "unknown"
    detail: str | None = None
    roles: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    device: str = ""
    memory_bytes: int | None = None
    running: Running | None = None
    paces: tuple[Mapping[str, Any], ...] = ()
    weights: tuple[Mapping[str, Any], ...] = ()
    address: str | None = None
    reachable: bool | None = None
    memory: Memory | None = None
    assigned: tuple[str, ...] | None = None
    version: str | None = None
    host: str | None = None
    #: Since when the coordinator knows this process of it.
    since: datetime | None = None
    last_seen: datetime | None = None
    #: How much of the time between these two it computed, from 0 to 1.
    busy: float | None = None
    #: What people say of it.
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class FarmStatus(Model):
    """The farm as a whole: how many jobs, videos and workers are in which state."""

    version: str = ""
    jobs: Mapping[str, int] = field(default_factory=dict)
    videos: Mapping[str, int] = field(default_factory=dict)
    workers: Mapping[str, int] = field(default_factory=dict)
    waiting_for: tuple[Any, ...] = ()
    seconds_left: float | None = None
    eta: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Event(Model):
    """Something that happened, as `job.ended` or `video.failed`; `resync`: more happened than is told."""

    id: int = 0
    at: datetime | None = None
    type: str = ""
    job: int | None = None
    video: int | None = None
    worker: str | None = None
    name: str | None = None
    by: str | None = None
    before: str | None = None
    after: str | None = None
    detail: str | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """News of a job: of a video by its place in the manifest, or of the job itself where `video` is None."""

    job: int
    video: int | None
    state: str
    stage: str | None = None
    steps_done: int = 0
    steps: int = 0
    worker: str | None = None
    error: str | None = None
    #: The whole line.
    status: JobStatus | VideoStatus = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Forecast(Model):
    """What a manifest would take here and now."""

    name: str = ""
    model: str = ""
    notes: tuple[str, ...] = ()
    videos: int = 0
    model_known: bool = False
    roles: tuple[Mapping[str, Any], ...] = ()
    stages: tuple[Mapping[str, Any], ...] = ()
    seconds: float | None = None
    bottleneck: str | None = None
    balance: Mapping[str, Any] | None = None
    #: Videos that the model cannot render.
    faults: tuple[Mapping[str, Any], ...] = ()
    waiting_for: str | None = None
    speedups: tuple[str, ...] = ()
    taken: str | None = None
    renamed: int = 0
    left_out: int = 0
    shortages: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Effort(Model):
    """What was done in a stage, by the workers of a role, or by a worker."""

    name: str = ""
    workers: int = 0
    busy: float | None = None
    attempts: int = 0
    failed: int = 0
    steps: int = 0
    seconds: float = 0.0
    queue_seconds: float = 0.0
    input_wait_seconds: float = 0.0
    loads: int = 0
    load_seconds: float = 0.0
    forward_passes: int = 0
    skipped: int = 0


@dataclass(frozen=True, kw_only=True)
class Report(Model):
    """What came of a job, and where the time went."""

    job: JobStatus = field(default_factory=JobStatus)
    output_dir: str = ""
    wall_seconds: float = 0.0
    render_seconds: float | None = None
    bottleneck: str | None = None
    stages: tuple[Effort, ...] = ()
    roles: tuple[Effort, ...] = ()
    workers: tuple[Effort, ...] = ()
    videos: tuple[VideoStatus, ...] = ()
    machines: tuple[Mapping[str, Any], ...] = ()
    lost: tuple[Mapping[str, Any], ...] = ()
    #: What was forecast when that could first be told: `at`, `seconds`.
    forecast: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class OutputFile(Model):
    """A file of a finished video."""

    #: Below the job's output directory.
    path: str = ""
    bytes: int = 0
    blake3: str = ""
    #: whole, missing, damaged, unreadable or replaced.
    state: str = "whole"


@dataclass(frozen=True, kw_only=True)
class Related(Model):
    """Another place that belongs to a fault."""

    line: int | None = None
    column: int | None = None
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Fault(Model):
    """One fault of a manifest."""

    line: int | None = None
    column: int | None = None
    key: str = ""
    message: str = ""
    why: str = ""
    help: str = ""
    related: Related | None = None

    def words(self, name: str) -> str:
        """For people: place, fault, reason, remedy."""
        place = ":".join(str(part) for part in (name, self.line, self.column) if part is not None)
        why = f" ({self.why})" if self.why else ""
        return f"{place}: {self.message}{why}" + (f"; {self.help}" if self.help else "")


@dataclass(frozen=True, kw_only=True)
class Problem(Model):
    """Why a request came to nothing, as RFC 9457 has it."""

    type: str = "about:blank"
    title: str = ""
    status: int = 0
    detail: str = ""
    faults: tuple[Fault, ...] = ()
    #: Files that the manifest names and that did not come with it.
    files: tuple[str, ...] = ()


M = TypeVar("M", bound=Model)


def read(cls: type[M], data: Any) -> M:
    """Makes a model of JSON. What is of another type than it should be is left out, as if it had not been told."""
    given = data if isinstance(data, Mapping) else {}
    hints = _hints(cls)  # type: ignore[arg-type]
    known: dict[str, Any] = {}
    more: dict[str, Any] = {}
    for name, value in given.items():
        if name not in hints or name == "more":
            more[name] = value
            continue
        made = _value(hints[name], value)
        if made is not _UNFIT:
            known[name] = made
    return cls(**known, more=more)


_UNFIT = object()


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _value(hint: Any, value: Any) -> Any:
    """A value of the type that a field has, or _UNFIT."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        made = [_value(one, value) for one in arguments if one is not type(None)]
        return next((one for one in made if one is not _UNFIT), _UNFIT)
    if origin is tuple:
        if not isinstance(value, list):
            return _UNFIT
        return tuple(one for one in (_value(arguments[0], item) for item in value) if one is not _UNFIT)
    if origin is not None and issubclass(origin, Mapping):
        return value if isinstance(value, dict) else _UNFIT
    if isinstance(hint, type) and issubclass(hint, Model):
        return read(hint, value) if isinstance(value, dict) else _UNFIT
    if hint is datetime:
        try:
            return datetime.fromisoformat(value.replace("Z", "+00:00"))
        except (AttributeError, ValueError):
            return _UNFIT
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    fits = isinstance(value, hint) and not (hint is int and isinstance(value, bool))
    return value if fits else _UNFIT
