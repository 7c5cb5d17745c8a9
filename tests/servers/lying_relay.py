"""A mail relay on loopback that says what a test wants: no, nothing, garbage, or goodbye, at any command.

Source: RFC 5321 §4.1, RFC 2920, RFC 3030.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

DROP, HANG = "DROP", "HANG"
"""In place of an answer: close the connection, or say nothing more."""
TEXT = "."
"""What the text after DATA is heard as."""
_SAYS: Final = {"DATA": "354 go on", TEXT: "250 2.0.0 Ok: queued as 4bX", "BDAT": "250 2.0.0 Ok: queued as 4bX"}


class LyingRelay:
    """`answers`: by the first word of a command, what is said to the first, the second …; then what a good relay says."""

    def __init__(self, answers: Mapping[str, Sequence[str]] | None = None, extensions: Sequence[str] = ()) -> None:
        self.answers = {word: list(said) for word, said in (answers or {}).items()}
        self.extensions = extensions
        self.heard: list[str] = []
        self.recipients: list[str] = []
        """Of every text that came whole, whether it was taken or not."""
        self.may_answer: Callable[[Counter[str]], bool] = lambda _: True
        """By what was heard: whether the answers that are held back go out now."""
        self.port = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 lying ESMTP\r\n")
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._converse(reader, writer)
        finally:
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipient, held = "", b""
        while line := (await reader.readline()).decode("utf-8", "replace").rstrip("\r\n"):
            word, _, rest = line.partition(" ")
            word = word.upper()
            if word == "RCPT":
                recipient = rest.removeprefix("TO:").strip("<>")
            elif word == "BDAT":
                await reader.readexactly(int(rest.split()[0]))
                self.recipients.append(recipient)
            said = self._says(word)
            if said == HANG:
                await reader.read()
            if said in {DROP, HANG}:
                writer.write(held)
                await writer.drain()
                return
            held += said.encode("latin-1") + b"\r\n"
            if word == "DATA" and said.startswith("354"):
                writer.write(held)
                held = b""
                while (text := await reader.readline()) != b".\r\n":
                    if not text:
                        return
                self.recipients.append(recipient)
                said = self._says(TEXT)
                if said in {DROP, HANG}:
                    return
                held = said.encode("latin-1") + b"\r\n"
            if self.may_answer(Counter(self.heard)):
                writer.write(held)
                held = b""
            if word == "QUIT":
                return

    def _says(self, word: str) -> str:
        self.heard.append(word)
        if word == "EHLO":
            return "\r\n".join([f"250-{extension}" for extension in ("lying", *self.extensions)] + ["250 8BITMIME"])
        return (self.answers.get(word) or [_SAYS.get(word, "250 ok")]).pop(0)
