"""Every command for operators, for `todoke --help`."""

from typing import Any

from dispatcher.operators import migrate


def add(commands: Any) -> None:
    migrate.add(commands)
