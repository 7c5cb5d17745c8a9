"""Everything that staff may ask at a command line, in the order in which `todoke --help` lists it.

    drafting.py   a message, from the first word to the key that sends     keeping.py    areas, by hand, reports
    watching.py   the board, now and then; what happened                   people.py     tokens, sessions, proposals
    switching.py  media and the node, open and closed                      applying.py   what a file declares
    shelters.py   what each shelter is now                           mailing.py    the list of registered mail
    safety.py     asking residents, and what they said               roster.py     who they are
    interchange.py  people's states, out and in

The node holds every rule; these commands ask it over its API (dispatcher/staff/api) with the person's own token.

Source: design.md §9.
"""

from typing import Any

from dispatcher.staff.cli import (
    applying,
    drafting,
    interchange,
    keeping,
    mailing,
    people,
    reaching,
    roster,
    safety,
    shelters,
    standing,
    switching,
    watching,
)


def add(commands: Any) -> None:
    """Register every staff command."""
    for room in (
        drafting,
        watching,
        switching,
        keeping,
        shelters,
        reaching,
        safety,
        standing,
        roster,
        interchange,
        mailing,
        people,
        applying,
    ):
        room.add(commands)
