"""Where the coordinator is, and how patient its clients are."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from ._flow import Broken

#: Bytes that are read or sent at a time.
CHUNK = 256 << 10
PORT = 7700


@dataclass(frozen=True)
class Settings:
    """Of one client."""

    url: str
    headers: Mapping[str, str]
    #: By whom the coordinator's certificate has to be signed.
    verify: ssl.SSLContext | bool
    #: Seconds that a coordinator may take to answer a request, or to be silent within an answer.
    timeout: float
    #: Seconds that a coordinator which does not answer is waited for.
    patience: float
    #: Of streams of events: a living coordinator says something every 15 seconds.
    silence: float = field(default=40.0)

    @staticmethod
    def of(
        url: str | None, token: str | None, authority: str | os.PathLike[str] | None, timeout: float, patience: float
    ) -> Settings:
        url = address(url or os.environ.get("WANFARM_COORDINATOR") or "127.0.0.1")
        token = token or os.environ.get("WANFARM_TOKEN")
        authority = authority or os.environ.get("WANFARM_AUTHORITY")
        # Only those that the farm's own authority vouches for; without it, those of the system's.
        verify = ssl.create_default_context(cafile=os.fspath(authority)) if authority else True
        # What is compressed on the way could not be gone on with in the middle.
        headers = {"accept-encoding": "identity", "user-agent": "wanfarm-python"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        return Settings(url, headers, verify, timeout, patience)


def address(url: str) -> str:
    """HOST, HOST:PORT or a URL, as the command line takes them."""
    has_scheme = "://" in url
    try:
        parsed = httpx.URL(url if has_scheme else f"http://{url}")
        wrong = not parsed.host or parsed.scheme not in ("http", "https")
    except httpx.InvalidURL:
        wrong = True
    if wrong:
        raise ValueError(f"{url!r} is no coordinator's address: write HOST, HOST:PORT or https://HOST:PORT")
    if parsed.port is None and not has_scheme:
        parsed = parsed.copy_with(port=PORT)
    return str(parsed).rstrip("/")


def broken(why: httpx.TransportError) -> Broken:
    """A fault of the connection. Where there was none, nothing has been sent."""
    unsent = isinstance(why, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    cut = isinstance(why, httpx.RemoteProtocolError | httpx.ReadError)
    return Broken(str(why) or type(why).__name__, not unsent, cut)
