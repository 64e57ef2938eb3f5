"""Which faults act on which sensors at a step, and how severely."""

from __future__ import annotations

import torch
from torch import Tensor

from sensors.faults.entries import ALL_SENSORS, Faults
from sensors.faults.kinds import FaultKind, Modality

Levels = dict[FaultKind, Tensor]
"""Severity of each kind that acts anywhere, (B, K) int64; 0 where it does not act."""


def _acting(faults: Faults, step: Tensor, modality: Modality) -> Tensor:
    """Entries that act on a modality now, (B, F) bool."""
    now = (faults.start_step <= step[:, None]) & (step[:, None] < faults.end_step)
    return now & (faults.modality == modality) & (faults.kind != FaultKind.NONE)


def _meant(faults: Faults, sensors: int) -> Tensor:
    """Which of K sensors each entry means, (B, F, K) bool."""
    index = faults.index[..., None]
    return (index == ALL_SENSORS) | (index == torch.arange(sensors))


def levels_of(faults: Faults, step: Tensor, modality: Modality, sensors: int) -> Levels:
    """Find what acts on the K sensors of a modality.

    Args:
        faults: Of B worlds.
        step: Their simulation steps, (B,).
        modality: The kind of sensor.
        sensors: K.

    Returns:
        The severities by kind; nothing if nothing acts.
    """
    acting = _acting(faults, step, modality)
    if not bool(acting.any()):
        return {}
    severity = torch.where(acting[..., None] & _meant(faults, sensors), faults.severity[..., None], 0)  # (B, F, K)
    kinds = [FaultKind(kind) for kind in torch.unique(faults.kind[acting]).tolist()]
    return {kind: torch.where((faults.kind == kind)[..., None], severity, 0).amax(1) for kind in kinds}


def begin_of(faults: Faults, step: Tensor, modality: Modality, sensors: int, kind: FaultKind) -> Tensor:
    """First step of the earliest entry of a kind that acts on each sensor now, (B, K) int64; the present step where none acts."""
    here = (_acting(faults, step, modality) & (faults.kind == kind))[..., None] & _meant(faults, sensors)
    now = step[:, None, None]
    return torch.where(here, faults.start_step[..., None], now).amin(1) if here.shape[1] else now[:, 0].expand(-1, sensors)
