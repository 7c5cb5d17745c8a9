"""`todoke keys`: a key of ours is changed while the one before is still believed, and nobody is shut out in between.

What both sides hold (links in mails, a station's reports, the terminals' public key) is sealed with the new key from the next
start on and believed under either until the former one's end. A multicast key is believed for what the city's root says of it,
so a new one with a certificate takes over at once and the receivers learn it from the packets.

What others give us (X, the mail relay, a certificate authority) is theirs to change: such a secret is refused here by name.

Source: issue "key and token rotation without a gap"; config/former.py.
"""

import argparse
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from config import former
from config.former import Former
from config.secret import Secret
from config.site import Site
from config.units import DURATION, parse
from dispatcher.clock import SystemClock
from dispatcher.errors import Finding, InvalidInput, NotFound, Refused
from dispatcher.operators.command import DONE, answering, command, shown, site_of
from dispatcher.operators.kept import Setting, walk

OVERLAP = "30 d"
LONGEST_OVERLAP_S = 400 * 86_400.0
_SENDER = "todoke-sender-key"
_RESTART = "節点を再起動すると使い始めます (in use from the node's next start): systemctl restart todoke"


def add(commands: Any) -> None:
    verbs = commands.add_parser("keys", help="鍵を替える (change the node's own keys without a gap)").add_subparsers(
        dest="what", required=True, metavar="list|rotate|retire"
    )
    answering(
        command(
            verbs, "list", _list, "鍵の一覧 (every key: whose it is, until when)", "todoke keys list --site site.yaml"
        )
    )
    rotate = command(
        verbs,
        "rotate",
        _rotate,
        "新しい鍵にする。前の鍵もしばらく有効 (a new key; the one before is believed for a while)",
        "todoke keys rotate email_list.secret --site site.yaml --overlap '30 d'",
    )
    rotate.add_argument("key", metavar="KEY", help="its place in the site file: email_list.secret, ip_terminal, …")
    rotate.add_argument(
        "--overlap", default=OVERLAP, metavar="TIME", help=f"how long the one before is believed ({OVERLAP})"
    )
    rotate.add_argument(
        "--with", dest="new", type=Path, metavar="FILE", help="a new sender's key, made where the root is"
    )
    retire = command(
        verbs,
        "retire",
        _retire,
        "前の鍵を今すぐ終わりにする (end a former key now: it was lost, or all have the new one)",
        "todoke keys retire email_list.secret --site site.yaml",
    )
    retire.add_argument("key", metavar="KEY")
    for parser in (rotate, retire):
        answering(parser)


def _keys(site: Site) -> Iterator[Setting]:
    """Every key that the site file names: secrets, and the files that only the node may read."""
    for setting in walk(site):
        if isinstance(setting.value, Secret) or (setting.mark == "private" and _is_sender(setting.value)):
            yield setting


def _is_sender(value: Any) -> bool:
    return isinstance(value, Path) and _values(value).get("kind") == _SENDER


def _list(args: argparse.Namespace) -> int:
    site, now = site_of(args), SystemClock().now()
    ends = dict(_ends(site))
    listed = []
    for key in _keys(site):
        formers = [f.until for f in key.value.formers if f.holds(now)] if isinstance(key.value, Secret) else []
        listed.append(
            {
                "key": key.where,
                "is_ours": key.mark in {"ours", "private"},
                "source": key.value.source if isinstance(key.value, Secret) else f"file {key.value}",
                "former_until": max(formers).isoformat() if formers else None,
                "ends": ends[key.where].isoformat() if key.where in ends else None,
            }
        )
    lines = [
        f"{'替えられる ours ' if one['is_ours'] else '先方の鍵 theirs'}  {one['key']}  {one['source']}"
        + (f"  前の鍵は {one['former_until']} まで (former until)" if one["former_until"] else "")
        + (f"  {one['ends']} まで (ends)" if one["ends"] else "")
        for one in listed
    ]
    shown(args, {"keys": listed}, lines)
    return DONE


def _named(site: Site, name: str) -> Setting:
    """The key of this place; `channels.` and what leaves no doubt may be left out.

    Raises:
        NotFound: none, or more than one.
        Refused: it is another's to change.
    """
    keys = list(_keys(site))
    exact = [key for key in keys if name in {key.where, key.where.removeprefix("channels.")}]
    near = exact or [k for k in keys if k.mark in {"ours", "private"} and k.where.startswith(f"channels.{name}.")]
    if len(near) != 1:
        ours = ", ".join(key.where.removeprefix("channels.") for key in keys if key.mark in {"ours", "private"})
        raise NotFound(
            f"{name}: どの鍵かわかりません。替えられるのは {ours or 'ありません'} (which key? ours are these)"
        )
    if near[0].mark not in {"ours", "private"}:
        raise Refused(
            f"{name} は先方からもらう鍵です。新しいものをもらい、置き換えてください (it is given to us, not ours to make)"
        )
    return near[0]


