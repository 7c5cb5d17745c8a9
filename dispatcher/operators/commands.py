"""Every command for operators, for `todoke --help`."""

from typing import Any

from dispatcher.operators import backup, doctor, migrate, restore, rotation, unit


def add(commands: Any) -> None:
    backup.add(commands)
    restore.add(commands)
    migrate.add(commands)
    doctor.add(commands)
    unit.add(commands)
    rotation.add(commands)
