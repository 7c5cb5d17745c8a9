"""The pace: when the next packet may leave so that the group never takes more than its rate.

Multicast has no congestion control and a Wi-Fi access point sends it at its lowest rate, so whatever exceeds the airtime
takes it from everybody else. Bits are counted as the cable sees them, with IP and UDP headers. Deadlines rather than
pauses: a late wake-up is made up for, within limits, so that the rate holds on a busy machine.

Source: RFC 5775 §2.2 (rate control is the session's duty); RFC 768, RFC 791 §3.1, RFC 8200 §3 (header sizes).
"""

from collections.abc import Callable
from typing import Final

_MOST_CATCH_UP_S: Final = 0.02


class Pacer:
    """Time slots at `rate_bit_s`. `header_bytes` are added to each packet: 28 for IPv4, 48 for IPv6."""

    def __init__(self, rate_bit_s: float, header_bytes: int, clock: Callable[[], float]) -> None:
        if rate_bit_s <= 0:
            raise ValueError(f"a rate of {rate_bit_s:g} bit/s; accepted is more than 0")
        self._rate_bit_s = rate_bit_s
        self._header_bytes = header_bytes
        self._clock = clock
        self._free_s = clock()

    def delay_s(self) -> float:
        """Seconds until the next packet may leave; 0 when it may leave now."""
        return max(0.0, self._free_s - self._clock())

    def took(self, payload_bytes: int) -> None:
        """A slot of this many bytes of UDP payload begins now."""
        start_s = max(self._free_s, self._clock() - _MOST_CATCH_UP_S)
        self._free_s = start_s + (payload_bytes + self._header_bytes) * 8 / self._rate_bit_s


class TokenBucket:
    """At most `burst` at once and `rate_s` a second: what a receiver spends on strangers' signatures."""

    def __init__(self, rate_s: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate_s = rate_s
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._at_s = clock()

    def take(self) -> bool:
        now_s = self._clock()
        self._tokens = min(self._burst, self._tokens + max(0.0, now_s - self._at_s) * self._rate_s)
        self._at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
