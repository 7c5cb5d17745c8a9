"""Each channel says the alert in its own form; the same call draws the staff's previews.

A rendering is a function of the alert and its audience alone, so what was rendered for a preview is not rendered again for the
check at the approval, nor for the sending: between the key press and the first byte each channel draws once.

Source: design.md §2 "render", §6.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic

from dispatcher import cap
from dispatcher.channel import Channel
from dispatcher.errors import Finding
from dispatcher.model.alert import Alert
from dispatcher.model.audience import Audience
from dispatcher.model.mode import M
from dispatcher.model.rendering import Rendering

KEPT = 64
"""Lately used; what falls out is rendered anew."""

_Key = tuple[bytes, str, Audience]


@dataclass(frozen=True, slots=True)
class Renderer(Generic[M]):
    """Renders for the channels of one node."""

    channels: Mapping[str, Channel[M, Any]]
    _kept: "OrderedDict[_Key, Rendering[M]]" = field(default_factory=OrderedDict)

    async def render(self, alert: Alert[M], audiences: Mapping[str, Audience]) -> dict[str, Rendering[M]]:
        """One rendering for each channel that has an audience, all channels at work at the same time.

        Raises:
            InvalidInput: a channel cannot say it at all.
            ModeLeak: the alert is of the other mode.
        """
        message = hashlib.sha256(cap.write(alert)).digest()
        keys = {kind: (message, kind, audience) for kind, audience in audiences.items()}
        missing = [kind for kind, key in keys.items() if key not in self._kept]
        # Drawing a TV loop takes a third of a second: not on the loop that everybody else lives on.
        drawing = [asyncio.to_thread(self.channels[kind].render, alert, audiences[kind]) for kind in missing]
        failures: list[Exception] = []
        async with asyncio.TaskGroup() as tasks:
            for kind, one in zip(missing, drawing, strict=True):
                tasks.create_task(self._keep(keys[kind], one, failures))
        for failure in failures:
            raise failure
        found = {kind: self._kept[key] for kind, key in keys.items()}
        for key in keys.values():
            self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found

    async def _keep(self, key: _Key, drawing: Any, failures: list[Exception]) -> None:
        try:
            self._kept[key] = await drawing
        except Exception as failure:  # noqa: BLE001 - kept, so that it leaves as itself and not in a group
            failures.append(failure)


def what_does_not_fit(renderings: Mapping[str, Rendering[M]]) -> tuple[Finding, ...]:
    """Every channel's findings, each at its channel."""
    return tuple(
        Finding(f"{kind}: {finding.where}", finding.reason, finding.blocks)
        for kind, rendering in renderings.items()
        for finding in rendering.findings
    )
