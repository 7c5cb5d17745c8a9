"""Every log line there is: its event name and its keys are listed here, and a test reads every call against the list.

Never an alert's text, a resident's address, a token or a secret: a log is copied to places that a message never goes.

Source: style.md "Logs"; structlog 25 "Standard library logging".
"""

import logging
import sys
from typing import Any

import structlog

EVENTS: dict[str, frozenset[str]] = {
    name: frozenset(keys.split())
    for name, keys in {
        "node.started": "mode site",
        "channel.failed": "channel reason",
        "ledger.retrying": "reason",
        "ledger.reclaimed": "rows",
        "ledger.migrated": "before now",
        "attempt.failed": "delivery_id channel",
        "delivery.sent": "delivery_id channel identifier attempt taken refused",
        "delivery.deferred": "delivery_id channel identifier attempt retry_in_s",
        "breaker.opened": "channel open_s",
        "terminal.refused": "reason peer",
        "terminal.dropped": "reason",
        "terminal.register_kept": "reason",
        "mail.undelivered": "reason",
        "mail.incoming_failed": "reason",
        "social.unlooked": "reason",
        "social.forgetful": "reason",
        "station.refused": "reason",
        "intake.taken": "source type decision",
        "intake.ignored": "source type reason",
        "intake.refused": "source reason",
        "intake.unsent": "reason",
        "source.failed": "source reason",
        "duty.untold": "reason",
        "facilities.register_kept": "reason",
        "api.failed": "method path",
        "listener.failed": "listener reason",
        "residents.failed": "reason",
        "push.failed": "reason",
    }.items()
}


def logger(room: str) -> Any:
    """The logger of one room; `room` is the module's name."""
    return structlog.get_logger(room)


def to_stderr(level: int = logging.WARNING) -> None:
    """Log to standard error: for people when it is a terminal, one JSON object a line otherwise."""
    renderer: Any = (
        structlog.dev.ConsoleRenderer()
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=False),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # Whatever standard error is when the line is written: it may have been replaced since.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
