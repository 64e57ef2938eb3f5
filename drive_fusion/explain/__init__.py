"""Looking inside the driver: which sense a decision hangs on, and where the network looked."""

from drive_fusion.explain.attribution import Explanation, explain, eyes_of, states_along

__all__ = ["Explanation", "explain", "eyes_of", "states_along"]
