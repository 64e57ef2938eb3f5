"""Weather and faults of a world by name, as the command line gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sensors.faults import Faults
from sensors.weather import Weather


def set_conditions(world: Any, weather: str | None = None, faults: Sequence[str] = ()) -> None:
    """Give every world of a batch weather and faults; they are in each scene from now on.

    Args:
        world: A ``World`` or ``ReferenceWorld``.
        weather: One of ``sensors.weather.PRESETS``; None leaves it.
        faults: Each ``KIND[:MODALITY[:SEVERITY[:START[:END]]]]``, as ``Faults.parse`` reads them; none leaves them.

    Raises:
        ConfigError: An unknown weather, fault or modality, or a number out of range.
    """
    if weather is not None:
        world.weather = Weather.named(weather, world.num_worlds, world.device)
    if faults:
        world.faults = Faults.join([Faults.parse(text, world.num_worlds, world.device) for text in faults])
