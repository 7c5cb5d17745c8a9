"""`safety:` of a site file: the key under which the roster and each campaign's own key are sealed.

    safety:
      key: {file: keys/safety}        # openssl rand -base64 32 > keys/safety

Without it the node keeps no roster and asks nobody whether they are safe. It is the same on every node of a ledger, and never
changed alone: a roster that was sealed with another one is imported anew.

Source: design.md §8 "Privacy".
"""

from collections.abc import Iterable
from dataclasses import dataclass

from config.secret import Secret

KEY_CHARACTERS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Safety:
    key: Secret

    def problems(self) -> Iterable[tuple[str, str]]:
        if len(self.key.reveal()) < KEY_CHARACTERS:
            yield (
                "key",
                f"{KEY_CHARACTERS} random characters are needed, as `openssl rand -base64 {KEY_CHARACTERS}` prints them",
            )
