"""Light, air and what falls through it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from sensors.batch import Batch
from sensors.errors import ConfigError, unknown_name

CLEAR = {
    "sun_elevation_rad": 0.87,
    "sun_azimuth_rad": 0.6,
    "visibility_m": 20_000.0,
    "rain_mm_per_h": 0.0,
    "snow_mm_per_h": 0.0,
    "wetness": 0.0,
    "snow_cover": 0.0,
}
PRESETS: dict[str, dict[str, float]] = {
    "noon": {},
    "dusk": {"sun_elevation_rad": math.radians(2.0)},
    "night": {"sun_elevation_rad": math.radians(-20.0)},
    "fog": {"visibility_m": 80.0},
    "rain": {"rain_mm_per_h": 20.0, "wetness": 0.9, "visibility_m": 1_500.0},
    "snow": {"snow_mm_per_h": 3.0, "snow_cover": 0.7, "visibility_m": 400.0},
}
"""Named weathers, as differences from ``CLEAR``."""


@dataclass(frozen=True)
class Weather(Batch):
    """Light and air, one value a world, each (B,) float32."""

    sun_elevation_rad: Tensor
    sun_azimuth_rad: Tensor
    visibility_m: Tensor
    """Distance at which contrast falls to 2 % (Koschmieder: exp(-3.912 d / V)), rain and snow in the air included."""
    rain_mm_per_h: Tensor
    snow_mm_per_h: Tensor
    """As melted water."""
    wetness: Tensor
    """Of the ground, 0 dry to 1 standing water."""
    snow_cover: Tensor
    """Share of the ground that is white."""

    @classmethod
    def clear(cls, num_worlds: int, device: str | torch.device = "cpu") -> Weather:
        """A bright day: sun at 50 degrees, 20 km visibility."""
        return cls(**{name: torch.full((num_worlds,), value, dtype=torch.float32, device=device) for name, value in CLEAR.items()})

    @classmethod
    def named(cls, name: str, num_worlds: int, device: str | torch.device = "cpu") -> Weather:
        """One of ``PRESETS`` in every world.

        Raises:
            ConfigError: There is no such weather.
        """
        if name not in PRESETS:
            raise unknown_name("weather", name, PRESETS)
        return cls.clear(num_worlds, device).changed(**PRESETS[name])

    def changed(self, **values: float) -> Weather:
        """The same weather with some fields set to one value in every world.

        Raises:
            ConfigError: A name that is no field.
        """
        names = [field.name for field in fields(self)]
        for name in values:
            if name not in names:
                raise unknown_name("weather field", name, names)
        return replace(self, **{name: torch.full_like(getattr(self, name), value) for name, value in values.items()})


LIMITS = {
    "sun_elevation_rad": (-math.pi / 2, math.pi / 2),
    "sun_azimuth_rad": (-2 * math.pi, 2 * math.pi),
    "visibility_m": (1.0, 1e6),
    "rain_mm_per_h": (0.0, 200.0),
    "snow_mm_per_h": (0.0, 50.0),
    "wetness": (0.0, 1.0),
    "snow_cover": (0.0, 1.0),
}
"""Lowest and highest value that a sensor takes of each field."""


def check_weather(weather: Weather, where: str = "weather") -> None:
    """Refuse weather that cannot be.

    Raises:
        ConfigError: A value out of ``LIMITS`` or not a number, with its world.
    """
    for name, (low, high) in LIMITS.items():
        values = getattr(weather, name)
        good = (values >= low) & (values <= high)
        if not bool(good.all()):
            world = int((~good).nonzero()[0, 0])
            raise ConfigError(f"{where}: {name} of world {world} is {float(values[world])}, expected {low:g} to {high:g}")
