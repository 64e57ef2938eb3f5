"""Auxiliary heads of the network, and the free labels that they learn from. Training only."""

from drive_fusion.heads.auxiliary import AuxiliaryHeads, AuxiliaryWeights
from drive_fusion.heads.labels import Cell, Labels, labels_of
from drive_fusion.heads.lessons import Lessons, TeachConfig, lessons_of, skill, teach

__all__ = [
    "AuxiliaryHeads",
    "AuxiliaryWeights",
    "Cell",
    "Labels",
    "Lessons",
    "TeachConfig",
    "labels_of",
    "lessons_of",
    "skill",
    "teach",
]
