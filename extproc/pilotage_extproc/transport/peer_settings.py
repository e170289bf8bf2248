"""What a peer's SETTINGS say; of it only the initial window matters to a server that compresses nothing."""

from pilotage_extproc.transport import frames
from pilotage_extproc.transport.frames import FRAME_BYTES, UINT32, Code, ConnectionFault


def initial_window(flags: int, stream: int, payload: bytes, before: int) -> int:
    """The initial window in force afterwards. Raises ConnectionFault."""
    if stream:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "SETTINGS of a stream")
    if len(payload) % 6 or (flags & frames.ACK and payload):
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, "SETTINGS of a wrong length")
    window = before
    for at in range(0, len(payload), 6):
        key, value = int.from_bytes(payload[at : at + 2], "big"), UINT32.unpack_from(payload, at + 2)[0]
        if key == frames.INITIAL_WINDOW_SIZE:
            if value > frames.MOST_WINDOW:
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "an initial window that is too large")
            window = value
        elif (key == frames.ENABLE_PUSH and value > 1) or (
            key == frames.MAX_FRAME_SIZE and not FRAME_BYTES <= value < 1 << 24
        ):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a setting out of its range")
    return window
