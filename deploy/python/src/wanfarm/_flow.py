"""Flows: what is done, apart from who waits for it.

A flow is a generator. It yields what it needs of the world, gets that back, and returns its result; `_sync` and `_async` do
what is yielded. So everything that decides something is written once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass
class Call:
    """A request whose answer is read whole; gets a `Reply`. A path as content is sent as that file's bytes."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | Path | None = None


@dataclass
class Open:
    """A request whose answer is read as it comes; gets a `Stream`."""

    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Seconds without a byte after which the connection is given up.
    silence: float = 30.0


@dataclass
class Reply:
    """An answer. The names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass
class Stream(Reply):
    """An answer that comes. Of a refusal the body is there."""

    handle: Any = None
    chunks: Any = None


@dataclass
class Read:
    """The next bytes of a stream; gets None at its end."""

    stream: Stream


@dataclass
class Close:
    """No more of a stream."""

    stream: Stream


@dataclass
class Sleep:
    """Nothing for a while."""

    seconds: float


@dataclass
class Work:
    """A call that takes a while without waiting for the network; gets what it returns."""

    call: Callable[[], Any]


Effect = Call | Open | Read | Close | Sleep | Work
Flow = Generator[Effect, Any, T]


class Broken(Exception):
    """The connection broke. With `sent` the request may have arrived, with `cut` the other side has ended it."""

    def __init__(self, why: str, sent: bool, cut: bool = False) -> None:
        super().__init__(why)
        self.sent = sent
        self.cut = cut


def call(effect: Call) -> Flow[Reply]:
    reply: Reply = yield effect
    return reply


def open_stream(effect: Open) -> Flow[Stream]:
    stream: Stream = yield effect
    return stream


def read_stream(stream: Stream) -> Flow[bytes | None]:
    chunk: bytes | None = yield Read(stream)
    return chunk


def work(of: Callable[[], T]) -> Flow[T]:
    done: T = yield Work(of)
    return done
