"""The world: traffic, episodes, recordings, and the environments that learners use."""

from envs.ids import register_all
from sensors.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "drivers": ("Driver", "driver_named"),
        "gym": ("DrivingEnv",),
        "recording": ("Recording",),
        "reference": ("ReferenceWorld",),
        "rollout": ("record",),
        "sb3": ("Transition", "make_sb3_vec"),
        "scene_table": ("RecordingError",),
        "seeds": ("seed_set",),
        "override": ("Override",),
        "scenario": ("Scenario", "Start"),
        "world": ("Outcome", "World", "WorldState"),
    },
)

register_all()
