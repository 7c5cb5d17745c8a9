"""Areas become audiences, channel by channel, with a head count. No area, no alert: it fails closed.

Source: design.md §2 "address".
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from dispatcher.channel import Channel
from dispatcher.errors import Finding, InvalidInput
from dispatcher.model.audience import Audience
from dispatcher.model.mode import M
from dispatcher.model.topic import Topic


async def address(
    quarters: Sequence[str], channels: Mapping[str, Channel[M, Any]], topic: Topic, *, also: Collection[str] = ()
) -> dict[str, Audience]:
    """The audience of these quarters on every channel that reaches somebody there who wants to hear of this topic.

    `also`: kinds that reach a facility there.

    Raises:
        InvalidInput: no quarter was named, or no channel can reach anybody in them.
    """
    if not quarters:
        raise InvalidInput([Finding("area", "対象区域がありません。町丁目か市の全域を指定してください (no area)")])
    audiences = {kind: await channel.audience_for(quarters, topic) for kind, channel in channels.items()}
    # A register that is empty or broken takes its own medium away, never the site and the others with it.
    reached = {kind: audience for kind, audience in audiences.items() if audience.head_count != 0 or kind in also}
    if not reached:
        raise InvalidInput([Finding("area", "この区域には届ける相手がいません (nobody to reach in this area)")])
    return reached