def _rotate(args: argparse.Namespace) -> int:
    site, now = site_of(args), SystemClock().now()
    key = _named(site, args.key)
    if isinstance(key.value, Path):
        return _rotate_sender(args, site, key.where, key.value)
    if args.new is not None:
        raise InvalidInput([Finding("--with", "この鍵は命令が作ります (this key is made here)")])
    path, until = _file(key), now + timedelta(seconds=_overlap_s(args.overlap))
    old = path.read_text(encoding="utf-8").strip()
    formers = [Former(old, until), *(f for f in key.value.formers if f.holds(now))]
    if len(formers) > former.MOST:
        raise Refused(f"前の鍵が {former.MOST} 個あります。終わるのを待つか、retire してください (too many at once)")
    # First the former one: should the machine stop in between, both files bear the same key and nobody is shut out.
    _write(former.beside(path), former.write(formers), like=path)
    _write(path, _fresh(path, old), like=path)
    hands_out = _handed_out(site_of(args), key.where)
    answer = {"key": key.where, "former_until": until.isoformat(), "hand_out": hands_out}
    lines = [f"● {key.where} を新しくしました (changed)。前の鍵は {until:%Y-%m-%d %H:%M} まで有効です (believed until)"]
    lines += [f"  相手に渡すもの (to hand out): {hands_out}"] if hands_out else []
    if not hands_out and key.where.startswith("channels.wifi_multicast.stations"):
        lines.append(f"  駅の監視受信機にも新しい鍵を (give it to the station's receiver): {path}")
    shown(args, answer, [*lines, f"  {_RESTART}"])
    return DONE


def _handed_out(site: Site, where: str) -> str:
    """What the other side needs to know of the new key, in hexadecimal; "" if nothing."""
    for kind, settings in site.channels.items():
        for field, public in getattr(settings, "hands_out", tuple)():
            if where == f"channels.{kind}.{field}":
                return str(public)
    return ""


def _file(key: Setting) -> Path:
    path = key.value.path
    if path is None:
        reason = f"{key.where} は {key.value.source} から来ます。{{file: …}} に置いたものだけ替えられます (only a key in a file)"
        raise Refused(reason)
    return Path(path)


def _overlap_s(text: str) -> float:
    try:
        overlap_s = parse(DURATION, text)
    except ValueError as error:
        raise InvalidInput([Finding("--overlap", str(error))]) from None
    if not 0 < overlap_s <= LONGEST_OVERLAP_S:
        raise InvalidInput(
            [Finding("--overlap", f"{LONGEST_OVERLAP_S / 86_400:.0f} d まで (more than 0, 400 d at most)")]
        )
    return overlap_s


def _fresh(path: Path, old: str) -> str:
    """A new key in the form of the old one: 256 random bits in hexadecimal, or a sender's key file around them."""
    seed = secrets.token_hex(32)
    values = _values(path) if old.startswith("{") else {}
    return json.dumps({**values, "seed": seed, "certificate": None}) + "\n" if values else seed + "\n"


def _rotate_sender(args: argparse.Namespace, site: Site, where: str, path: Path) -> int:
    """A multicast sender's key comes from where the root is; its certificate is what receivers believe."""
    if args.new is None:
        reason = (
            "親鍵のある機械で todoke multicast keygen NEW --certify-with ROOT --status … を実行し、--with NEW で渡してください "
            "(make it where the root's key is, then give it with --with)"
        )
        raise InvalidInput([Finding("--with", reason)])
    old, new = _values(path), _values(args.new)
    wrong = []
    if new.get("kind") != _SENDER:
        wrong.append(f"{args.new}: 送信者の鍵ではありません (no {_SENDER})")
    elif new.get("status") != old.get("status"):
        wrong.append(f"{args.new}: {new.get('status')} の鍵です。今の鍵は {old.get('status')} (for the other mode)")
    elif not old.get("certificate") or not new.get("certificate"):
        wrong.append(
            "証明書のない鍵は、受信機が鍵そのものを信じているので、途切れずには替えられません。親鍵 (--root) を使ってください "
            "(without a certificate receivers trust the key itself, and there is no way without a gap: use a root)"
        )
    if wrong:
        raise InvalidInput([Finding("--with", reason) for reason in wrong])
    _, kind, field = where.split(".")
    try:
        ends = dict(replace(site.channels[kind], **{field: args.new}).ends())[field]
    except ValueError as error:
        raise InvalidInput([Finding("--with", str(error))]) from None
    if ends <= SystemClock().now():
        raise InvalidInput([Finding("--with", f"{args.new}: {ends:%Y-%m-%d %H:%M} に切れています (has ended)")])
    before = path.with_name(f"{path.name}.before-{SystemClock().now():%Y%m%dt%H%M%S}")
    _write(before, path.read_text(encoding="utf-8"), like=path)
    _write(path, args.new.read_text(encoding="utf-8"), like=path)
    answer = {"key": where, "kept": str(before), "ends": ends.isoformat()}
    line = f"● {where} を新しくしました。{ends:%Y-%m-%d} まで。前の鍵は {before} (changed; the former one is kept)"
    shown(args, answer, [line, f"  {_RESTART}"])
    return DONE


def _ends(site: Site) -> Iterator[tuple[str, datetime]]:
    for kind, settings in site.channels.items():
        for field, at in getattr(settings, "ends", tuple)():
            yield f"channels.{kind}.{field}", at


def _retire(args: argparse.Namespace) -> int:
    key = _named(site_of(args), args.key)
    if isinstance(key.value, Path) or not key.value.formers:
        raise Refused(f"{key.where} に前の鍵はありません (it has no former key)")
    path = former.beside(_file(key))
    path.unlink()
    shown(args, {"key": key.where}, [f"● {key.where} の前の鍵を終わりにしました (ended)", f"  {_RESTART}"])
    return DONE


def _values(path: Path) -> Mapping[str, Any]:
    """A key file's JSON; nothing if it is none."""
    try:
        with path.open("rb") as file:
            values = json.loads(file.read(65_536))
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _write(path: Path, text: str, *, like: Path) -> None:
    """Whole or not at all, for the same owner as the other file and for nobody else."""
    coming, owner = path.with_name(path.name + ".coming"), like.stat()
    coming.unlink(missing_ok=True)
    with open(os.open(coming, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123 - mode from the first byte on
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if os.geteuid() == 0:
        os.chown(coming, owner.st_uid, owner.st_gid)
    coming.rename(path)
