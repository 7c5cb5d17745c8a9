"""A name server on loopback that says what a hostile one might: private addresses, another one each time, nothing at all.

Source: RFC 1035 §4.2.1.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset

SILENT = "silent"
Names = Mapping[str, Iterator[str] | str]
"""Name → its address, or one after the other each time that it is asked; SILENT: no answer ever comes."""


class _Answering(asyncio.DatagramProtocol):
    def __init__(self, names: Names) -> None:
        self._names = names
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, client: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        self.asked.append(name)
        said = self._names.get(name, "")
        if said == SILENT:
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        kind = dns.rdatatype.AAAA if isinstance(said, str) and ":" in said else dns.rdatatype.A
        if said and question.rdtype == kind:
            address = said if isinstance(said, str) else next(said)
            answer.answer.append(dns.rrset.from_text(question.name, 0, "IN", kind, address))
        self._transport.sendto(answer.to_wire(), client)


@asynccontextmanager
async def name_server(names: Names) -> AsyncIterator[tuple[tuple[str, int], list[str]]]:
    """Its address and port, and every name that it was asked for."""
    loop = asyncio.get_running_loop()
    transport, answering = await loop.create_datagram_endpoint(lambda: _Answering(names), ("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname"), answering.asked
    finally:
        transport.close()
