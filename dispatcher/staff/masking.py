"""A subscriber's address as far as staff need it: whose provider, not whose. No door shows more, whoever asks.

Who signed up for mail may be somebody whose whereabouts nobody may know (閲覧制限), and nothing tells us so.

Source: design.md §8 "A 閲覧制限 flag beats every other rule of showing"; mockups README.
"""

from dataclasses import replace

from dispatcher.ledger import DestinationStatus


def masked(address: str) -> str:
    """A mail address with the first letter of its local part left; anything else as it is. Masked twice is masked once."""
    local, at, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}" if at else address


def without_address(status: DestinationStatus) -> DestinationStatus:
    """The same, where the medium's own words repeat the address as well."""
    if "@" not in status.address:
        return status
    shown = masked(status.address)
    return replace(status, address=shown, words=status.words.replace(status.address, shown))
