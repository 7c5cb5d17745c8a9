"""One file to many receivers without a reply: ALC/LCT, FLUTE and RaptorQ. Knows nothing of the dispatcher.

Values and bytes: `packet` (one datagram), `code` (RaptorQ), `fdt` (what FLUTE receivers read), `keys` and `manifest` (what
ours believe), `carousel` (what goes next), `pacing` (when), `reassembly` (what comes of it). With the network: `udp` (the only
socket), `sender`, `receiver`. For people: `command` over `transfer`, and `capture` (the only scapy).

Source: RFC 5651, RFC 5775, RFC 6330, RFC 6726; design.md §4, §6.
"""
