"""The answer that carries a pick, written as protobuf bytes.

It is the one large message of every request. Built with message objects it took 18 µs, so it is written
here, field by field, with its constant parts made once; a test compares it with the message classes.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.ext_proc import messages
from pilotage_extproc.envoy.ext_proc.retry_headers import RetryHeaders, RouterLimits
from pilotage_extproc.envoy.ext_proc.wire import (
    OVERWRITE_ACTION,
    Kept,
    number_value,
    remove_header,
    set_header,
    string_value,
    struct_entry,
    struct_value,
)
from pilotage_extproc.envoy.ext_proc.wire import field as wire_field

_CLEAR_ROUTE_CACHE: Final = b"\x28\x01"  # CommonResponse.clear_route_cache (5): true
_ON_HEADERS, _ON_BODY = 1, 3  # ProcessingResponse.request_headers, .request_body
_STRIPPED: Final = b"".join([remove_header(name) for name in messages.INPUT_HEADERS])
_STRIPPED_DESTINATION: Final = remove_header(names.DESTINATION)


_SHORTEST: Final = 8
"""Characters of a text that another may stand in for, and be found again."""
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class Pick(NamedTuple):
    """What a pick changes in a request, and what travels with it."""

    destination: str
    """Addresses of the attempts, joined by commas."""
    attempts: int
    decision_id: str
    body: bytes | None = None
    """The new body, where it changes."""
    path: str | None = None
    """The new path and query, where it changes."""
    shown: Mapping[str, str] = NO_HEADERS
    """Response headers that show the decision; the bundled Envoy sets them from metadata."""
    request_id: str | None = None
    """Set as `x-request-id` where the client sent none."""
    remove_headers: Sequence[str] = ()
    """Request headers to strip, beside `INPUT_HEADERS`."""
    flags: Sequence[str] = ()
    allowance: str = ""
    """Keys of our metadata that only say yes: what the bundled Envoy has to do with the response."""
    later: "LaterAttempts | None" = None
    """Where attempts are spoken to differently."""
    moved: str = ""
    """How the body's lists were moved, where a provider's hop needs to know."""
    holder: str = ""
    """Whose the answer is, where it may be stored."""
    limits: RouterLimits | None = None
    """Where a rule or the kind of call bounds the attempts."""


class LaterAttempts(NamedTuple):
    """What whoever rewrites a later attempt needs to know: numbers, no text."""

    snapshot: str
    """Version of the snapshot that the numbers belong to."""
    usage_edit: int
    """How the first attempt's body was made to ask for usage."""
    numbers: Mapping[str, int]
    """Of the attempts, by address."""
    models: Mapping[str, str]
    """Upstream models by address, where an Envoy or a process of contract 1 may read them; else empty."""


