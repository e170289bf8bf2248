"""Whether an address can be listened on, checked before anything starts."""

import errno
import socket

from pilotage_extproc.server.addresses import AddressError, split_address


def check_free(setting: str, address: str) -> None:
    """Raises AddressError where someone listens already or the address is not ours."""
    host, port = split_address(address)
    if port == 0:
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
            raise AddressError(
                f"{setting} {address} {reason}; stop the other process or choose another"
            ) from None
