"""Server-sent events, as the HTML standard has them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Message:
    """One event of a stream."""

    type: str
    data: str


class Parser:
    """Makes messages of bytes, however these are divided."""

    def __init__(self) -> None:
        self._rest = b""
        self._type = ""
        self._data: list[str] = []
        #: The last id that was heard.
        self.last_id: str | None = None

    def feed(self, chunk: bytes) -> list[Message]:
        """The messages that end in a chunk."""
        lines = (self._rest + chunk).replace(b"\r\n", b"\n").split(b"\n")
        self._rest = lines.pop()
        messages = (self._line(line.rstrip(b"\r").decode(errors="replace")) for line in lines)
        return [message for message in messages if message is not None]

    def _line(self, line: str) -> Message | None:
        if not line:
            message = Message(self._type or "message", "\n".join(self._data)) if self._data else None
            self._type, self._data = "", []
            return message
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._type = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self.last_id = value
        return None
