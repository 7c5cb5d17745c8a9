"""Each channel says the alert in its own form; the same call draws the staff's previews.

Source: design.md §2 "render", §6.
"""

from collections.abc import Mapping
from typing import Any

from dispatcher.channel import Channel
from dispatcher.errors import Finding
from dispatcher.model.alert import Alert
from dispatcher.model.audience import Audience
from dispatcher.model.mode import M
from dispatcher.model.rendering import Rendering


def render(
    alert: Alert[M], audiences: Mapping[str, Audience], channels: Mapping[str, Channel[M, Any]]
) -> dict[str, Rendering[M]]:
    """One rendering for each channel that has an audience."""
    return {kind: channels[kind].render(alert, audience) for kind, audience in audiences.items()}


def what_does_not_fit(renderings: Mapping[str, Rendering[M]]) -> tuple[Finding, ...]:
    """Every channel's findings, each at its channel."""
    return tuple(
        Finding(f"{kind}: {finding.where}", finding.reason, finding.blocks)
        for kind, rendering in renderings.items()
        for finding in rendering.findings
    )
