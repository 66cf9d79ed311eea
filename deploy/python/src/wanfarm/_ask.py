"""One request: asked again while the coordinator is away, as far as that does no harm; what is refused is an error."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ._flow import Broken, Call, Flow, Reply, Sleep, call
from ._settings import Settings
from .errors import Conflict, ManifestFaults, NoConnection, NotACoordinator, NotFound, Refused
from .models import Problem, read

#: Seconds before the first repetition; each wait is twice as long as the one before.
FIRST_WAIT = 0.2
LONGEST_WAIT = 5.0
#: Answers that another try may better.
PASSING = frozenset({502, 503, 504})


class Patience:
    """How long something that fails is tried again, and when."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._since: float | None = None
        self._tries = 0

    def renew(self) -> None:
        """It works."""
        self._since, self._tries = None, 0

    def is_over(self) -> bool:
        """Whether it has failed for long enough; asked after each failure."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        return now - self._since >= self._settings.patience

    def wait(self, why: str, unsure: str = "") -> Flow[None]:
        """Waits a while, unless that was done for long enough."""
        if self.is_over():
            raise NoConnection(self._settings.url, why, unsure)
        pause = min(FIRST_WAIT * 2**self._tries, LONGEST_WAIT)
        self._tries = min(self._tries + 1, 10)
        # Not all clients at the same moment.
        yield Sleep(pause * random.uniform(0.5, 1.0))


def ask(
    settings: Settings,
    what: str,
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    content: bytes | Path | None = None,
    repeatable: bool = True,
) -> Flow[Reply]:
    """The answer to a request. One that is not `repeatable` is sent once, as far as can be known."""
    patience = Patience(settings)
    asked = Call(method, path, query or {}, headers or {}, content)
    while True:
        try:
            reply = yield from call(asked)
        except Broken as why:
            if why.sent and not repeatable:
                raise NoConnection(settings.url, str(why), "; it may have been done or not") from why
            yield from patience.wait(str(why))
            continue
        if reply.status in PASSING and repeatable and not patience.is_over():
            yield from patience.wait(f"it answers {reply.status}")
            continue
        if reply.status >= 400:
            raise refusal(what, reply)
        return reply


def get(settings: Settings, what: str, path: str, query: Mapping[str, str] | None = None) -> Flow[Any]:
    """What a path holds, as JSON."""
    reply = yield from ask(settings, what, "GET", path, query=query)
    return parsed(settings, reply)


def send(settings: Settings, what: str, method: str, path: str, body: Any, repeatable: bool = True) -> Flow[Any]:
    """What a change of a path answers, as JSON; None where it answers nothing."""
    headers = {} if body is None else {"content-type": "application/json"}
    content = None if body is None else json.dumps(body).encode()
    reply = yield from ask(settings, what, method, path, headers=headers, content=content, repeatable=repeatable)
    return parsed(settings, reply) if reply.body else None


def parsed(settings: Settings, reply: Reply) -> Any:
    try:
        return json.loads(reply.body)
    except ValueError as why:
        raise NotACoordinator(f"{settings.url} answers something that is no JSON: is it a coordinator?") from why


def refusal(what: str, reply: Reply) -> Refused:
    """The error that a refusal is."""
    try:
        told = json.loads(reply.body)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        told = {"detail": reply.body[:500].decode(errors="replace").strip()}
    problem = read(Problem, {"status": reply.status, **told})
    if problem.faults:
        return ManifestFaults(what, problem)
    kinds: dict[int, type[Refused]] = {404: NotFound, 409: Conflict}
    return kinds.get(reply.status, Refused)(what, problem)
