"""Cameras on a GPU: one thread a camera and a few of its rows, through the very functions that the CPU renders with.

A thread does for its rows what the CPU does for all: it finds the faces in view, then draws row after row, in scratch memory of its own.
Neighbouring threads diverge and share nothing, so this is a way to leave frames where the networks are rather than the fastest one. It has
not run on a GPU yet. What depends on weather, seeds and body colours alone is prepared on the host, which waits for the device once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numba import cuda

from sensors.camera.backdrop import SCRATCH_ROWS, grain_table
from sensors.camera.config import Camera
from sensors.camera.faces import BODY_NUMBERS, FACE_NUMBERS, FACES, MOST_FACES, SUB_ROWS
from sensors.camera.fall import FALLER_NUMBERS, FALLERS
from sensors.camera.frame import LOOKS, STRETCH, render_frame
from sensors.camera.geometry import ACTOR_NUMBERS, CORNER_NUMBERS, VIEW_NUMBERS, gather_actors
from sensors.camera.lamps import GLOW_NUMBERS, GLOWS
from sensors.camera.light import light_table
from sensors.camera.render import common_size, ego_T_camera, keys_of, lights_shown, optics_of
from sensors.camera.shadow import SHADOW_NUMBERS
from sensors.frames import CameraFrames
from sensors.gpu import array_of, launch, on_device, scene_on
from sensors.ground import STRIDE
from sensors.livery import body_colours
from sensors.paint import PaintGrid, grid_of
from sensors.scene import Scene
from sensors.vehicle_shape import MAX_PARTS, PART_NUMBERS

ROWS_EACH = 8
"""Rows of a camera that a thread draws; each thread finds the faces in view anew."""
MOST_THREADS = 16_384
"""Threads of a launch; more worlds take several, one after the other, in the same scratch memory."""
BLOCK = 64
KEPT_GRIDS = 16

_kept: dict[tuple[int, str], tuple[PaintGrid, Any]] = {}


@cuda.jit  # type: ignore[untyped-decorator]
def render_on_device(
    first: Any,
    end: Any,
    mounts: Any,
    focal: Any,
    grid: Any,
    grain: Any,
    scene: Any,
    lights: Any,
    keys: Any,
    optics: Any,
    room: Any,
    out: Any,
) -> None:
    """``render_worlds`` with a thread for every camera's ROWS_EACH rows; ``room`` is ``room_for`` them."""
    rgb, depth, semantic, instance = out
    _, cameras, height, width = depth.shape
    parts = (height + ROWS_EACH - 1) // ROWS_EACH
    n = cuda.grid(1)
    w, c, part = first + n // (cameras * parts), n // parts % cameras, n % parts
    if w >= end:
        return
    velocity, yaw_rate, position, heading, size, kind, lamps, valid, bodies = scene
    (strips, view, actors, shapes, order, distance), (body, faces, reach, shadows, glows, fallers, edges, active), rest = room
    texels, bits, planes, corners, blur = rest
    pitch = width + STRIDE_SPARE
    each = STRIDE // pitch
    place = (strips[n // each, n % each * pitch :], view[n], actors[n], shapes[n], order[n], distance[n])
    lists = (body[n], faces[n], reach[n], shadows[n], glows[n], fallers[n], edges[n], active[n])
    tables = (place, lists, (texels[n], bits[n], planes[n], corners[n], blur[n]))
    world = (velocity[w], yaw_rate[w], position[w], heading[w], size[w], kind[w], lamps[w], valid[w], bodies[w])
    gather_actors(world, 0.0, actors[n], shapes[n])
    rows = (part * ROWS_EACH, min(part * ROWS_EACH + ROWS_EACH, height))
    images = (rgb[w, c], depth[w, c], semantic[w, c], instance[w, c])
    render_frame(world, mounts[c], focal[c], grid, grain, lights[w], keys[c, w], optics[c], tables, rows, images)


STRIDE_SPARE = 16
"""What functions may write beyond a row's end; rows of narrow pictures share a row of the scratch, side by side."""


def room_for(threads: int, actors: int, width: int, falls: bool, blurs: bool, device: torch.device) -> tuple[Any, ...]:
    """Scratch memory of so many threads, as ``render_frame`` names it, with a leading dimension each."""
    f4, f8, i4 = torch.float32, torch.float64, torch.int32

    def table(dtype: torch.dtype, *shape: int) -> Any:
        return array_of(torch.zeros((threads, *shape), dtype=dtype, device=device))

    most, each = MOST_FACES * actors, STRIDE // (width + STRIDE_SPARE)
    strips = array_of(torch.zeros(((threads + each - 1) // each, SCRATCH_ROWS * STRIDE), device=device))
    shapes = table(f8, actors, MAX_PARTS, PART_NUMBERS)
    place = (strips, table(f8, VIEW_NUMBERS), table(f8, actors, ACTOR_NUMBERS), shapes, table(i4, actors), table(f8, actors))
    lists = (
        table(f8, actors, BODY_NUMBERS),
        table(f8, most, FACE_NUMBERS),
        table(i4, most, 2),
        table(f8, actors, SHADOW_NUMBERS),
        table(f4, GLOWS, GLOW_NUMBERS),
        table(f4, (FALLERS if falls else 0) + 1, FALLER_NUMBERS),
        table(f8, most, 2 * SUB_ROWS + 2),
        table(i4, most, 3),
    )
    blur = table(f4, 3 * ROWS_EACH * width if blurs else 1)
    return place, lists, (table(i4, STRETCH), table(torch.uint32, width), table(f8, FACES, 8), table(f8, CORNER_NUMBERS), blur)


def _grid_on(grid: PaintGrid, device: torch.device) -> Any:
    """A road's grid on a device; the last ``KEPT_GRIDS`` are kept."""
    key = (id(grid), str(device))
    if key not in _kept or _kept[key][0] is not grid:
        while len(_kept) >= KEPT_GRIDS:
            del _kept[next(iter(_kept))]
        _kept[key] = grid, on_device(grid.arrays(), device)
    return _kept[key][1]


def _arguments(scene: Scene, cameras: Sequence[Camera]) -> tuple[Any, ...]:
    """What the kernel takes between the worlds' numbers and its scratch memory."""
    device, host = scene.device, scene.to("cpu")
    seen = scene_on(scene)
    poses = (seen.velocity, seen.yaw_rate, seen.position, seen.heading, seen.size, seen.kind)
    lamps = array_of(lights_shown(scene).contiguous())
    return (
        on_device(np.stack([ego_T_camera(camera) for camera in cameras]), device),
        on_device(np.asarray([camera.focal_px for camera in cameras]), device),
        _grid_on(grid_of(scene.road), device),
        on_device(grain_table(), device),
        (*poses, lamps, seen.valid, on_device(body_colours(host), device)),
        on_device(light_table(host.weather), device),
        on_device(keys_of(host, len(cameras)), device),
        on_device(optics_of(cameras), device),
    )


def render(scene: Scene, cameras: Sequence[Camera]) -> CameraFrames:
    """Render a scene on a GPU (in numba's simulator, on the CPU) from cameras of one size on the ego.

    Args:
        scene: B worlds on one device, where the frames will be.
        cameras: K cameras, as for ``render_camera``.

    Raises:
        ConfigError: As ``render_camera`` does.
    """
    height, width = common_size(cameras)
    worlds, count, device = scene.num_worlds, len(cameras), scene.device
    shape = (worlds, count, height, width)
    frames = CameraFrames(
        torch.empty((worlds, count, 3, height, width), dtype=torch.uint8, device=device),
        torch.empty(shape, device=device),
        torch.empty(shape, dtype=torch.uint8, device=device),
        torch.empty(shape, dtype=torch.int16, device=device),
        torch.ones((worlds, count), dtype=torch.bool, device=device),
        torch.zeros((worlds, count), device=device),
    )
    if not worlds or not count:
        return frames
    each = count * ((height + ROWS_EACH - 1) // ROWS_EACH)
    at_once = min(max(MOST_THREADS // each, 1), worlds)
    threads = (at_once * each + BLOCK - 1) // BLOCK * BLOCK
    blurs = bool((optics_of(cameras)[:, LOOKS] > 1).any())
    falls = bool((scene.weather.rain_mm_per_h + scene.weather.snow_mm_per_h).any())
    room = room_for(threads, scene.num_actors, width, falls, blurs, device)
    arguments, out = (
        _arguments(scene, cameras),
        tuple(array_of(part) for part in (frames.rgb, frames.depth_m, frames.semantic, frames.instance)),
    )
    for first in range(0, worlds, at_once):
        end = min(first + at_once, worlds)
        launch(render_on_device, (end - first) * each, device, first, end, *arguments, room, out, block=BLOCK)
    return frames


def example(name: str) -> tuple[Any, tuple[Any, ...]]:
    """A kernel and arguments that it could be launched with, for compilers: ``name`` is "camera"."""
    from sensors.faults import Faults
    from sensors.presets import RIGS
    from sensors.road import RoadMap
    from sensors.weather import Weather

    assert name == "camera", name
    device, one = torch.device("cpu"), torch.zeros((1, 1), dtype=torch.float64)
    pair, number, flag = torch.zeros((1, 1, 2), dtype=torch.float64), torch.zeros((1, 1), dtype=torch.int64), torch.ones((1, 1)) > 0
    scene = Scene(
        position_m=pair,
        heading_rad=one,
        velocity_mps=pair,
        acceleration_mps2=pair,
        yaw_rate_radps=one,
        size_m=torch.ones((1, 1, 3), dtype=torch.float64),
        kind=number,
        lights=number,
        crashed=~flag,
        valid=flag,
        road=RoadMap.build([]),
        weather=Weather.clear(1),
        faults=Faults.none(1),
        time_s=one[0],
        episode_seed=number[0],
        step=number[0],
        action=torch.zeros((1, 5)),
    )
    cameras = RIGS["micro"].cameras[:1]
    out = tuple(torch.zeros((1, 1, *shape), dtype=dtype).numpy() for shape, dtype in (((3, 24, 48), torch.uint8),))
    rest = tuple(torch.zeros((1, 1, 24, 48), dtype=dtype).numpy() for dtype in (torch.float32, torch.uint8, torch.int16))
    return render_on_device, (0, 1, *_arguments(scene, cameras), room_for(BLOCK, 1, 48, True, False, device), (*out, *rest))
