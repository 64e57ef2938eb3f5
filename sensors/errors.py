"""The project's errors. Each lives on the lowest floor that raises it; these are shared by all floors.

A message says what, where, got, expected, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DriveFusionError(Exception):
    """Any error that this project raises on purpose."""


class ConfigError(DriveFusionError):
    """A setting, name, shape or device that cannot be used."""


class SensorFault(DriveFusionError):
    """A frame that breaks its contract: not finite, out of range, of another rig."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Say what a misspelt name may have meant, or what names there are.

    Args:
        name: What was given.
        known: The names that exist.

    Returns:
        One sentence fragment, e.g. ``"did you mean 'micro'?"``.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known: " + ", ".join(names)


def unknown_name(what: str, name: str, known: Iterable[str]) -> ConfigError:
    """Build the error for a name that is not one of ``known``."""
    return ConfigError(f"unknown {what} {name!r}; {did_you_mean(name, known)}")
