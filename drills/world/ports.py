"""A port on loopback that nobody has: for a listener that has to be named in a site file before it listens.

From below the range out of which the system takes the ports of outgoing connections, so that none of those takes it in between.

Source: ip(7), ip_local_port_range.
"""

import secrets
import socket

LOWEST, HIGHEST = 20_000, 30_000
LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """Free for TCP at this moment."""
    while True:
        port = LOWEST + secrets.randbelow(HIGHEST - LOWEST)
        try:
            with socket.create_server((LOOPBACK, port)):
                return port
        except OSError:
            continue
