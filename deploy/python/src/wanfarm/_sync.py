"""Does what flows ask for, and waits for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx

from ._flow import Call, Close, Effect, Flow, Open, Read, Reply, Sleep, Stream, Work
from ._settings import CHUNK, Settings, broken

T = TypeVar("T")


class Driver:
    """Connections to one coordinator. Several threads may use it."""

    def __init__(self, settings: Settings) -> None:
        # A farm is reached directly, whatever proxy leads out of the building.
        self._client = httpx.Client(base_url=settings.url, headers=settings.headers, verify=settings.verify, trust_env=False)
        self._settings = settings

    def close(self) -> None:
        self._client.close()

    def run(self, flow: Flow[T]) -> T:
        """The result of a flow. What it has opened when it fails or is interrupted is closed."""
        opened: list[Stream] = []
        answer: Any = None
        error: Exception | None = None
        try:
            while True:
                try:
                    effect = flow.send(answer) if error is None else flow.throw(error)
                except StopIteration as end:
                    result: T = end.value
                    return result
                answer = error = None
                try:
                    answer = self._do(effect)
                    if isinstance(answer, Stream):
                        opened.append(answer)
                except httpx.TransportError as why:
                    error = broken(why)
                except Exception as why:
                    error = why
        except BaseException:
            for stream in opened:
                stream.handle.close()
            raise
        finally:
            flow.close()

    def close_stream(self, stream: Stream | None) -> None:
        if stream is not None:
            stream.handle.close()

    def _do(self, effect: Effect) -> Any:
        match effect:
            case Call(method, path, query, headers, content):
                body = _file(content) if isinstance(content, Path) else content
                answer = self._client.request(
                    method,
                    path,
                    params=dict(query),
                    headers=dict(headers),
                    content=body,
                    timeout=self._settings.timeout,
                )
                return Reply(answer.status_code, answer.headers, answer.content)
            case Open(path, query, headers, silence):
                timeout = httpx.Timeout(self._settings.timeout, read=silence)
                request = self._client.build_request("GET", path, params=dict(query), headers=dict(headers), timeout=timeout)
                answer = self._client.send(request, stream=True)
                stream = Stream(answer.status_code, answer.headers, b"", answer, None)
                if answer.status_code >= 400:
                    stream.body = answer.read()
                    answer.close()
                else:
                    stream.chunks = answer.iter_raw()
                return stream
            case Read(stream):
                return next(stream.chunks, None)
            case Close(stream):
                return stream.handle.close()
            case Sleep(seconds):
                return time.sleep(seconds)
            case Work(call):
                return call()


def _file(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
