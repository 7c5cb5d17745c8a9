"""A port on loopback that nobody has: for a listener that has to be named in a site file before it listens.

From below the range out of which the system takes the ports of outgoing connections, so that none of those takes it in between.

Source: ip(7), ip_local_port_range.
"""

import errno
import secrets
import socket

LOWEST, HIGHEST = 20_000, 30_000
LOOPBACK = "127.0.0.1"
TRIES = 200


def free_port() -> int:
    """Free for TCP at this moment.

    Raises:
        OSError: loopback takes no listener at all, or nearly every port is taken.
    """
    for _ in range(TRIES):
        port = LOWEST + secrets.randbelow(HIGHEST - LOWEST)
        try:
            with socket.create_server((LOOPBACK, port)):
                return port
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, f"{TRIES} ports from {LOWEST} to {HIGHEST} were taken")
