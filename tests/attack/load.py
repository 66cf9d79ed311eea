#!/usr/bin/env python3
"""Hostile connections against a farm of real processes, and what honest people notice of them.

    tests/attack/load.py target/release/coordinator [--connections N] [--kinds a,b] [--seconds S]

For each kind a farm starts on loopback addresses, once encrypted and once with `--insecure`. A thousand connections of
that kind come from eight addresses and stay. Meanwhile `status`, `submit` and a request by HTTP are measured, and a job
renders. The table that is printed begins with a farm that is left alone: what a verb takes there is mostly the start of
its process. The exit code is 1 when the 99th percentile of a verb is above a second, when a verb fails, when the job
does not end or has other bytes than one that was left alone, or when the coordinator takes 300 MiB more than without.
Needs Linux, and Python's standard library alone.

A kind that needs a right shows a viewer's token to the encrypted farm. Those whom nobody has invited do without.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import functools
import hashlib
import http.client
import json
import logging
import multiprocessing
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "deploy" / "demo"
LIMIT_SECONDS = 1.0
# More than undisturbed: what a thousand connections and their buffers may cost.
LIMIT_MEMORY = 300 << 20
# How long the job may take beside what it is attacked for.
JOB_SECONDS = 90
ADDRESSES = 8
# Not in Python's module: the port is chosen as the connection is made, so that few addresses make many connections.
IP_BIND_ADDRESS_NO_PORT = 24


# --- What is hostile: HTTP/2 by hand (RFC 9113), and as little of it as each kind needs.

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING = 0, 1, 3, 4, 6
END_STREAM, ACK, END_HEADERS = 1, 1, 4
ENROL = "/render.v1.Access/Enrol"
HEALTH = "/grpc.health.v1.Health/Watch"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def window(size):
    """Settings that let the other side send so many bytes on a stream."""
    return frame(SETTINGS, 0, 0, struct.pack(">HI", 4, size))


def field(name, value):
    """A header as RFC 7541 writes one that no table has."""
    name, value = name.encode(), value.encode()
    assert len(name) < 127 and len(value) < 127
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def message(body):
    """As gRPC frames one."""
    return b"\0" + struct.pack(">I", len(body)) + body


def proto(*fields):
    """A message of protobuf, whose fields are numbers, texts or bytes in order; None is left out."""
    out = b""
    for number, value in enumerate(fields, 1):
        if isinstance(value, int):
            out += bytes([number << 3]) + varint(value)
        elif value is not None:
            value = value.encode() if isinstance(value, str) else value
            out += bytes([number << 3 | 2]) + varint(len(value)) + value
    return out


def varint(value):
    out = b""
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


@dataclasses.dataclass
class Target:
    """What is attacked, and with what right."""

    port: int
    encrypted: bool
    token: str | None
    connections: int
    addresses: int
    # Of connections: open now, and begun in all. Shared with the process that measures.
    counts: object


class Hostile:
    """One hostile connection at a time."""

    def __init__(self, target, number):
        self.target, self.number, self.is_open = target, number, False
        # 127.0.0.1 is where the honest come from.
        self.source = f"127.0.0.{2 + number % target.addresses}" if target.addresses else "127.0.0.1"

    async def dial(self, protocol="h2", tls=True):
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        # What is not read waits in the coordinator, not here.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # Closing leaves no port behind that waits for a minute.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.bind((self.source, 0))
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.target.port))
        context = trusting(protocol) if tls and self.target.encrypted else None
        name = {"server_hostname": "127.0.0.1"} if context else {}
        self.reader, self.writer = await asyncio.open_connection(sock=sock, ssl=context, limit=1 << 16, **name)
        self.is_open = True
        self.target.counts[0] += 1

    def close(self):
        if writer := getattr(self, "writer", None):
            writer.transport.abort()
        if self.is_open:
            self.target.counts[0] -= 1

    def say(self, *parts):
        self.writer.write(b"".join(parts))

    async def begin(self, size=65535):
        """As an HTTP/2 client begins."""
        await self.dial()
        self.say(PREFACE, window(size))

    def request(self, stream, path, body=None, flags=END_HEADERS):
        """A call by gRPC; a path that is none of its is read as by HTTP."""
        method = "POST" if path.count(".") > 1 else "GET"
        fields = [(":method", method), (":scheme", "https"), (":path", path), (":authority", "127.0.0.1")]
        if method == "POST":
            fields += [("te", "trailers"), ("content-type", "application/grpc")]
        if self.target.token:
            fields.append(("authorization", f"Bearer {self.target.token}"))
        self.say(frame(HEADERS, flags, stream, b"".join(field(*pair) for pair in fields)))
        if body is not None:
            self.say(frame(DATA, END_STREAM, stream, message(body)))

    async def live(self, every=None, word=None):
        """Answers what keeps a connection open, until the other side ends it; says `word` from time to time."""
        dripping = asyncio.ensure_future(self.drip(every, word)) if every else None
        try:
            while True:
                head = await self.reader.readexactly(9)
                payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
                kind, flags = head[3], head[4]
                if kind in (SETTINGS, PING) and not flags & ACK:
                    self.say(frame(kind, ACK, 0, payload if kind == PING else b""))
        finally:
            if dripping:
                dripping.cancel()

    async def drip(self, every, word):
        while True:
            await asyncio.sleep(every)
            self.say(word)

    async def wait(self):
        """Reads until the other side hangs up."""
        while await self.reader.read(1 << 16):
            pass

    async def never_read(self):
        self.writer.transport.pause_reading()
        while not self.writer.transport.is_closing():
            await asyncio.sleep(1)


@functools.cache
def trusting(protocol):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context


def client_hello():
    """The first words of a TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting("h2").wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


