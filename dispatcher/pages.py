"""The door to Jinja2: pages that escape whatever they are given and fail on a name that nobody gave them.

Source: Jinja2 3.1 "API", autoescaping and `StrictUndefined`.
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, TemplateError
from markupsafe import Markup

__all__ = ["Environment", "Markup", "Template", "TemplateError", "environment"]


def environment(folder: Path) -> Environment:
    """The templates of one folder. They are read once: nobody edits them under a running node."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
