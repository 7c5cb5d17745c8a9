"""One transfer from files to files: what `todoke multicast send` and `receive` do, without the printing.

Source: facts.md §Wi-Fi multicast.
"""

import asyncio
import hashlib
import mimetypes
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from multicast import memory, udp
from multicast.carousel import Content
from multicast.code import MAX_OBJECT_BYTES
from multicast.keys import Trust, load_sender
from multicast.manifest import Notice
from multicast.reassembly import Announced, Cancelled, Delivered, Reassembly
from multicast.receiver import Receiver, open_receiver, save
from multicast.sender import open_sender

_LEAST_SECONDS: Final = 30.0
_ROUNDS: Final = 8  # at 40 % loss, a receiver that comes in at the middle has everything after three


class BadInput(ValueError):  # noqa: N818 - says what was seen
    """Files or values that cannot be sent; the text names every reason."""


async def send(
    endpoint: udp.Endpoint,
    files: Sequence[Path],
    *,
    tsi: int,
    rate_bit_s: float,
    key_file: Path | None,
    seconds: float | None,
    identifier: str | None,
    areas: tuple[str, ...],
    severity: str,
    valid_s: float,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Send until `seconds` have passed or the process is asked to stop; returns what was sent.

    Raises:
        BadInput: a file that cannot be read or is empty or too long, or a value that a manifest does not take.
        BadKey, udp.BadEndpoint: as they say.
    """
    key = load_sender(key_file) if key_file else None
    contents = _contents(files)
    now_s = time.time()
    if key and key.certificate and key.certificate.expires_s <= now_s:
        raise BadInput(f"{key_file}: the certificate expired {datetime.fromtimestamp(key.certificate.expires_s, UTC)}")
    name = identifier or "files-" + hashlib.sha256(b"".join(c.content for c in contents)).hexdigest()[:12]
    notice = Notice(name, severity, areas, datetime.fromtimestamp(now_s + valid_s, UTC))
    async with open_sender(endpoint, tsi=tsi, rate_bit_s=rate_bit_s, key=key) as sender:
        started_s = time.monotonic()
        try:
            manifest = await sender.show(notice, contents)
        except ValueError as error:
            raise BadInput(str(error)) from error
        total_bytes = sum(len(content.content) for content in contents)
        seconds = seconds or max(_LEAST_SECONDS, _ROUNDS * total_bytes * 8 / rate_bit_s)
        say(
            f"sending {len(contents)} files, {total_bytes:,} bytes, to {endpoint.group} port {endpoint.port}, TSI {tsi},"
            f" {rate_bit_s:,.0f} bit/s, {'signed, ' + key.status if key else 'unsigned'}, for {seconds:.0f} s"
        )
        await _stopped(seconds)
        if sender.fault:
            say(f"the last packet did not leave: {sender.fault}")
        took_s = time.monotonic() - started_s
        return {
            "notice": notice.identifier,
            "sequence": manifest.sequence if manifest else None,
            "files": [{"name": c.name, "length": len(c.content)} for c in contents],
            "packets": sender.packets,
            "wire_bytes": sender.bytes + sender.packets * endpoint.header_bytes,
            "seconds": took_s,
            "fault": sender.fault,
        }


async def receive(
    endpoint: udp.Endpoint,
    out: Path,
    *,
    tsi: int,
    trust: Trust | None,
    source: str | None,
    expect: int,
    timeout_s: float,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Receive into `out` until everything announced is there (at least `expect` files) or the time is out.

    With trust, `out` also remembers the newest manifest's sequence, so that an older one stays refused from run to run.

    Raises:
        memory.BadFolder: `out` cannot be used.
        udp.BadEndpoint: the group cannot be joined.
    """
    last_sequence = memory.recall(out)
    reassembly = Reassembly(
        tsi=tsi, trust=trust, wall=time.time, clock=time.monotonic, source=source, last_sequence=last_sequence
    )
    started_s = time.monotonic()
    files: dict[Path, dict[str, Any]] = {}
    cancelled: list[str] = []
    is_complete = False
    say(
        f"listening to {endpoint.group} port {endpoint.port}, TSI {tsi}, {'verifying' if trust else 'believing anybody'}"
    )
    async with open_receiver(endpoint, reassembly) as receiver:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await _collect(receiver, out, files, cancelled, expect, say)
                is_complete = True
    if not is_complete:
        say(f"time is out: {len(files)} files after {reassembly.packets} packets; not accepted: {_reasons(reassembly)}")
    return {
        "complete": is_complete,
        "files": list(files.values()),
        "cancelled": cancelled,
        "sequence": reassembly.manifest.sequence if reassembly.manifest else None,
        "packets": reassembly.packets,
        "refused": dict(reassembly.refused),
        "seconds": time.monotonic() - started_s,
    }


async def _collect(
    receiver: Receiver,
    out: Path,
    files: dict[Path, dict[str, Any]],
    cancelled: list[str],
    expect: int,
    say: Callable[[str], None],
) -> None:
    async for event in receiver:
        match event:
            case Announced(manifest=manifest):
                say(f"manifest {manifest.sequence}, {manifest.status}, {len(manifest.entries)} files")
                memory.remember(out, manifest.sequence)
            case Delivered():
                # One notice may bring two files of one name; a newer version of a notice replaces its own.
                others = {path for path, file in files.items() if file["toi"] in receiver.reassembly.listed}
                path = save(out, event, others)
                say(f"{path} ({len(event.content):,} bytes)")
                files[path] = {
                    "name": event.name,
                    "path": str(path),
                    "toi": event.toi,
                    "type": event.media_type,
                    "length": len(event.content),
                    "sha256": hashlib.sha256(event.content).hexdigest(),
                    "notice": event.notice.identifier if event.notice else None,
                }
            case Cancelled(identifier=identifier):
                say(f"withdrawn: {identifier}")
                cancelled.append(identifier)
        if receiver.reassembly.is_complete and len(files) >= expect and receiver.is_drained:
            return


def _contents(files: Sequence[Path]) -> list[Content]:
    contents, problems = [], []
    for path in files:
        try:
            with path.open("rb") as file:
                data = file.read(MAX_OBJECT_BYTES + 1)
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
            continue
        if not 0 < len(data) <= MAX_OBJECT_BYTES:
            problems.append(f"{path}: accepted are 1 to {MAX_OBJECT_BYTES:,} bytes")
        media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        contents.append(Content(path.name, media_type, data))
    if problems:
        raise BadInput("\n".join(problems))
    return contents


async def _stopped(seconds: float) -> None:
    """Return after `seconds`, or when the process is asked to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    asked = (signal.SIGINT, signal.SIGTERM)
    for number in asked:
        loop.add_signal_handler(number, stop.set)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()
    finally:
        for number in asked:
            loop.remove_signal_handler(number)


def _reasons(reassembly: Reassembly) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reassembly.refused.items()) or "none"
