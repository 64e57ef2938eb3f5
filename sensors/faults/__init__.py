"""Faults of sensors: their names, their entries in a scene, and what each does to what a sensor sees."""

from sensors.faults.entries import Faults, check_faults, fault_names, fault_suite
from sensors.faults.kinds import FAULTS_OF, FaultKind, Modality

__all__ = ["FAULTS_OF", "FaultKind", "Faults", "Modality", "check_faults", "fault_names", "fault_suite"]
