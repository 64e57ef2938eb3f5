"""The driver: encoders, fusion, policy, training, evaluation and the command line."""

from sensors.lazy import exports

__version__ = "0.1.0"

__getattr__, __all__ = exports(
    __name__,
    {
        "checkpoint": ("CheckpointError",),
        "evaluation": ("evaluate",),
        "ppo": ("FusedPPO",),
    },
)
