"""Captures as tcpdump writes them, written without the library that reads them.

Source: draft-ietf-opsawg-pcap §4, §5 (LINKTYPE_ETHERNET); RFC 791 §3.1; RFC 8200 §3; RFC 768.
"""

import ipaddress
import struct
from collections import Counter


def write_pcap(path, datagrams, endpoint, source):
    """Datagrams with their UNIX times, as they left `source` for the group."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for at_s, datagram in datagrams:
            frame = _ethernet(
                ipaddress.ip_address(source), ipaddress.ip_address(endpoint.group), endpoint.port, datagram
            )
            whole_s, fraction = divmod(at_s, 1)
            file.write(struct.pack("<IIII", int(whole_s), int(fraction * 1e6), len(frame), len(frame)) + frame)


def _ethernet(source, group, port, datagram):
    """Checksums are left at 0, as a sender's own capture has them where its card works them out."""
    udp = struct.pack("!HHHH", port, port, 8 + len(datagram), 0) + datagram
    if group.version == 6:
        network = struct.pack("!IHBB", 6 << 28, len(udp), 17, 1)
    else:
        network = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 1, 17, 0)
    addresses = struct.pack("!6s6sH", b"\1\0\x5e\0\0\1", b"\2\0\0\0\0\1", 0x86DD if group.version == 6 else 0x0800)
    return addresses + network + source.packed + group.packed + udp


def loss_trace(sent, received):
    """For each packet sent, whether it was lost on the way. A carousel repeats itself: equal packets are matched in order."""
    arrived = Counter(received)
    trace = []
    for datagram in sent:
        trace.append(arrived[datagram] == 0)
        arrived[datagram] -= not trace[-1]
    return trace
