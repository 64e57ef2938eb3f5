"""The constants of every score, each with the version that is stated beside its figures.

Where a number comes from: nuPlan, its closed-loop metrics (Karnchanachari et al. 2024, devkit 1.2); NAVSIM v1 (Dauner et al. 2024) and
v2 (Cao et al. 2025); CARLA, leaderboard 2.0; MetaDrive (Li et al. 2022). A changed constant or rule is a new version.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What the scores ask of single instants; shared, so that they judge one drive alike."""

    version: str = "limits-1"
    acceleration_mps2: tuple[float, float] = (-4.05, 2.40)
    """nuPlan: along the heading."""
    lateral_acceleration_mps2: float = 4.89
    """nuPlan."""
    jerk_mps3: float = 8.37
    """nuPlan: change of the acceleration's magnitude."""
    forward_jerk_mps3: float = 4.13
    """nuPlan: change of the acceleration along the heading."""
    yaw_rate_radps: float = 0.95
    """nuPlan."""
    yaw_acceleration_radps2: float = 1.93
    """nuPlan."""
    road_tolerance_m: float = 0.3
    """nuPlan: how far a corner of the ego may be outside the lanes."""
    lane_end_m: float = 5.0
    """highway-env: a lane counts for one vehicle length beyond its ends (its ``on_lane``)."""
    stopped_mps: float = 0.05
    """nuPlan: who is slower stands, when fault is judged."""
    standing_mps: float = 0.005
    """nuPlan, NAVSIM: an ego that is slower is not asked for its time to collision."""
    ahead_rad: float = math.radians(30.0)
    """nuPlan: ahead is within this angle of the ego's heading, seen from its rear axle."""
    behind_rad: float = math.radians(150.0)
    """nuPlan: behind is beyond this angle."""
    direction_s: float = 1.0
    """nuPlan: over how long driving against the traffic is summed."""
    direction_m: tuple[float, float] = (2.0, 6.0)
    """nuPlan: up to the first is compliant (1), up to the second half (0.5), beyond not (0)."""
    stray_m: float = 0.5
    """NAVSIM v2: further from the lane's middle is astray."""
    stray_s: float = 2.0
    """NAVSIM v2: and is a fault if it lasts this long."""


@dataclass(frozen=True)
class PdmConstants:
    """NAVSIM v1's PDM score, over a whole episode."""

    version: str = "pdms-episode-2"
    ttc_s: tuple[float, ...] = (0.0, 0.3, 0.6, 0.9)
    """When boxes moved on at constant velocity must not overlap."""
    short_m: float = 5.0
    """Where the reference progress is no more than this, progress counts as made."""
    progress_weight: float = 5.0
    ttc_weight: float = 5.0
    comfort_weight: float = 2.0


@dataclass(frozen=True)
class EpdmConstants:
    """NAVSIM v2's extended PDM score, over a whole episode."""

    version: str = "epdms-episode-1"
    progress_weight: float = 5.0
    ttc_weight: float = 5.0
    lane_keeping_weight: float = 2.0
    comfort_weight: float = 2.0
    extended_comfort_weight: float = 2.0
    acceleration_mps2: float = 0.7
    """Extended comfort: root mean square between one decision's motion and the next, as are the three below."""
    jerk_mps3: float = 0.5
    yaw_rate_radps: float = 0.1
    yaw_acceleration_radps2: float = 0.1


@dataclass(frozen=True)
class NuPlanConstants:
    """nuPlan's closed-loop score."""

    version: str = "nuplan-episode-1"
    ttc_s: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    """nuPlan looks 3.0 s ahead by 0.1 s and passes above 0.95 s: later times change nothing."""
    progress_weight: float = 5.0
    ttc_weight: float = 5.0
    speed_weight: float = 4.0
    comfort_weight: float = 2.0
    least_ratio: float = 0.2
    """Of the reference progress, to count as making progress."""
    noise_m: float = 0.1
    """Progress below is taken as this much; further backwards is none at all."""
    overspeed_mps: float = 2.23
    """Mean overspeed at which the speed term is 0."""


@dataclass(frozen=True)
class CarlaConstants:
    """CARLA leaderboard 2.0's driving score, in percent."""

    version: str = "carla-episode-1"
    vehicle: float = 0.60
    """Factor of a collision with a vehicle."""
    static: float = 0.65
    """Factor of a collision with an obstacle."""


@dataclass(frozen=True)
class MetaDriveConstants:
    """MetaDrive's success and cost."""

    version: str = "metadrive-episode-1"
    arrived_m: float = 5.0
    """How near the route's end is arrived."""
    crash_cost: float = 1.0
    off_road_cost: float = 1.0


@dataclass(frozen=True)
class ScoreConstants:
    """All of them; others than the defaults are for studies of the scores themselves and need versions of their own."""

    limits: Limits = Limits()
    pdm: PdmConstants = PdmConstants()
    epdm: EpdmConstants = EpdmConstants()
    nuplan: NuPlanConstants = NuPlanConstants()
    carla: CarlaConstants = CarlaConstants()
    metadrive: MetaDriveConstants = MetaDriveConstants()
