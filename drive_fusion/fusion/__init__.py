"""Spatial fusion of the modalities' maps."""

from drive_fusion.fusion.kinds import WITH_POINTS, Missing, Spatial, spatial_fusion
from drive_fusion.fusion.seen import Look, RadarPoints, Seen

__all__ = ["WITH_POINTS", "Look", "Missing", "RadarPoints", "Seen", "Spatial", "spatial_fusion"]
