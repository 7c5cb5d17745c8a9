"""What an authenticator app shares with the node, sealed before it is written down: a copy of the ledger opens nobody's app.

Passwords and codes are kept as hashes; this one thing must be read back, so it is encrypted with the site's own key
(`accounts_key` of the site file, the same on every node of a ledger). Who it belongs to is sealed in: nobody's secret can be
moved to another account. Without a key it is kept as it is, and `Seal` reads both, so a key can be set later. The only door to
cryptography's AES.

Source: NIST SP 800-38D §8.2 (96 random bits for each message); RFC 5869 (HKDF); SP 800-63B-4 §3.1.4.2.
"""

import base64
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from config.secret import Secret
from dispatcher.errors import Refused

MARK = "sealed-1:"
NONCE_BYTES = 12


class Seal:
    """With a key, or without one."""

    def __init__(self, key: Secret | None) -> None:
        self._box: AESGCM | None = None
        if key is not None:
            derived = HKDF(hashes.SHA256(), 32, salt=None, info=b"todoke accounts 1").derive(key.reveal().encode())
            self._box = AESGCM(derived)

    def close(self, text: str, whose: str) -> str:
        """What to write down."""
        if self._box is None:
            return text
        nonce = secrets.token_bytes(NONCE_BYTES)
        return MARK + base64.urlsafe_b64encode(nonce + self._box.encrypt(nonce, text.encode(), whose.encode())).decode()

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
                return self._box.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], whose.encode()).decode()
        except InvalidTag:
            pass
        raise Refused(
            "この節点の accounts_key では認証アプリの鍵を開けません。サイトの設定を確かめてください "
            "(this node's accounts_key does not open what is kept: check the site file)"
        )
