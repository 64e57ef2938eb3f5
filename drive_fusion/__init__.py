"""The driver: encoders, fusion, policy, training, evaluation and the command line."""

import os

from sensors.lazy import exports

# Read by OpenMP when torch loads: waiting threads sleep instead of spinning, which on shared cores starves the ones that work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

__getattr__, __all__ = exports(
    __name__,
    {
        "checkpoint": ("CheckpointError",),
        "evaluation": ("Evaluation", "evaluate"),
        "extractor": ("FusedExtractor",),
        "ppo": ("FusedPPO",),
    },
)
