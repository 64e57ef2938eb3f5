"""The names of what can go wrong, and which sensors it can happen to; docs/faults.md says what each does."""

from __future__ import annotations

from enum import IntEnum


class Modality(IntEnum):
    """The kinds of sensor, in the order in which masks and ages list them."""

    CAMERA = 0
    LIDAR = 1
    RADAR = 2


class FaultKind(IntEnum):
    """What is wrong with a sensor; recordings keep the numbers, so new kinds go to the end."""

    NONE = 0
    DEAD = 1
    EXTRINSIC_ERROR = 2
    DESYNCHRONISED = 3
    LATENCY = 4
    FROZEN = 5
    DROPPED = 6
    BLACK = 7
    BLUR = 8
    GLARE = 9
    LOW_LIGHT = 10
    EXPOSURE = 11
    RAIN_DROPS = 12
    LOST = 13
    FOG = 14
    SNOW = 15
    BEAMS = 16
    FIELD_OF_VIEW = 17
    CROSSTALK = 18
    INCOMPLETE_ECHO = 19
    MISALIGNED = 20
    SECTOR = 21
    RANGE_NOISE = 22
    GHOSTS = 23
    CLUTTER = 24
    DOPPLER_BIAS = 25
    ALIASING = 26
    INTERFERENCE = 27


SEVERITIES = (1, 2, 3)
OF_ALL = (
    FaultKind.DEAD,
    FaultKind.EXTRINSIC_ERROR,
    FaultKind.DESYNCHRONISED,
    FaultKind.LATENCY,
    FaultKind.FROZEN,
    FaultKind.DROPPED,
)
FAULTS_OF: dict[Modality, tuple[FaultKind, ...]] = {
    Modality.CAMERA: (
        *OF_ALL,
        FaultKind.BLACK,
        FaultKind.BLUR,
        FaultKind.GLARE,
        FaultKind.LOW_LIGHT,
        FaultKind.EXPOSURE,
        FaultKind.RAIN_DROPS,
        FaultKind.LOST,
        FaultKind.FOG,
        FaultKind.SNOW,
    ),
    Modality.LIDAR: (
        *OF_ALL,
        FaultKind.FOG,
        FaultKind.SNOW,
        FaultKind.BEAMS,
        FaultKind.FIELD_OF_VIEW,
        FaultKind.CROSSTALK,
        FaultKind.INCOMPLETE_ECHO,
        FaultKind.MISALIGNED,
    ),
    Modality.RADAR: (
        *OF_ALL,
        FaultKind.SECTOR,
        FaultKind.RANGE_NOISE,
        FaultKind.GHOSTS,
        FaultKind.CLUTTER,
        FaultKind.DOPPLER_BIAS,
        FaultKind.ALIASING,
        FaultKind.INTERFERENCE,
    ),
}
"""What can happen to each kind of sensor."""
UNGRADED = (FaultKind.DEAD,)
"""Kinds whose severity makes no difference."""
