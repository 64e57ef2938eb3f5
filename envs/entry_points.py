"""What gymnasium's registry points to: ``envs.entry_points:single/<id>`` and ``envs.entry_points:vector/<id>``.

The ids are names of this module and not keyword arguments, because ``gymnasium.make_vec(..., vectorization_mode="sync")`` hands the
arguments of an entry on to ``make``, whose own first argument is called ``id``. Nothing heavy is imported before one is looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from envs.ids import IDS


def __getattr__(name: str) -> Callable[..., Any]:
    """The class of an id's environments, with the id filled in; gymnasium reads its ``metadata``."""
    kind, _, id = name.partition("/")
    if kind not in ("single", "vector") or id not in IDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if kind == "single":
        from envs.gym import DrivingEnv as cls
    else:
        from envs.vector import DrivingVectorEnv as cls  # type: ignore[assignment]
    made = partial(cls, id)
    made.metadata = cls.metadata  # type: ignore[attr-defined]
    return made
