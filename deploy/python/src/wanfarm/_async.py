"""Does what flows ask for, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

import httpx

from ._flow import Call, Close, Effect, Flow, Open, Read, Reply, Sleep, Stream, Work
from ._settings import CHUNK, Settings, broken

T = TypeVar("T")


class AsyncDriver:
    """Connections to one coordinator, of one event loop."""

    def __init__(self, settings: Settings) -> None:
        # A farm is reached directly, whatever proxy leads out of the building.
        self._client = httpx.AsyncClient(
            base_url=settings.url, headers=settings.headers, verify=settings.verify, trust_env=False
        )
        self._settings = settings

    async def close(self) -> None:
        await self._client.aclose()

    async def run(self, flow: Flow[T]) -> T:
        """The result of a flow. What it has opened when it fails or is cancelled is closed."""
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
                    answer = await self._do(effect)
                    if isinstance(answer, Stream):
                        opened.append(answer)
                except httpx.TransportError as why:
                    error = broken(why)
                except Exception as why:
                    error = why
        except BaseException:
            for stream in opened:
                await stream.handle.aclose()
            raise
        finally:
            flow.close()

    async def close_stream(self, stream: Stream | None) -> None:
        if stream is not None:
            await stream.handle.aclose()

    async def _do(self, effect: Effect) -> Any:
        match effect:
            case Call(method, path, query, headers, content):
                body = _file(content) if isinstance(content, Path) else content
                answer = await self._client.request(
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
                answer = await self._client.send(request, stream=True)
                stream = Stream(answer.status_code, answer.headers, b"", answer, None)
                if answer.status_code >= 400:
                    stream.body = await answer.aread()
                    await answer.aclose()
                else:
                    stream.chunks = answer.aiter_raw()
                return stream
            case Read(stream):
                return await anext(stream.chunks, None)
            case Close(stream):
                return await stream.handle.aclose()
            case Sleep(seconds):
                return await asyncio.sleep(seconds)
            case Work(call):
                return await asyncio.to_thread(call)


async def _file(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield chunk
