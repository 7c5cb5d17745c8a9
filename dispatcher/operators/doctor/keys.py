"""Keys, secrets and certificates: who may read them, and until when they hold.

The only door to `cryptography.x509`.

Source: RFC 5280 §4.1.2.5 (notAfter); facts.md §Wi-Fi multicast "Authentication" (a sender's key lives 30 days).
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509

from config.former import Former
from config.secret import Secret
from config.site import Site
from dispatcher.ledgers.beside import file_of
from dispatcher.operators.doctor.finding import Finding, broken, good, mend
from dispatcher.operators.kept import kept, walk

LARGEST_BYTES = 1_000_000
_PEM = b"-----BEGIN CERTIFICATE-----"


def permissions(site: Site) -> Iterator[Finding]:
    """What only the node may read: one finding for each file that others may read, or one that all is well."""
    ledger = file_of(site.dsn)
    private = [(one.where, one.path) for one in kept(site) if one.is_secret]
    private += [("ledger", ledger)] if ledger else []
    loose = [(where, path) for where, path in private if path.is_file() and path.stat().st_mode & 0o077]
    for where, path in loose:
        seen = f"{path} をほかの利用者が読めます (others may read it: {path.stat().st_mode & 0o777:o})"
        yield mend(f"権限 permissions {where}", seen, f"chmod 600 {path}")
    if not loose:
        yield good("権限 permissions", f"{len(private)} 個の秘密は節点だけのものです (for the node alone)")


def seal(site: Site) -> Finding:
    """Whether what authenticator apps are set up with is sealed in the ledger, and so in every backup."""
    what = "職員の秘密 accounts_key"
    if site.accounts_key is not None:
        return good(what, "二要素の元は封をして台帳に置かれます (second factors are sealed in the ledger)")
    return mend(
        what,
        "二要素の元が台帳と控えに平文で残ります (second factors stand in clear in the ledger and its backups)",
        "openssl rand -base64 32 > keys/accounts; accounts_key: {file: keys/accounts}",
    )


def ends(site: Site, now: datetime) -> Iterator[Finding]:
    """Everything that ends by itself: certificates in PEM, and what a channel knows of its own keys (`Settings.ends`)."""
    warn_s = site.operators.warn_before
    for one in kept(site):
        if one.path.is_file():
            yield from _certificates(one.where, one.path, now, warn_s)
    for setting in walk(site):
        formers = setting.value.formers if isinstance(setting.value, Secret) else ()
        yield from _formers(setting.where, formers, now)
    for kind, settings in site.channels.items():
        try:
            for field, at in getattr(settings, "ends", tuple)():
                yield _judged(f"channels.{kind}.{field}", at, now, warn_s)
        except ValueError as error:
            yield broken(f"鍵 key channels.{kind}", str(error), "鍵を入れ直してください (put in a usable key)")


def _formers(where: str, formers: Sequence[Former], now: datetime) -> Iterator[Finding]:
    """A key that is being changed: until when the one before is believed."""
    what = f"前の鍵 former key {where}"
    if held := [former for former in formers if former.holds(now)]:
        yield good(
            what, f"{max(f.until for f in held).astimezone(now.tzinfo):%Y-%m-%d %H:%M} まで有効です (believed until)"
        )
    elif formers:
        yield mend(
            what, "終わった鍵がまだ置いてあります (it has ended and still lies there)", f"todoke keys retire {where}"
        )


def _certificates(where: str, path: Path, now: datetime, warn_s: float) -> Iterator[Finding]:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES)
        if _PEM not in data:
            return
        certificates = x509.load_pem_x509_certificates(data)
    except (OSError, ValueError) as error:
        yield broken(
            f"証明書 certificate {where}", f"{path}: {error}", "PEM の証明書を置いてください (a PEM certificate)"
        )
        return
    soonest = min(certificates, key=lambda certificate: certificate.not_valid_after_utc)
    if soonest.not_valid_before_utc > now:
        words = f"{soonest.not_valid_before_utc:%Y-%m-%d} から有効です (not valid yet)"
        yield broken(
            f"証明書 certificate {where}", words, "時計か証明書を確かめてください (check clock and certificate)"
        )
        return
    yield _judged(where, soonest.not_valid_after_utc, now, warn_s)


def _judged(where: str, at: datetime, now: datetime, warn_s: float) -> Finding:
    what, left_s = f"期限 ends {where}", (at - now).total_seconds()
    words = f"{at.astimezone(now.tzinfo):%Y-%m-%d %H:%M} まで、あと {max(0.0, left_s) / 86_400:.0f} 日 (days left)"
    if left_s <= 0:
        return broken(what, f"{at.astimezone(now.tzinfo):%Y-%m-%d %H:%M} に切れました (has ended)", _NEW)
    return good(what, words) if left_s > warn_s else mend(what, words, _NEW)


_NEW = "新しいものに替えてください (replace it; todoke keys list shows which are ours to make)"