class PickWriter:
    """Writes the picks of one process. What repeats from request to request is made once and kept."""

    def __init__(self, process_id: str, stripped: Sequence[str] = ()) -> None:
        """`stripped` are request headers to strip beside `INPUT_HEADERS`."""
        self._stripped = _STRIPPED + b"".join([remove_header(name) for name in stripped])
        self._owner = struct_entry(names.OWNER, string_value(process_id))
        self._destinations = Kept(_destination)
        self._retry_headers: Kept[int, bytes] = Kept(
            lambda attempts: set_header(names.MAX_RETRIES, str(attempts - 1))
        )
        self._retry_limits = RetryHeaders()
        self._length_headers: Kept[int, bytes] = Kept(
            lambda length: set_header("content-length", str(length))
        )
        # of a decision id, and of all our metadata, only the length shapes the bytes before it
        self._before_id: Kept[int, bytes] = Kept(
            lambda length: _before(struct_entry(names.DECISION, string_value("x" * length)), length)
        )
        self._before_id_header: Kept[int, bytes] = Kept(
            lambda length: _before(
                set_header(names.DECISION_REQUEST_HEADER, "x" * length), length + len(OVERWRITE_ACTION)
            )
        )
        self._before_ours = Kept(_before_ours)
        self._before_numbers: Kept[int, bytes] = Kept(
            lambda length: _before(struct_entry(names.ATTEMPTS, struct_value(b"x" * length)), length)
        )
        self._numbers: Kept[tuple[str, int], bytes] = Kept(
            lambda entry: struct_entry(entry[0], number_value(entry[1]))
        )
        self._texts: Kept[tuple[str, str], bytes] = Kept(
            lambda entry: struct_entry(entry[0], string_value(entry[1]))
        )
        """Entries of few values: versions, routes, flags, models by address."""
        self._around_bundled = Kept(self._cut_bundled)
        self._around_foreign = Kept(self._cut_foreign)

    def usual_bundled(
        self, destination: str, attempts: int, decision_id: str, flags: tuple[str, ...], *, on_body: bool
    ) -> bytes:
        """As `bundled`, of a pick that has nothing else: all but its texts depends on their lengths alone."""
        places, identity = destination.encode(), decision_id.encode()
        lengths = len(identity), len(places)
        if min(lengths) < _SHORTEST:
            return self.bundled(Pick(destination, attempts, decision_id, flags=flags), on_body=on_body)
        before, between, after, end = self._around_bundled[attempts, lengths, flags, on_body]
        return b"".join((before, identity, between, places, after, identity, end))

    def usual_foreign(self, destination: str, *, on_body: bool) -> bytes:
        """As `foreign`, of a pick that has nothing else."""
        places = destination.encode()
        if len(places) < _SHORTEST:
            return self.foreign(Pick(destination, 1, ""), on_body=on_body, sends_body=True)
        return places.join(self._around_foreign[len(places), on_body])

    def _cut_bundled(self, shape: tuple[int, tuple[int, int], tuple[str, ...], bool]) -> tuple[bytes, ...]:
        """The bytes around the texts of a usual pick, cut out of one that is written field by field."""
        attempts, (id_length, destination_length), flags, on_body = shape
        identity, places = _stand_in("i", id_length), _stand_in("d", destination_length)
        written = self.bundled(Pick(places, attempts, identity, flags=flags), on_body=on_body)
        before, between, end = written.split(identity.encode())
        return before, *between.split(places.encode()), end

    def _cut_foreign(self, shape: tuple[int, bool]) -> tuple[bytes, ...]:
        destination_length, on_body = shape
        places = _stand_in("d", destination_length)
        written = self.foreign(Pick(places, 1, ""), on_body=on_body, sends_body=True)
        return tuple(written.split(places.encode()))

    def bundled(self, pick: Pick, *, on_body: bool) -> bytes:
        """For the bundled Envoy: the pick in metadata alone, with all that its later filters need."""
        identity = pick.decision_id.encode()
        headers = self._retry_headers[pick.attempts] + self._before_id_header[len(identity)] + identity
        headers += OVERWRITE_ACTION
        if pick.moved:
            headers += set_header(names.MOVED_HEADER, pick.moved)
        if not on_body:
            headers += self._stripped + _STRIPPED_DESTINATION
        ours = self._before_id[len(identity)] + identity + self._owner
        if pick.limits is not None:
            headers += self._retry_limits.written(pick.limits)
            if pick.limits.route is not None:
                ours += self._texts[names.OWN_ROUTE, pick.limits.route]
            if pick.limits.reads_overflow:
                ours += self._texts[names.READ_OVERFLOW, names.FLAG]
        if pick.later is not None:
            ours += self._later(pick.later)
        for flag in pick.flags:
            ours += self._texts[flag, names.FLAG]
        if pick.holder:
            ours += struct_entry(names.HOLDER, string_value(pick.holder))
        if pick.allowance:
            ours += struct_entry(names.ALLOWANCE, string_value(pick.allowance))
        for name, text in pick.shown.items():
            ours += struct_entry(name, string_value(text))
        metadata = self._destinations[pick.destination] + self._before_ours[len(ours)] + ours
        return self._written(pick, headers, metadata, on_body=on_body, sends_body=True)

    def _later(self, later: LaterAttempts) -> bytes:
        kept = self._numbers
        numbers = b"".join([kept[entry] for entry in later.numbers.items()])
        written = self._texts[names.SNAPSHOT, later.snapshot] + self._before_numbers[len(numbers)] + numbers
        written += kept[names.USAGE_EDIT, later.usage_edit]
        if later.models:
            models = [self._texts[entry] for entry in later.models.items()]
            written += struct_entry(names.MODELS_BY_ADDRESS, struct_value(b"".join(models)))
        return written

    def foreign(self, pick: Pick, *, on_body: bool, sends_body: bool) -> bytes:
        """For other gateways: header and metadata, as the endpoint-picker protocol says.

        Without `sends_body` a changed body follows in messages of its own; only its length is set here.
        """
        headers = set_header(names.DESTINATION, pick.destination)
        if pick.request_id is not None:
            headers += set_header(names.REQUEST_ID, pick.request_id)
        if not on_body:
            headers += self._stripped
        for name in pick.remove_headers:
            headers += remove_header(name)
        metadata = self._destinations[pick.destination]
        return self._written(pick, headers, metadata, on_body=on_body, sends_body=sends_body)

    def _written(
        self, pick: Pick, headers: bytes, metadata: bytes, *, on_body: bool, sends_body: bool
    ) -> bytes:
        changed = b""
        if pick.path is not None:
            headers += set_header(":path", pick.path)
        if pick.body is not None:
            headers += self._length_headers[len(pick.body)]
            if sends_body:
                # CommonResponse.body_mutation (3), BodyMutation.body (1)
                changed = wire_field(3, wire_field(1, pick.body))
        # response (1) of HeadersResponse and BodyResponse; dynamic_metadata (8)
        common = wire_field(2, headers) + changed + _CLEAR_ROUTE_CACHE
        answered = _ON_BODY if on_body else _ON_HEADERS
        return wire_field(answered, wire_field(1, common)) + wire_field(8, metadata)


def _stand_in(letter: str, length: int) -> str:
    """A text that nothing else in a pick has in it."""
    return f"<{letter * (length - 2)}>"


def _destination(destination: str) -> bytes:
    pick = struct_entry(names.DESTINATION, string_value(destination))
    return struct_entry(names.LB_NAMESPACE, struct_value(pick))


def _before_ours(length: int) -> bytes:
    return _before(struct_entry(names.PILOTAGE_NAMESPACE, struct_value(b"x" * length)), length)


def _before(written: bytes, length: int) -> bytes:
    """What stands before a last part of so many bytes."""
    return written[: len(written) - length]
