"""Privileged state: what a driver would know who is told the world instead of sensing it, as one vector of numbers from a scene.

It holds what camera, lidar and radar could find out at their best (the lane ahead and where it forks, who is near and how they move, within
the senses' reach) and nothing of the map's frame, so that a driver who learned from it can teach one who has to look (Chen et al. 2019,
Learning by Cheating).
"""

from drive_fusion.privileged.extractor import PrivilegedExtractor
from drive_fusion.privileged.state import PrivilegedState, privileged_space
from drive_fusion.privileged.worlds import BLIND, PrivilegedVecEnv, make_privileged_vec

__all__ = ["BLIND", "PRIVILEGED", "PrivilegedExtractor", "PrivilegedState", "PrivilegedVecEnv", "make_privileged_vec", "privileged_space"]

PRIVILEGED = "privileged"
"""What stands for a rig's name where a driver is to see privileged state."""
