"""Radar frames under the field names of nuScenes, whose radar is a Continental ARS 408-21.

Positions and velocities are in the sensor's own frame, as in nuScenes' files; z is 0, as that radar measures no elevation. Velocities are
radial, split along the line of sight; ``*_comp`` have the ego's own motion taken out. One scan has no track: ``dyn_prop`` knows moving
away, coming nearer, standing and perhaps standing, but neither crossing nor stopped.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensors.errors import ConfigError
from sensors.frames import Frames
from sensors.pose import sensor_poses
from sensors.presets import rig_named
from sensors.radar.config import WIDEST_ARRAY_RAD, Radar
from sensors.rig import Rig
from sensors.scene import Scene

Floats = NDArray[np.float64]

FIELDS = np.dtype(
    [
        *((name, np.float32) for name in ("x", "y", "z")),
        ("dyn_prop", np.int8),
        ("id", np.int16),
        *((name, np.float32) for name in ("rcs", "vx", "vy", "vx_comp", "vy_comp")),
        *((name, np.int8) for name in ("is_quality_valid", "ambig_state", "x_rms", "y_rms", "invalid_state", "pdh0", "vx_rms", "vy_rms")),
    ]
)
"""The fields in nuScenes' order and types."""
MOVING, STATIONARY, ONCOMING, STATIONARY_CANDIDATE = 0, 1, 2, 3
AMBIGUOUS, UNAMBIGUOUS, STATIONARY_IF_FOLDED = 1, 3, 4
STANDING_MPS = 0.5
"""What still counts as standing, besides three standard deviations."""
SURE_SNR_DB = 20.0
"""From here on a standing target is 'stationary', below it a candidate."""
RMS_STEPS = np.array(
    [
        *(0.005, 0.006, 0.008, 0.011, 0.014, 0.018, 0.023, 0.029, 0.038, 0.049, 0.063, 0.081, 0.105, 0.135, 0.174, 0.224, 0.288, 0.371),
        *(0.478, 0.616, 0.794, 1.023, 1.317, 1.697, 2.187, 2.817, 3.630, 4.676, 6.025, 7.762, 10.0),
    ]
)
"""Upper ends of the classes of a standard deviation, ARS 404/408 interface description; beyond the last: 31, invalid."""
FALSE_STEPS = np.array([0.25, 0.5, 0.75, 0.9, 0.99, 0.999])
"""Upper ends of the classes 1 to 6 of the probability that a detection is false; 7 is beyond, 0 no detection."""


def _deviations(rows: Floats, radar: Radar) -> tuple[Floats, Floats, Floats]:
    """Standard deviations of range [m], azimuth [rad] and Doppler [m/s] by SNR, each (B, D)."""
    share = 1.0 / np.sqrt(2.0 * 10.0 ** (0.1 * rows[..., 5]))
    wide = np.cos(rows[..., 1]) if 0.5 * radar.horizontal_fov_rad <= WIDEST_ARRAY_RAD else 1.0
    return share * radar.range_cell_m, share * radar.azimuth_cell_rad / wide, share * radar.doppler_cell_mps


def _own_speed(scene: Scene, radar: Radar, rows: Floats) -> Floats:
    """Speed [m/s] of the radar itself along each line of sight, (B, D)."""
    poses = sensor_poses(scene, radar.mount)
    azimuth, elevation = rows[..., 1], rows[..., 2]
    local = np.stack((np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)), -1)
    sight = np.einsum("bij,bdj->bdi", poses.world_R_sensor, local)
    along: Floats = np.einsum("bdi,bi->bd", sight[..., :2], poses.velocity_mps)
    return along


def _fold(speed: Floats, nyquist_mps: float) -> Floats:
    folded: Floats = (speed + nyquist_mps) % (2.0 * nyquist_mps) - nyquist_mps
    return folded


