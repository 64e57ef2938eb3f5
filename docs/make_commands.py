"""Write docs/commands.md from the command line itself: ``python docs/make_commands.py``. A test holds the page to it."""

from __future__ import annotations

import ast
import inspect
from dataclasses import MISSING, Field, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from drive_fusion.bench import SUITES
from drive_fusion.cli import COMMANDS

PAGE = Path(__file__).parent / "commands.md"


def named(path: str) -> Any:
    """Import ``module:name``."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def field_texts(config: type) -> dict[str, str]:
    """The docstring line below each field."""
    body = ast.parse(inspect.getsource(config)).body[0].body  # type: ignore[attr-defined]
    texts = {}
    for field, text in zip(body, body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            texts[field.target.id] = " ".join(str(text.value.value).split())  # type: ignore[union-attr]
    return texts


def default_text(field: Field[Any]) -> str:
    """A field's default as the page shows it."""
    value = field.default if field.default is not MISSING else field.default_factory() if field.default_factory is not MISSING else MISSING
    if value is MISSING:
        return "needed"
    return "none" if value is None or value == () else f"`{value}`"


def option_rows(config: type) -> list[str]:
    """A table of a configuration's options."""
    return ["| option | default | meaning |", "|---|---|---|", *_rows(config, "")]


def _rows(config: type, group: str) -> list[str]:
    texts, rows = field_texts(config), []
    for field in fields(config):
        if is_dataclass(field.default):
            rows += _rows(type(field.default), f"{group}{field.name}.")
            continue
        meaning = texts.get(field.name, "").replace("|", "\\|")
        option = field.name.upper() if "Positional" in str(field.type) else f"--{group}{field.name.replace('_', '-')}"
        rows.append(f"| `{option}` | {default_text(field)} | {meaning} |")
    return rows


def page() -> str:
    """The whole page."""
    lines = [
        "# Commands",
        "",
        "Written by `python docs/make_commands.py` from the commands themselves; `drive-fusion COMMAND --help` says the same.",
        "",
    ]
    for name, command in COMMANDS.items():
        lines += [f"## drive-fusion {name}", "", command.summary[0].upper() + command.summary[1:] + ".", ""]
        if command.config:
            lines += [*option_rows(named(command.config)), ""]
        else:
            lines += ["`--json FILE` saves a suite's result; `drive-fusion bench compare A.json B.json` puts two side by side.", ""]
            for suite_name, suite in SUITES.items():
                lines += [f"### drive-fusion bench {suite_name}", "", suite.summary[0].upper() + suite.summary[1:] + ".", ""]
                lines += [*option_rows(named(suite.config)), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"wrote {PAGE}")
