"""Everything a rig sees of a scene: the one function from scenes to frames."""

from __future__ import annotations

from collections.abc import Sequence

from sensors.checks import check_scene
from sensors.ego import ego_frames
from sensors.frames import Frames
from sensors.gpu import ego_on_gpu
from sensors.looking import CAMERA, LIDAR, RADAR, look
from sensors.presets import rig_named
from sensors.rig import Rig
from sensors.scene import Scene


def render(scene: Scene, rig: Rig | str, history: Sequence[Scene] | None = None) -> Frames:
    """Let a rig look at a scene.

    The same scene and history give the same frames whatever the batch they are in and however many threads numba uses.

    Args:
        scene: B worlds; actor 0 carries the rig and is not seen by it. Floats of either width. On a GPU frames are made there, on torch's
            current stream, by sensors without clocks and faults.
        rig: A rig, the name of one in ``sensors.RIGS``, or ``module:name``.
        history: Earlier scenes of the same worlds, oldest first, for sensors with a rate or a latency and for late or frozen ones; scenes
            of an earlier episode do not count. ``sensors.timing`` says which scene a sensor shows, ``Rig.history_needed`` how much past
            that can take.

    Returns:
        Frames in float32. A modality that the rig lacks has K = 0; a sensor that delivers nothing has ``valid`` False and zeros.

    Raises:
        ConfigError: An unknown rig; a scene with too many actors; a history on another device or of other worlds; weather out of its
            limits; faults that cannot be; on a GPU, what only the CPU serves, or no numba-cuda.
        SensorFault: A valid actor whose pose is not finite, or whose size is not positive.
    """
    rig = rig_named(rig)
    check_scene(scene)
    return Frames(
        camera=look(CAMERA, rig.cameras, scene, history),
        lidar=look(LIDAR, rig.lidars, scene, history),
        radar=look(RADAR, rig.radars, scene, history),
        ego=ego_on_gpu(scene) if scene.device.type == "cuda" else ego_frames(scene),
    )