def _fill(out: NDArray[np.void], rows: Floats, scene: Scene, radar: Radar) -> None:
    """Write one radar's rows (B, D, 6)."""
    distance, azimuth, doppler = rows[..., 0], rows[..., 1], rows[..., 3]
    cos, sin = np.cos(azimuth), np.sin(azimuth)
    range_m, azimuth_rad, doppler_mps = _deviations(rows, radar)
    own = _own_speed(scene, radar, rows)
    ground = doppler + own if radar.staggered else _fold(doppler + own, radar.nyquist_mps)
    out["x"], out["y"], out["id"], out["rcs"] = distance * cos, distance * sin, np.arange(rows.shape[1]), rows[..., 4]
    out["vx"], out["vy"], out["vx_comp"], out["vy_comp"] = doppler * cos, doppler * sin, ground * cos, ground * sin
    out["is_quality_valid"] = 1
    standing = np.abs(ground) < STANDING_MPS + 3.0 * np.hypot(doppler_mps, own * np.tan(azimuth) * azimuth_rad)
    sure = (rows[..., 5] >= SURE_SNR_DB) & radar.staggered
    out["dyn_prop"] = np.where(standing, np.where(sure, STATIONARY, STATIONARY_CANDIDATE), np.where(ground < 0.0, ONCOMING, MOVING))
    out["ambig_state"] = UNAMBIGUOUS if radar.staggered else np.where(standing, STATIONARY_IF_FOLDED, AMBIGUOUS)
    out["x_rms"] = np.searchsorted(RMS_STEPS, np.hypot(cos * range_m, distance * sin * azimuth_rad), side="right")
    out["y_rms"] = np.searchsorted(RMS_STEPS, np.hypot(sin * range_m, distance * cos * azimuth_rad), side="right")
    out["vx_rms"] = np.searchsorted(RMS_STEPS, np.hypot(cos * doppler_mps, doppler * sin * azimuth_rad), side="right")
    out["vy_rms"] = np.searchsorted(RMS_STEPS, np.hypot(sin * doppler_mps, doppler * cos * azimuth_rad), side="right")
    peaks = radar.cells * np.exp(-1.0 - 10.0 ** (0.1 * rows[..., 5]))  # noise peaks at least so strong that a scan has on average
    out["pdh0"] = 1 + np.searchsorted(FALSE_STEPS, peaks / (1.0 + peaks), side="right")


def nuscenes_fields(frames: Frames, scene: Scene, rig: Rig | str) -> NDArray[np.void]:
    """Give radar detections by nuScenes' names.

    Args:
        frames: What ``sensors.render`` made of the scene.
        scene: The scene, on the CPU, for the ego's own motion.
        rig: The rig.

    Returns:
        A structured array of ``FIELDS``, (B, K, D); rows without a detection (``frames.radar.mask``) are zero, so that their
        ``is_quality_valid`` is 0. ``is_quality_valid``, ``invalid_state``: every detection is valid, 1 and 0.
        ``ambig_state``: 3 where staggered ramps resolve Doppler; else 4 where the target stands if its Doppler is folded, else 1.
        ``*_rms``: the ARS 408's classes of the standard deviation. ``pdh0``: class of the probability of a false alarm, by the
        expected number of noise peaks as strong in a scan.

    Raises:
        ConfigError: The frames are of another rig or batch.
    """
    rig, mask = rig_named(rig), frames.radar.mask.numpy()
    if mask.shape[:2] != (scene.num_worlds, len(rig.radars)):
        raise ConfigError(
            f"nuscenes_fields: frames have {mask.shape[0]} worlds of {mask.shape[1]} radars, but the scene has {scene.num_worlds} worlds "
            f"and rig {rig.name!r} has {len(rig.radars)} radars; pass the scene and rig that the frames were rendered from"
        )
    found = np.zeros(mask.shape, FIELDS)
    rows = frames.radar.detections.double().numpy()
    for k, radar in enumerate(rig.radars):
        _fill(found[:, k], rows[:, k], scene, radar)
    found[~mask] = 0
    return found
