"""The second factor that is typed: six digits from an app (TOTP), each taken once, and recovery codes for a lost phone.

The step whose code was taken is kept, and no code of that step or an earlier one is taken again, so a code read over the
shoulder or off the wire is worth nothing. The only door to pyotp.

Source: RFC 6238 §5.2 (one step either side; a code is used once); RFC 4226 §4 R6 (160 bits); SP 800-63B-4 §3.1.2, §3.1.4.
"""

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Sequence
from datetime import datetime

import pyotp
from pyotp.exceptions import OTPVerificationError

STEPS_EITHER_SIDE = 1
RECOVERY_CODES = 10
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""What cannot be mistaken on paper: no I, O, 0, 1. Sixteen of these are 80 bits."""


def new_secret() -> str:
    """160 random bits in base 32."""
    return pyotp.random_base32(32)


def uri(secret: str, name: str, issuer: str) -> str:
    """otpauth://, what a QR code hands to the app."""
    return pyotp.TOTP(secret, name=name, issuer=issuer).provisioning_uri()


def step_of(secret: str, typed: str, now: datetime, *, after: int) -> int | None:
    """The time step whose code this is, if it is one that may still be used; `after` is the last one used."""
    digits = plain(typed)
    if not re.fullmatch(r"[0-9]{6}", digits):
        return None
    try:
        step = pyotp.TOTP(secret).verify_and_get_timecode(digits, for_time=now, valid_window=STEPS_EITHER_SIDE)
    except OTPVerificationError:
        return None
    return step if step > after else None


def plain(typed: str) -> str:
    """A code as it is compared: half width, capitals, without the gaps it was typed with."""
    return re.sub(r"[\s\-‐－ー]", "", unicodedata.normalize("NFKC", typed[:64])).upper()


def new_codes(count: int = RECOVERY_CODES) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Codes to hand over once, as ABCD-EFGH-JKLM-NPQR, and what is kept of each."""
    codes = ["".join(secrets.choice(_ALPHABET) for _ in range(16)) for _ in range(count)]
    return tuple("-".join(re.findall("....", code)) for code in codes), tuple(map(kept_of, codes))


def kept_of(code: str) -> str:
    """What is kept of a code: 80 random bits need no slow hash, there is nothing to guess."""
    return hashlib.sha256(plain(code).encode("utf-8", "surrogatepass")).hexdigest()


def without(typed: str, kept: Sequence[str]) -> tuple[str, ...] | None:
    """What is left of these recovery codes after this one was used; None if it is none of them."""
    used = kept_of(typed)
    return tuple(code for code in kept if code != used) if used in kept else None
