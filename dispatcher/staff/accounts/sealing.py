"""What an authenticator app shares with the node, sealed before it is written down: a copy of the ledger opens nobody's app.

Passwords and codes are kept as hashes; this one thing must be read back, so it is encrypted with the site's own key
(`accounts_key` of the site file, the same on every node of a ledger). Who it belongs to is sealed in: nobody's secret can be
moved to another account. Without a key it is kept as it is, and `Seal` reads both, so a key can be set later.

Source: dispatcher/sealing.py; NIST SP 800-63B-4 §3.1.4.2.
"""

import base64

from config.secret import Secret
from dispatcher.errors import Refused
from dispatcher.sealing import Box, Unopened

MARK = "sealed-1:"


class Seal:
    """With a key, or without one."""

    def __init__(self, key: Secret | None) -> None:
        self._box = None if key is None else Box(key.reveal().encode(), "todoke accounts 1")

    def close(self, text: str, whose: str) -> str:
        """What to write down."""
        if self._box is None:
            return text
        return MARK + base64.urlsafe_b64encode(self._box.close(text.encode(), whose.encode())).decode()

    def open(self, kept: str, whose: str) -> str:
        """What was closed.

        Raises:
            Refused: it is sealed, and this node has not the key that it was sealed with.
        """
        if not kept.startswith(MARK):
            return kept
        data = base64.urlsafe_b64decode(kept.removeprefix(MARK))
        try:
            if self._box is not None:
                return self._box.open(data, whose.encode()).decode()
        except Unopened:
            pass
        raise Refused(
            "この節点の accounts_key では認証アプリの鍵を開けません。サイトの設定を確かめてください "
            "(this node's accounts_key does not open what is kept: check the site file)"
        )
