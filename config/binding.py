"""Binds a YAML document to frozen dataclasses: generic, so that each channel's settings stay in that channel's module.

A settings class is a frozen, keyword-only dataclass. A field without a default is required. Its type says what is accepted:
str, bool, int, float, Path (relative to the site file), Secret, the quantities of units.py, a StrEnum, Literal, another
settings class, tuple[T, ...], Mapping[str, T], and any of them | None. A class may check itself in
`def problems(self) -> Iterable[tuple[str, str]]` (field, reason), called when its fields bound.
"""
