"""Scenes that are made when somebody looks at them: most steps of a world are never looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from threading import Lock
from typing import Any

from sensors.batch import Batch
from sensors.scene import Scene

NAMES = tuple(field.name for field in fields(Scene))

_own: Callable[[Any], dict[str, Any]] = vars(Batch)["__dict__"].__get__
"""What ``vars`` gives of other objects; here that makes the scene."""

_making = Lock()
"""A world waits with moving on while another thread has its scene made."""


class LaterScene(Scene):
    """Becomes a plain ``Scene`` when the first of its fields is asked for; its world must not move on before ``keep`` was called."""

    @classmethod
    def of(cls, make: Callable[[Any], Scene]) -> LaterScene:
        """Promise a scene; ``make`` makes it of what ``keep`` was given, or of the world as it stands (None)."""
        scene = cls.__new__(cls)
        _own(scene).update(_make=make, _kept=None)
        return scene

    def keep(self, records: Callable[[], Any]) -> None:
        """Remember what it is to be made of, because the world moves on; nothing happens if it is made already."""
        mine = _own(self)
        with _making:
            if "_make" in mine:
                mine["_kept"] = records()

    def made(self) -> dict[str, Any]:
        """The fields; from now on they are all that there is."""
        mine = _own(self)
        with _making:
            if "_make" in mine:
                fresh = vars(mine["_make"](mine["_kept"]))
                del mine["_make"], mine["_kept"]
                mine.update(fresh)
        object.__setattr__(self, "__class__", Scene)
        return mine

    def __getattr__(self, name: str) -> Any:
        if name not in NAMES:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self.made()[name]

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        return {name: value for name, value in self.made().items() if name in NAMES}

    def __reduce__(self) -> tuple[type[Scene], tuple[Any, ...]]:
        """Copied and pickled as the plain scene."""
        made = self.made()
        return Scene, tuple(made[name] for name in NAMES)
