"""What a settings field means to those who run the node, said where the field is declared: `folder: Path = field(metadata=STATE)`.

So backup, doctor and the systemd unit find what concerns them by walking the settings, and a new channel needs no list.

Source: dataclasses "field(metadata=…)"; design.md §4 ("No list to extend").
"""

from collections.abc import Mapping
from types import MappingProxyType

PRIVATE: Mapping[str, str] = MappingProxyType({"is": "private"})
"""A file that nobody but the node may read."""
STATE: Mapping[str, str] = MappingProxyType({"is": "state"})
"""A folder that the node fills and needs again: it belongs into a backup."""
FILLED: Mapping[str, str] = MappingProxyType({"is": "filled"})
"""A folder that the node fills for somebody else."""
LISTENS: Mapping[str, str] = MappingProxyType({"is": "listens"})
"""HOST:PORT at which the node listens."""
OURS: Mapping[str, str] = MappingProxyType({"is": "ours"})
"""A secret that is ours to make, so `todoke keys rotate` can change it; all others are given to us."""
