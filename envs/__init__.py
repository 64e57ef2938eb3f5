"""The world: traffic, episodes, recordings, and the environments that learners use."""

from sensors.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "drivers": ("Driver", "driver_named"),
        "gym": ("DrivingEnv",),
        "recording": ("Recording",),
        "reference": ("ReferenceWorld",),
        "sb3": ("make_sb3_vec",),
        "world": ("Outcome", "World"),
    },
)
