"""A reward model's twin: it learns the same answers from what a fused driver sees, frames and all, instead of from scenes."""

from drive_fusion.twin.eyes import FusedEyes
from drive_fusion.twin.reward import Twin, fit_twin

__all__ = ["FusedEyes", "Twin", "fit_twin"]
