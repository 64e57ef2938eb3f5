"""Auxiliary heads of the network, and the free labels that they learn from. Training only."""

from drive_fusion.heads.auxiliary import AuxiliaryHeads, AuxiliaryWeights
from drive_fusion.heads.labels import Cell, Labels, labels_of

__all__ = ["AuxiliaryHeads", "AuxiliaryWeights", "Cell", "Labels", "labels_of"]
