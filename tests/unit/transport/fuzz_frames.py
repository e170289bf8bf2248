"""Ill-formed HTTP/2 against a connection: `make fuzz`, or this file with --seconds N and --seed N.

A seed is one caller: frames that are right, wrong, cut, flipped, or out of order, with a clock that jumps.
Whatever comes, nothing may fail inside, what is sent must be well formed, and nothing may be left behind. The
first seed that breaks this is printed; add it to test_transport_fuzz.py.
"""

import argparse
import asyncio
import logging
import random
import sys
import time

from wire import HEAD, Client, Clock, Port, data, data_of, echo, message

from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.envoy.ext_proc.body_budget import BodyBudget
from pilotage_extproc.transport import frames
from pilotage_extproc.transport.frames import frame
from pilotage_extproc.transport.limits import Limits

LIMITS = Limits(
    streams=20,
    streams_a_connection=12,
    stream_window=40_000,
    connection_window=300_000,
    messages_bytes=60_000,
    early_resets=60,
    idle_frames=200,
    write_buffer_bytes=20_000,
    write_buffer_most_bytes=60_000,
    input_bytes=30_000,
)


class Broken(Exception):
    """The connection did what it must not."""


class Failures(logging.Handler):
    """What was logged with a traceback: nothing should be."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


async def handler(stream) -> None:
    """Echoes until something is refused, as a handler of bodies does."""
    try:
        await echo(stream)
    except RequestRefused:
        await stream.write(b"refused")


class Caller:
    """One caller by one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.budget = BodyBudget(
            max_bytes=100_000, max_total_bytes=150_000, by_headers=False, wait_seconds=0.001
        )
        self.port = Port(handler, LIMITS, method_room=self.budget if seed % 2 else None)
        self.clock = Clock()
        self.client = Client(self.port, self.clock, greet=self.random.random() > 0.05)
        self.streams = [1]

    def bytes_to_send(self) -> bytes:
        pick = self.random
        made = pick.choice(
            (self.call, self.call, self.more, self.more, self.any_frame, self.small, self.block)
        )()
        if pick.random() < 0.1:
            made = self.flipped(made)
        if pick.random() < 0.05:
            made = made[: pick.randrange(len(made) + 1)]
        return made

    def call(self) -> bytes:
        stream, head = self.client.head(end=self.random.random() < 0.1, more=self.headers())
        self.streams.append(stream)
        return head + b"".join(data_of(stream, *self.messages(), end=self.random.random() < 0.5))

    def more(self) -> bytes:
        whole = b"".join(message(one, self.random.random() < 0.02) for one in self.messages())
        cut = self.random.randrange(len(whole) + 1)
        return data(self.stream(), whole[:cut][:16_384], end=self.random.random() < 0.2)

    def any_frame(self) -> bytes:
        pick = self.random
        payload = pick.randbytes(pick.choice((0, 1, 4, 5, 6, 8, 40)))
        return frame(pick.randrange(12), pick.randrange(256), self.stream(), payload)

    def small(self) -> bytes:
        pick = self.random
        return pick.choice(
            (
                frames.window_update(self.stream(), pick.choice((0, 1, 10_000, frames.MOST_WINDOW))),
                frames.window_update(0, pick.choice((1, 50_000))),
                frames.settings({frames.INITIAL_WINDOW_SIZE: pick.choice((0, 1, 70_000))}),
                frames.settings({pick.randrange(8): pick.randrange(1 << 20)}),
                frame(frames.PING, pick.randrange(2), 0, pick.choice((b"pilotage", b"12345678"))),
                frame(frames.RST_STREAM, 0, self.stream(), b"\0\0\0\x08"),
                frames.goaway(0, frames.Code.NO_ERROR),
            )
        )

    def block(self) -> bytes:
        pick = self.random
        encoded = self.client.encoder.encode({**HEAD, **self.headers()}.items())
        if pick.random() < 0.3:
            encoded = self.flipped(encoded)
        cut = pick.randrange(len(encoded))
        stream = self.stream()
        return frame(frames.HEADERS, pick.choice((0, 1, 8, 32)), stream, encoded[:cut]) + frame(
            frames.CONTINUATION, pick.choice((0, 4)), stream, encoded[cut:]
        )

    def headers(self) -> dict[str, str]:
        return self.random.choice(
            (
                {},
                {},
                {"grpc-timeout": self.random.choice(("1m", "0n", "99999999H", "x"))},
                {"content-length": "100"},
                {":path": "/other"},
                {":method": "GET"},
                {"x": "y" * self.random.randrange(3_000)},
            )
        )

    def messages(self) -> list[bytes]:
        pick = self.random
        sizes = [pick.choice((0, 1, 100, 20_000, 90_000)) for _ in range(pick.randrange(4))]
        return [b"m" * size for size in sizes]

    def stream(self) -> int:
        pick = self.random
        return pick.choice((pick.choice(self.streams), self.streams[-1], pick.choice((0, 1, 2, 3, 999))))

    def flipped(self, whole: bytes) -> bytes:
        changed = bytearray(whole)
        for _ in range(self.random.randrange(1, 4)):
            if changed:
                changed[self.random.randrange(len(changed))] = self.random.randrange(256)
        return bytes(changed)

    async def run(self) -> None:
        """Raises Broken."""
        pick, client = self.random, self.client
        for _ in range(pick.randrange(5, 60)):
            if client.transport.is_closing():
                break
            client.send(*[self.bytes_to_send() for _ in range(pick.choice((1, 1, 3)))])
            if pick.random() < 0.5:
                self.well_formed(await client.frames())
            if pick.random() < 0.05:
                client.transport.stuck = not client.transport.stuck
                if not client.transport.stuck:
                    client.connection.resume_writing()
            if pick.random() < 0.1:
                self.clock.now += pick.choice((1, 15, 35))
                client.connection.watch()
            if pick.random() < 0.01:
                client.connection.drain()
        self.well_formed(await client.frames())
        if pick.random() < 0.5:
            client.connection.end_calls()
        client.connection.connection_lost(None)
        await client.settled()
        await asyncio.sleep(0.003 if self.budget.expected_bytes else 0)
        self.nothing_left()

    def well_formed(self, sent: list) -> None:
        for one in sent:
            if len(one.payload) > 16_384 or one.kind > frames.CONTINUATION:
                raise Broken(f"sent an ill-formed frame: {one}")
        if self.port.open_streams > LIMITS.streams_a_connection:
            raise Broken(f"{self.port.open_streams} streams are open")

    def nothing_left(self) -> None:
        left = {
            "streams": self.port.open_streams,
            "shared room": getattr(self.port.room, "taken_bytes", 0),
            "expected": self.budget.expected_bytes,
            "tasks": len(asyncio.all_tasks()) - 1,
        }
        if any(left.values()):
            raise Broken(f"left behind: {left}")


def try_seed(seed: int) -> None:
    """Raises Broken, or whatever a failure inside raised."""
    failures = Failures()
    logger = logging.getLogger("pilotage_extproc")
    logger.addHandler(failures)

    async def one() -> None:
        await Caller(seed).run()

    try:
        asyncio.run(one())
    finally:
        logger.removeHandler(failures)
    if failures.records:
        raise Broken(f"failed inside: {failures.records[0].getMessage()}: {failures.records[0].exc_info}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    first = seed = random.SystemRandom().randrange(1 << 40) if options.seed is None else options.seed
    until = time.monotonic() + options.seconds
    logging.getLogger("pilotage_extproc").propagate = False
    while time.monotonic() < until:
        try:
            try_seed(seed)
        except Exception:
            print(f"seed {seed} breaks it", file=sys.stderr)
            raise
        seed += 1
    print(f"{seed - first} callers from seed {first}: nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
