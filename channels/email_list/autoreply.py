"""Whom an automatic answer may go to: a person who wrote, never a machine, a list, a bounce, ourselves.

Every rule here ends a mail loop: two programs that answer each other would do so for ever.

Source: RFC 3834 §2 (when not to answer), §4 (to the return path alone), §5 (Auto-Submitted); RFC 2919 §3; RFC 5321 §6.1.
"""

import re
from collections.abc import Collection
from email.parser import BytesHeaderParser
from email.policy import compat32

from channels.email_list.subscribers import is_address

HEAD_BYTES = 65_536
_MACHINE = re.compile(
    r"(?:mailer-daemon|postmaster|root|daemon|nobody|uucp|no-?reply|do-?not-?reply|bounces?|listserv|majordomo|abuse)"
    r"|owner-.*|.*-(?:request|owner|bounces?|relay|errors)|.*\+b-.*|bounces?[+-].*|prvs=.*|srs[01][=+-].*",
    re.IGNORECASE,
)
_LIST = (
    "List-Id",
    "List-Unsubscribe",
    "List-Post",
    "List-Help",
    "Mailing-List",
    "Feedback-ID",
    "X-Autoreply",
    "X-Autorespond",
)
_PRECEDENCE = frozenset({"bulk", "list", "junk", "auto_reply"})


def may_answer(return_path: str, data: bytes, ours: Collection[str]) -> bool:
    """`return_path`: the envelope's; `ours`: our own addresses in small letters, each with whatever stands behind a `+`."""
    if not is_address(return_path):
        return False  # the null sender of a bounce, or what could not be written on the wire
    local, _, domain = return_path.lower().rpartition("@")
    if _MACHINE.fullmatch(local) or f"{local.partition('+')[0]}@{domain}" in ours:
        return False
    head = BytesHeaderParser(policy=compat32).parsebytes(data[:HEAD_BYTES])
    submitted = str(head.get("Auto-Submitted", "no")).partition(";")[0].strip().lower()
    precedence = str(head.get("Precedence", "")).strip().lower()
    return (
        submitted == "no"
        and precedence not in _PRECEDENCE
        and not any(name in head for name in _LIST)
        and "oof" not in str(head.get("X-Auto-Response-Suppress", "")).lower()
    )


def message_id(data: bytes) -> str:
    """Of the mail that is answered, where it can stand in a header of ours as it is; else ""."""
    head = BytesHeaderParser(policy=compat32).parsebytes(data[:HEAD_BYTES])
    said = str(head.get("Message-ID", "")).strip()
    return said if re.fullmatch(r"<[!-;=?-~]{1,250}>", said) else ""
