"""`todoke multicast keygen | send | receive | monitor | dissect`: multicast without the dispatcher, at stations and for trying.

Results go to stdout (`-o json`: one object), progress to stderr. Exit 0: done; 1: our mistake; 2: usage or invalid input;
8: the time-out came first.

Source: design.md §9 (exit codes); facts.md §Wi-Fi multicast (defaults).
"""

import argparse
import asyncio
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

from multicast import memory, transfer, udp
from multicast.forwarding import Forwarder
from multicast.key_files import BadKey
from multicast.keys import CERTIFICATE_DAYS, STATUSES, RootKey, SenderKey, load_root, load_trust
from multicast.monitor import REPORT_EVERY_S, Monitor
from multicast.phones import Phones, Post, serving
from multicast.reassembly import Reassembly
from multicast.sealing import AnswerKey, load_sealer
from multicast.sender import DEFAULT_RATE_BIT_S
from multicast.spool import Spool

DONE: Final = 0
INVALID: Final = 2
TIMED_OUT: Final = 8

_RATE_UNITS: Final = {"": 1, "bit/s": 1, "k": 1e3, "kbit/s": 1e3, "m": 1e6, "mbit/s": 1e6, "g": 1e9, "gbit/s": 1e9}

_SEND_EXAMPLES = """\
examples:
  todoke multicast send --group 239.255.77.1 --port 3400 --iface 192.0.2.10 --rate 5M --key sender.key notice.json map.png
  todoke multicast send --group ff15::4d49:1 --port 3400 --iface wlan0 --rate 2.5Mbit/s --seconds 60 notice.json
"""
_RECEIVE_EXAMPLES = """\
examples:
  todoke multicast receive --group 239.255.77.1 --port 3400 --iface 192.0.2.20 --out got --timeout 60 --trust root.key.pub
  todoke multicast receive --group ff15::4d49:1 --port 3400 --iface wlan0 --out got --timeout 60 -o json
"""
_MONITOR_EXAMPLES = """\
example:
  todoke multicast monitor --iface wlan0 --out station --trust root.key.pub --status Actual --secret-file station.secret \\
      --report http://10.0.0.5:8184/stations/mitaka --serve 192.0.2.1:80 --answers-to answers.key.pub
"""
_KEYGEN_EXAMPLES = """\
examples:
  todoke multicast keygen --root root.key                              the city's root, once, on a machine without a network
  todoke multicast keygen sender.key --certify-with root.key           a sender's key for 30 days
  todoke multicast keygen drill.key --certify-with root.key --status Exercise
  todoke multicast keygen --answers answers.key                        answers.key for the node, answers.key.pub for stations
"""