KINDS = {}


def kind(what, farms=("encrypted", "insecure"), rights=False):
    """Names what the function below does with a connection, to which farms, and whether it needs a right there."""

    def keep(function):
        KINDS[function.__name__.replace("_", "-")] = (function, what, farms, rights)
        return function

    return keep


@kind("connects, and never sends a byte")
async def silent(peer):
    await peer.dial(tls=False)
    await peer.wait()


@kind("sends half a TLS hello", farms=("encrypted",))
async def half_hello(peer):
    await peer.dial(tls=False)
    hello = client_hello()
    peer.say(hello[: len(hello) // 2])
    await peer.wait()


@kind("finishes TLS, and says nothing", farms=("encrypted",))
async def tls_silent(peer):
    await peer.dial()
    await peer.wait()


@kind("sends half the preface of HTTP/2")
async def half_preface(peer):
    await peer.dial()
    peer.say(PREFACE[:12])
    await peer.wait()


@kind("sends the preface of HTTP/2 without settings, and answers nothing")
async def no_settings(peer):
    await peer.dial()
    peer.say(PREFACE)
    await peer.wait()


@kind("sends half of its settings, and answers nothing")
async def half_settings(peer):
    await peer.dial()
    peer.say(PREFACE, window(0)[:12])
    await peer.wait()


@kind("begins HTTP/2, asks nothing, answers pings")
async def idle(peer):
    await peer.begin()
    await peer.live()


@kind("sends half a head of HTTP/2, whose end never comes")
async def half_head(peer):
    await peer.begin()
    peer.request(1, ENROL, flags=0)
    # An answer to a ping between the halves would be an error of the protocol.
    await peer.wait()


@kind("sends a head of HTTP/2, and a byte of its body every 3 s")
async def half_request(peer):
    await peer.begin()
    peer.request(1, ENROL)
    peer.say(frame(DATA, 0, 1, b"\0\0\0\x03\xe8"))
    await peer.live(3, frame(DATA, 0, 1, b"\x0a"))


@kind("sends a file that never ends, a byte every 3 s", farms=("insecure",))
async def half_file(peer):
    await peer.begin()
    peer.request(1, "/render.v1.Farm/PutFile")
    start = proto(os.urandom(32), 1 << 20, b"x" * 1024)
    peer.say(frame(DATA, 0, 1, message(start) + b"\0\0\x01\0\0"))
    await peer.live(3, frame(DATA, 0, 1, b"\x1a"))


@kind("sends a message of 1 MiB to all but its last byte")
async def hoard(peer):
    await peer.begin()
    reading = asyncio.ensure_future(peer.live())
    # So much may be sent once what the other side allows is acknowledged.
    await asyncio.sleep(2)
    peer.request(1, ENROL)
    left = struct.pack(">BI", 0, 1 << 20) + b"\x0a" * ((1 << 20) - 1)
    for place in range(0, len(left), 16384):
        peer.say(frame(DATA, 0, 1, left[place : place + 16384]))
        await peer.writer.drain()
    await reading


@kind("has 100 streams of the health service, and reads none")
async def unread_health(peer):
    await peer.begin(0)
    for stream in range(1, 200, 2):
        peer.request(stream, HEALTH, b"")
    await peer.live()


@kind("has 1,000 questions that never end")
async def many_streams(peer):
    await peer.begin()
    for stream in range(1, 2000, 2):
        peer.request(stream, ENROL)
        if stream % 100 == 1:
            await peer.writer.drain()
            await asyncio.sleep(0)
    await peer.live()


@kind("asks 200 times by HTTP/2 for the list of jobs, or is refused it, and reads no answer")
async def unread_answers(peer):
    await peer.begin(0)
    for stream in range(1, 400, 2):
        peer.request(stream, "/api/v1/jobs", flags=END_HEADERS | END_STREAM)
    await peer.live()


@kind("has 50 streams of lists, files, jobs and the farm, and reads none", rights=True)
async def unread_streams(peer):
    await peer.begin(0)
    asked = [
        ("/render.v1.Farm/ListFiles", proto(1)),
        ("/render.v1.Farm/ReadFile", proto(1, 0, "warm.mp4")),
        ("/render.v1.Farm/Watch", proto(1)),
        ("/render.v1.Farm/WatchFarm", b""),
        ("/render.v1.Farm/GetReport", proto(1)),
    ]
    for number in range(50):
        peer.request(2 * number + 1, *asked[number % len(asked)])
    await peer.live()


@kind("sends a head of HTTP/1.1, a line every 3 s")
async def loris(peer):
    await peer.dial("http/1.1")
    peer.say(b"GET /enter HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    dripping = asyncio.ensure_future(peer.drip(3, b"X: y\r\n"))
    try:
        await peer.wait()
    finally:
        dripping.cancel()


@kind("sends a body by HTTP/1.1, a byte every 3 s")
async def slow_body(peer):
    await peer.dial("http/1.1")
    form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000"
    peer.say(f"POST /enter HTTP/1.1\r\nHost: 127.0.0.1\r\n{form}\r\n\r\n".encode())
    dripping = asyncio.ensure_future(peer.drip(3, b"x"))
    try:
        await peer.wait()
    finally:
        dripping.cancel()


@kind("asks for a page 200 times by HTTP/1.1, and reads nothing")
async def unread_pages(peer):
    await peer.dial("http/1.1")
    peer.say(b"GET /enter HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 200)
    await peer.never_read()


@kind("asks for the stream of events by HTTP/1.1, and reads nothing", rights=True)
async def unread_events(peer):
    await peer.dial("http/1.1")
    token = f"Authorization: Bearer {peer.target.token}\r\n" if peer.target.token else ""
    peer.say(f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n{token}\r\n".encode())
    await peer.never_read()


@kind("connects, encrypts and hangs up, as fast as it can")
async def churn(peer):
    await peer.dial()


@kind("opens streams of HTTP/2 and resets them at once, as fast as it can")
async def rapid_reset(peer):
    await peer.begin()
    stream = 1
    reading = asyncio.ensure_future(peer.live())
    try:
        while not reading.done():
            for _ in range(50):
                peer.request(stream, HEALTH, flags=END_HEADERS)
                peer.say(frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))
                stream += 2
            await peer.writer.drain()
            await asyncio.sleep(0)
    finally:
        reading.cancel()


async def flood(peer, words):
    await peer.begin()
    reading = asyncio.ensure_future(peer.wait())
    try:
        while not reading.done():
            peer.say(words)
            await peer.writer.drain()
            await asyncio.sleep(0)
    finally:
        reading.cancel()


@kind("sends pings without end")
async def pings(peer):
    await flood(peer, frame(PING, 0, 0, b"12345678") * 100)


@kind("sends settings without end")
async def settings(peer):
    await flood(peer, window(65535) * 100)


@kind("asks to be a worker, and never says hello", farms=("insecure",))
async def no_hello(peer):
    await peer.begin()
    peer.request(1, "/render.v1.Dispatch/Attach")
    await peer.live()


@kind("says hello as a worker of no model, and then nothing", farms=("insecure",))
async def hellos(peer):
    await peer.begin()
    peer.request(1, "/render.v1.Dispatch/Attach")
    hello = dict(worker=str(uuid.uuid4()), incarnation=str(uuid.uuid4()), name=f"fake-{peer.number}", device="cpu")
    hello |= dict(memory_bytes=1 << 34, tensor_address="", models=[], running=[], holding=[])
    said = proto(PROTOCOL, "0.1.0", json.dumps(hello))
    peer.say(frame(DATA, 0, 1, message(said)))
    await peer.live()


# Both ends of the control plane have to be of one protocol.
PROTOCOL = int(re.search(r"PROTOCOL: u32 = (\d+)", (ROOT / "proto/src/lib.rs").read_text())[1])


def attack(target, name):
    """A process that keeps so many hostile connections."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # It tells of each connection that was cut.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    # The coordinator and the honest come first: elsewhere, whoever attacks takes no processor from them.
    os.nice(1)
    function = KINDS[name][0]

    async def keep(number):
        # Not all at one moment, as they do not come from one machine.
        await asyncio.sleep(number / target.connections * 2)
        while True:
            peer = Hostile(target, number)
            target.counts[1] += 1
            try:
                await function(peer)
            except (OSError, EOFError, ssl.SSLError):
                # Cut off, or refused: it comes again.
                pass
            finally:
                peer.close()
            # A tight loop is what some kinds are.
            await asyncio.sleep(0 if name == "churn" else 0.5)

    async def all_of_them():
        await asyncio.gather(*(keep(number) for number in range(target.connections)))

    asyncio.run(all_of_them())


# --- Who is honest.


class Farm:
    """A coordinator and its workers as processes, in a folder of their own."""

    def __init__(self, binary, folder, encrypted):
        self.binary, self.folder, self.encrypted = binary, folder, encrypted
        self.processes, self.token = [], None
        serve = ["serve", "--listen", "[::]:0", "--host", "127.0.0.1", "--data", folder / "data"]
        serve += ["--output", folder / "output"] + ([] if encrypted else ["--insecure"])
        self.coordinator = self.start("operator", serve, "coordinator.log", stdout=subprocess.PIPE)
        line = self.coordinator.stdout.readline().decode()
        if "listening on" not in line:
            raise RuntimeError((folder / "coordinator.log").read_text())
        self.port = int(line.strip().rsplit(":", 1)[1])
        self.address = [] if encrypted else ["--coordinator", f"http://127.0.0.1:{self.port}"]
        if encrypted:
            self.until("whoever has started it is an operator", lambda: self.ask("access", "list") is not None)
            line = self.ask("access", "grant", "worker").strip()
            self.ask("join", line, member="worker", address=())
            self.token = self.ask("access", "grant", "viewer", "--token", "--name", "hostile").strip()
        for roles in ("text-encoder,vae", "dit-high,dit-low"):
            worker = ["worker", *self.address, "--role", roles, "--name", roles, "--threads", "1", "--models", DEMO]
            # It must not keep the coordinator from its work, which is what is measured.
            self.start("worker", worker + ["--data", folder / roles], f"{roles}.log", nice=1)
        self.until("the workers are there", lambda: (self.ask("workers", "--json") or "").count('"idle"') == 2)

    def environment(self, member):
        return {**os.environ, "WANFARM_MEMBERSHIP": str(self.folder / f"member-{member}"), "WANFARM_COLOR": "never"}

    def start(self, member, arguments, log, nice=0, **options):
        with open(self.folder / log, "ab") as stderr:
            process = subprocess.Popen(
                [self.binary, *map(str, arguments)], stdin=subprocess.DEVNULL, stderr=stderr,
                env=self.environment(member), preexec_fn=lambda: os.nice(nice),
                **{"stdout": subprocess.DEVNULL, **options},
            )
        self.processes.append(process)
        return process

    def ask(self, *arguments, member="operator", address=None):
        """What a command prints; None when it fails."""
        address = self.address if address is None else address
        command = [self.binary, *arguments, *address]
        try:
            ended = subprocess.run(
                command, capture_output=True, text=True, timeout=30, env=self.environment(member)
            )
        except subprocess.TimeoutExpired:
            self.why = "no answer within 30 s"
            return None
        self.why = ended.stderr.strip()
        return ended.stdout if ended.returncode == 0 else None

    def does(self, *arguments):
        """Why a command failed; empty when it did not."""
        return "" if self.ask(*arguments) is not None else self.why or "no reason"

    def until(self, what, holds, seconds=60):
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: not within {seconds} s; {getattr(self, 'why', '')}")
            time.sleep(0.1)

    def get(self, path):
        """A request by HTTP over a connection of its own: why it failed, empty when it did not."""
        if self.encrypted:
            trust = ssl.create_default_context(cafile=self.folder / "member-operator" / "authority.pem")
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=trust)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.token}"} if self.token else {})
            answer = connection.getresponse()
            answer.read()
            return "" if answer.status == 200 else f"status {answer.status}"

    def has_ended(self, job):
        told = self.ask("status", job, "--json")
        return told is not None and json.loads(told)["job"]["state"] in ("done", "failed", "cancelled")

    def digests(self, folder):
        """What lies in a folder of the output: names and digests of what was rendered."""
        place = self.folder / "output" / folder
        files = (file for file in sorted(place.rglob("*")) if file.suffix in (".mp4", ".png"))
        return {str(file.relative_to(place)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    def figures(self):
        """Peak memory in bytes, open files, threads."""
        place = pathlib.Path("/proc") / str(self.coordinator.pid)
        told = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
        return int(told["VmHWM"].split()[0]) << 10, len(os.listdir(place / "fd")), int(told["Threads"])

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.coordinator.stdout.close()


class Verb(threading.Thread):
    """Does one thing again and again, and notes how long it takes."""

    def __init__(self, name, act):
        super().__init__(daemon=True)
        self.name, self.act = name, act
        self.seconds, self.failures, self.ends = [], [], threading.Event()

    def run(self):
        while not self.ends.wait(0.2):
            begun = time.monotonic()
            try:
                why = self.act()
            except (OSError, http.client.HTTPException) as error:
                why = f"{type(error).__name__}: {error}"
            self.seconds.append(time.monotonic() - begun)
            if why:
                self.failures.append(why)

    def part(self, share):
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("inf")


@dataclasses.dataclass
class Outcome:
    """What came of one attack."""

    farm: str
    kind: str
    verbs: dict
    job_seconds: float | None
    digests: dict
    memory: int
    files: int
    threads: int
    held: int
    made: int
    died: bool
    failures: list


def manifest(folder, name, priority, videos, steps):
    """The first videos of the demo, as a job of that name."""
    head, *each = (DEMO / "shapes.toml").read_text().split("[[video]]")
    head = head.replace('name = "shapes"', f'name = "{name}"\npriority = {priority}')
    head = re.sub(r"steps = \d+", f"steps = {steps}", head)
    path = folder / f"{name}.toml"
    path.write_text("[[video]]".join([head, *each[:videos]]))
    return str(path)


def measure(binary, farm_kind, name, options):
    """One farm, one kind of attack; with none, undisturbed."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="wanfarm-attack-"))
    farm = attacker = None
    try:
        farm = Farm(binary, folder, farm_kind == "encrypted")
        # The first job, whose files are there to be read.
        warm = manifest(folder, "warm", 50, 1, 2)
        pathlib.Path(warm).write_text(pathlib.Path(warm).read_text().replace("{job}/{index:02}-{slug}-{seed}", "warm"))
        first = farm.ask("submit", warm).strip()
        farm.until("the first job ends", lambda: farm.has_ended(first))
        counts = multiprocessing.Array("q", 2, lock=False)
        if name:
            token = farm.token if KINDS[name][3] else None
            addresses = 0 if options.from_one else ADDRESSES
            target = Target(farm.port, farm.encrypted, token, options.connections, addresses, counts)
            attacker = multiprocessing.Process(target=attack, args=(target, name), daemon=True)
            attacker.start()
            # Some are refused, or come and go: then there are never as many.
            with contextlib.suppress(TimeoutError):
                farm.until("all are connected", lambda: counts[0] >= options.connections, seconds=15)
        night, small = manifest(folder, "night", 90, options.videos, 20), manifest(folder, "small", 1, 1, 1)
        submitted = time.monotonic()
        job = (farm.ask("submit", night) or "").strip()
        verbs = [
            Verb("status", lambda: farm.does("status")),
            Verb("submit", lambda: farm.does("submit", small, "--new-name")),
            Verb("http", lambda: farm.get("/api/v1/jobs")),
        ]
        for verb in verbs:
            verb.start()
        job_seconds, held, memory, files, threads, died = None, 0, 0, 0, 0, False
        while (now := time.monotonic() - submitted) < options.seconds or job_seconds is None:
            if now > options.seconds + JOB_SECONDS:
                break
            time.sleep(0.5)
            died = farm.coordinator.poll() is not None
            if died:
                break
            held = max(held, counts[0])
            memory, files_now, threads_now = farm.figures()
            files, threads = max(files, files_now), max(threads, threads_now)
            job = job or (farm.ask("submit", night) or "").strip()
            if job and job_seconds is None and farm.has_ended(job):
                job_seconds = time.monotonic() - submitted
        for verb in verbs:
            verb.ends.set()
        for verb in verbs:
            verb.join(90)
        failures = [f"{verb.name}: {why}" for verb in verbs for why in verb.failures]
        return Outcome(
            farm_kind, name or "undisturbed", {verb.name: verb for verb in verbs}, job_seconds, farm.digests("night"),
            memory, files, threads, held, counts[1], died, failures,
        )
    finally:
        if attacker:
            attacker.kill()
            attacker.join()
        if farm:
            farm.stop()
        if options.keep:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def faults(outcome, calm):
    """What should not have happened."""
    found = []
    for name, verb in outcome.verbs.items():
        if verb.part(0.99) > LIMIT_SECONDS:
            found.append(f"{name} slow")
        if verb.failures:
            found.append(f"{name} failed {len(verb.failures)} of {len(verb.seconds)}")
    if outcome.died:
        found.append("the coordinator died")
    if outcome.job_seconds is None:
        found.append("the job did not end")
    elif calm and outcome.digests != calm.digests:
        found.append("other bytes")
    if calm and outcome.memory > calm.memory + LIMIT_MEMORY:
        found.append("memory")
    return found


def row(outcome, calm):
    def times(name):
        verb = outcome.verbs[name]
        return " / ".join(f"{verb.part(share) * 1000:.0f}" for share in (0.5, 0.99, 1)) + f" ({len(verb.seconds)})"

    ended = "no" if outcome.job_seconds is None else f"{outcome.job_seconds:.0f} s"
    cells = [outcome.farm, outcome.kind, f"{outcome.held} ({outcome.made})", *map(times, ("status", "submit", "http"))]
    cells += [ended, f"{outcome.memory >> 20}", outcome.files, outcome.threads]
    cells.append("; ".join(faults(outcome, calm)) or "ok")
    return "| " + " | ".join(map(str, cells)) + " |"


HEAD = """\
Times are p50 / p99 / max in milliseconds, with the start of the client's process, and how often it was done. Held: most
connections at once, and how many were made in all.

| farm | kind | held (made) | status | submit | HTTP | job | peak MiB | files | threads | verdict |
|---|---|---|---|---|---|---|---|---|---|---|"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=pathlib.Path, help="the program `coordinator`")
    parser.add_argument("--connections", type=int, default=1000, help="hostile connections at a time")
    parser.add_argument("--kinds", help=f"kinds, with commas [default: all]: {', '.join(KINDS)}")
    parser.add_argument("--seconds", type=float, default=20, help="how long each attack lasts at least")
    parser.add_argument("--videos", type=int, default=2, help="videos of the job that renders meanwhile")
    parser.add_argument("--farms", default="encrypted,insecure", help="encrypted, insecure, or both with a comma")
    parser.add_argument("--from-one", action="store_true", help="all from the address that the honest come from")
    parser.add_argument("--keep", action="store_true", help="leave the folders of the farms")
    options = parser.parse_args()
    kinds = options.kinds.split(",") if options.kinds else list(KINDS)
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = options.connections + 1000
    if most != resource.RLIM_INFINITY and most < wanted:
        parser.error(f"{wanted} files have to be open at once; this process may have {most}")
    # Processes are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = False
    print(HEAD, flush=True)
    for farm in options.farms.split(","):
        calm = None
        for name in [None, *(name for name in kinds if farm in KINDS[name][2])]:
            outcome = measure(options.binary.resolve(), farm, name, options)
            calm = calm or outcome
            print(row(outcome, calm), flush=True)
            for why in sorted(set(outcome.failures))[:5]:
                print(f"  {why}", file=sys.stderr)
            failed = failed or bool(faults(outcome, calm))
    print("\nKinds:\n" + "\n".join(f"- {name}: {KINDS[name][1]}" for name in kinds))
    sys.exit(failed)


if __name__ == "__main__":
    main()