class _Command:
    """What the `todoke` program finds by this package's entry point."""

    def add(self, subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
        multicast = subparsers.add_parser(
            "multicast",
            help="マルチキャストで配る、受ける、記録を読む (send files to a multicast group, receive them, look at captures)",
            description="Exit 0: done; 1: our mistake; 2: usage or invalid input; 8: the time-out came first.",
        )
        verbs = multicast.add_subparsers(required=True, metavar="VERB")
        _add_keygen(verbs)
        _add_send(verbs)
        _add_receive(verbs)
        _add_monitor(verbs)
        _add_dissect(verbs)


command = _Command()


def _verb(verbs: Any, name: str, run: Callable[[argparse.Namespace], int], text: str, examples: str) -> Any:
    parser = verbs.add_parser(
        name, help=text, description=text, epilog=examples, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", choices=("text", "json"), default="text", dest="output", help="how the result is printed")
    parser.set_defaults(run=lambda args: _guarded(run, args))
    return parser


def _guarded(run: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    try:
        return run(args)
    except (BadKey, udp.BadEndpoint, memory.BadFolder, transfer.BadInput) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename or ''}: {error.strerror or error}")


def _fail(words: str) -> int:
    _progress(f"todoke multicast: {words}")
    return INVALID


def _add_endpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--group", default="239.255.77.1", help="multicast address (default %(default)s)")
    parser.add_argument("--port", type=int, default=3400, help="UDP port (default %(default)s)")
    parser.add_argument("--iface", required=True, help="interface, by one of its addresses or by name")
    parser.add_argument("--tsi", type=_session, default=1, help="session number within the group (default %(default)s)")


def _add_keygen(verbs: Any) -> None:
    parser = _verb(verbs, "keygen", _keygen, "make a key: FILE (0600) and FILE.pub", _KEYGEN_EXAMPLES)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--root", action="store_true", help="make the offline root's key")
    parser.add_argument(
        "--answers", action="store_true", help="make the node's key for what residents write at stations"
    )
    parser.add_argument("--certify-with", type=Path, metavar="ROOTKEY", help="have the root's key certify the sender's")
    parser.add_argument(
        "--status", choices=STATUSES, default="Actual", help="what the sender may send (default %(default)s)"
    )
    parser.add_argument(
        "--days", type=_positive, default=CERTIFICATE_DAYS, metavar="D", help="days that it holds (default %(default)g)"
    )


def _add_send(verbs: Any) -> None:
    parser = _verb(verbs, "send", _send, "send files round and round until --seconds or Ctrl-C", _SEND_EXAMPLES)
    _add_endpoint(parser)
    parser.add_argument(
        "--rate",
        type=_rate,
        default=DEFAULT_RATE_BIT_S,
        metavar="BITS",
        help="bit/s on the wire: 5000000, 5M, 500kbit/s",
    )
    parser.add_argument("--key", type=Path, metavar="FILE", help="sign with this key; without it, plain unsigned FLUTE")
    parser.add_argument(
        "--seconds", type=_positive, default=None, metavar="S", help="stop then (default: 30 or eight times round)"
    )
    parser.add_argument(
        "--notice", default=None, metavar="ID", help="the notice's identifier (default: from its content)"
    )
    parser.add_argument("--area", action="append", default=[], help="where the notice holds; may be given again")
    parser.add_argument("--severity", default="Unknown", help="CAP's severity (default %(default)s)")
    parser.add_argument(
        "--valid", type=_positive, default=3600.0, metavar="S", help="how long the notice holds (default %(default)g)"
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")


def _add_receive(verbs: Any) -> None:
    parser = _verb(verbs, "receive", _receive, "receive files until all that is announced is there", _RECEIVE_EXAMPLES)
    _add_endpoint(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the files go")
    parser.add_argument(
        "--timeout", type=_positive, default=60.0, metavar="S", help="give up then: exit 8 (default %(default)g)"
    )
    parser.add_argument(
        "--trust", type=Path, metavar="PUBKEY", help="the root's or sender's .pub; nothing else is written"
    )
    parser.add_argument("--status", choices=STATUSES, default=None, help="take notices of this status only")
    parser.add_argument("--source", default=None, metavar="IP", help="listen to this sender's address only")
    parser.add_argument(
        "--expect", type=int, default=1, metavar="N", help="at least so many files (default %(default)s)"
    )


def _add_monitor(verbs: Any) -> None:
    parser = _verb(
        verbs, "monitor", _monitor, "at a station: verify what is on the air, keep it, report it", _MONITOR_EXAMPLES
    )
    _add_endpoint(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where what was verified is kept")
    parser.add_argument("--trust", type=Path, required=True, metavar="PUBKEY", help="the root's or sender's .pub")
    parser.add_argument("--status", choices=STATUSES, required=True, help="take notices of this status only")
    parser.add_argument("--report", required=True, metavar="URL", help="the node's: http://HOST:PORT/stations/NAME")
    parser.add_argument(
        "--secret-file", type=Path, required=True, metavar="FILE", help="the station's secret, as in the site file"
    )
    parser.add_argument(
        "--every", type=_positive, default=REPORT_EVERY_S, metavar="S", help="between reports (default %(default)g)"
    )
    parser.add_argument("--serve", metavar="HOST:PORT", help="show the notices to phones here")
    parser.add_argument(
        "--answers-to",
        type=Path,
        metavar="PUBKEY",
        help="with --serve: take residents' answers too, sealed with this key (`keygen --answers`)",
    )


def _add_dissect(verbs: Any) -> None:
    parser = _verb(
        verbs, "dissect", _dissect, "print the ALC packets of a capture", "example:\n  todoke multicast dissect a.pcap"
    )
    parser.add_argument("file", type=Path, metavar="PCAP")
    parser.add_argument("--port", type=int, default=3400, help="UDP port (default %(default)s)")
    parser.add_argument(
        "--trust", type=Path, metavar="PUBKEY", help="say of each packet whether it is signed by this key"
    )


def _keygen(args: argparse.Namespace) -> int:
    if args.answers:
        if args.root or args.certify_with:
            raise BadKey("--answers excludes --root and --certify-with")
        AnswerKey.generate().save(args.file)
    elif args.root:
        if args.certify_with:
            raise BadKey("--root and --certify-with exclude each other")
        RootKey.generate().save(args.file)
    else:
        root = load_root(args.certify_with) if args.certify_with else None
        SenderKey.generate(args.status, root, now_s=time.time(), days=args.days).save(args.file)
    _result(args, {"key": str(args.file), "public": f"{args.file}.pub"}, f"{args.file}\n{args.file}.pub")
    return DONE


def _send(args: argparse.Namespace) -> int:
    sent = asyncio.run(
        transfer.send(
            udp.Endpoint(args.group, args.port, args.iface),
            args.files,
            tsi=args.tsi,
            rate_bit_s=args.rate,
            key_file=args.key,
            seconds=args.seconds,
            identifier=args.notice,
            areas=tuple(args.area),
            severity=args.severity,
            valid_s=args.valid,
            say=_progress,
        )
    )
    _result(args, sent, f"{sent['packets']} packets, {sent['wire_bytes']} bytes on the wire in {sent['seconds']:.1f} s")
    return DONE


def _receive(args: argparse.Namespace) -> int:
    trust = load_trust(args.trust, args.status) if args.trust else None
    if args.status and not trust:
        raise BadKey("--status: needs --trust; what is unsigned says nothing of its status")
    got = asyncio.run(
        transfer.receive(
            udp.Endpoint(args.group, args.port, args.iface),
            args.out,
            tsi=args.tsi,
            trust=trust,
            source=args.source,
            expect=args.expect,
            timeout_s=args.timeout,
            say=_progress,
        )
    )
    _result(args, got, "\n".join(file["path"] for file in got["files"]))
    return DONE if got["complete"] else TIMED_OUT


def _monitor(args: argparse.Namespace) -> int:
    if args.serve and not re.fullmatch(r"\S+:[0-9]{1,5}", args.serve):
        raise transfer.BadInput(f"--serve: {args.serve}: accepted is HOST:PORT")
    if args.answers_to and not args.serve:
        raise transfer.BadInput("--answers-to: needs --serve")
    if not args.report.startswith(("http://", "https://")):
        raise transfer.BadInput(f"--report: {args.report}: accepted is http://HOST:PORT/stations/NAME")
    watching = Monitor(
        endpoint=udp.Endpoint(args.group, args.port, args.iface),
        reassembly=Reassembly(
            tsi=args.tsi,
            trust=load_trust(args.trust, args.status),
            wall=time.time,
            clock=time.monotonic,
            last_sequence=memory.recall(args.out),
        ),
        url=args.report,
        secret=args.secret_file.read_text(encoding="utf-8").strip(),
        folder=args.out,
        report_every_s=args.every,
        say=_progress,
    )
    with suppress(KeyboardInterrupt):
        asyncio.run(_stand(args, watching))
    return DONE


async def _stand(args: argparse.Namespace, watching: Monitor) -> None:
    """The station at work: listening, and serving phones where it is told to."""
    async with AsyncExitStack() as stack:
        if args.serve:
            host, _, port = args.serve.rpartition(":")
            forwarder = Forwarder(
                spool=Spool(args.out / "answers"),
                url=f"{args.report}/answers",
                secret=watching.secret,
                every_s=args.every,
                say=_progress,
            )
            post = Post(load_sealer(args.answers_to), forwarder, time.time) if args.answers_to else None
            phones = Phones(watching.whole, is_drill=args.status != "Actual")
            at = await stack.enter_async_context(serving(phones.application(post), host.strip("[]"), int(port)))
            _progress(f"phones: http://{at[0]}:{at[1]}/")
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            forwarding = tasks.create_task(forwarder.run())
            stack.callback(forwarding.cancel)
        await watching.run()


def _dissect(args: argparse.Namespace) -> int:
    # Scapy takes a second to load, and nobody else here needs it.
    from multicast.capture import BadCapture  # noqa: PLC0415 - as said
    from multicast.dissecting import dissected, line_of  # noqa: PLC0415 - as said

    trust = load_trust(args.trust) if args.trust else None
    counts: Counter[str] = Counter()
    packets = []
    try:
        for packet in dissected(args.file, args.port, trust):
            counts[packet["signed"]] += 1
            if args.output == "json":
                packets.append(packet)
            else:
                sys.stdout.write(line_of(packet) + "\n")
    except BadCapture as error:
        return _fail(str(error))
    if args.output == "json":
        sys.stdout.write(json.dumps({"packets": packets, "counts": counts}, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(", ".join(f"{n} {word}" for word, n in counts.items()) + "\n")
    return DONE


def _result(args: argparse.Namespace, values: dict[str, Any], text: str) -> None:
    sys.stdout.write((json.dumps(values, ensure_ascii=False) if args.output == "json" else text) + "\n")


def _progress(words: str) -> None:
    sys.stderr.write("".join(c if c.isprintable() else repr(c)[1:-1] for c in words) + "\n")
    sys.stderr.flush()


def _rate(text: str) -> float:
    number = text.lower().strip()
    unit = number.lstrip("0123456789.")
    try:
        rate = float(number[: len(number) - len(unit)]) * _RATE_UNITS[unit.strip()]
    except (ValueError, KeyError):
        rate = 0.0
    if not 1000 <= rate <= 1e10:
        raise argparse.ArgumentTypeError(f"{text!r}; accepted are 1k to 10G bit/s, such as 5000000, 5M or 500kbit/s")
    return rate


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r}; a number above 0 is accepted")
    return value


def _session(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < 1 << 32):
        raise argparse.ArgumentTypeError(f"{text!r}; accepted are 0 to 4294967295")
    return int(text)


def main() -> int:
    """`python -m multicast …`: the same verbs where only this package is wanted."""
    parser = argparse.ArgumentParser(prog="python -m multicast")
    command.add(parser.add_subparsers(required=True, metavar="multicast"))
    args = parser.parse_args(["multicast", *sys.argv[1:]])
    return int(args.run(args))
