"""Videos of scenes: between the recorded instants the motion is filled in, and H.264 is written so that browsers can seek in it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensors.errors import ConfigError
from sensors.rig import Rig
from sensors.scene import Scene
from sensors.views.preview import PreviewSize, compose
from sensors.views.yuv import yuv420p

LEAST_FPS = 15
TELEPORT_M = 3.0
"""How far an actor may be from where its speeds lead it between two instants; beyond that it has not driven there."""
CLOCK_ROUNDING_S = 1e-4
"""What a clock in float32 may be off by; a frame so close to an instant is that instant."""
SCENES_AT_ONCE = 15
ENCODER = "colorprim=bt709:transfer=bt709:colormatrix=bt709:range=tv:mbtree=0"
"""x264's settings: what the colours mean, and no macroblock tree, whose decisions differ between runs."""


def interpolate(scenes: Scene, fps: float) -> tuple[Scene, Tensor]:
    """Fill in the motion between instants at a constant frame rate.

    Positions follow cubic Hermite curves through the recorded positions and velocities, headings the shorter arc. What cannot be filled
    in (lights, actions, crashes, who is there) holds until the next instant. Where an actor appears, or is elsewhere than its speeds
    lead it, it holds still and then jumps; where the episode or the clock starts again, everything does.

    Args:
        scenes: B instants of one drive, in order.
        fps: Frames a second.

    Returns:
        F scenes, the first at the first instant, and the instant (F,) each comes from.

    Raises:
        ConfigError: No instants, or a frame rate that is not positive.
    """
    if scenes.num_worlds == 0 or not fps > 0.0:
        raise ConfigError(f"cannot interpolate {scenes.num_worlds} instants at {fps} frames/s; expected at least one, and a positive rate")
    clock, cut = _timeline(scenes)
    count = int(np.floor((clock[-1] + CLOCK_ROUNDING_S) * fps)) + 1
    at = np.minimum(np.arange(count) / fps, clock[-1])
    index = np.clip(np.searchsorted(clock, at + CLOCK_ROUNDING_S, side="right") - 1, 0, len(clock) - 1)
    after = np.minimum(index + 1, len(clock) - 1)
    gap = np.where(after > index, clock[after] - clock[index], 1.0)
    share = np.where(cut[index], 0.0, np.maximum(at - clock[index], 0.0) / gap)
    held = scenes.select(torch.as_tensor(index))
    return _between(held, scenes.select(torch.as_tensor(after)), torch.as_tensor(share), torch.as_tensor(gap)), torch.as_tensor(index)


def _timeline(scenes: Scene) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Time since the first instant (B,), and after which instants the drive starts anew (B,)."""
    time, seed = scenes.time_s.double().numpy(), scenes.episode_seed.numpy()
    step = np.diff(time)
    cut = (step <= 0.0) | (np.diff(seed) != 0)
    usual = float(np.median(step[~cut])) if (~cut).any() else 1.0 / LEAST_FPS
    clock = np.concatenate(([0.0], np.cumsum(np.where(cut, usual, step))))
    return clock, np.concatenate((cut, [True]))


def _between(first: Scene, then: Scene, share: Tensor, gap_s: Tensor) -> Scene:
    """Scenes at a share (F,) of the way from one instant to the next, ``gap_s`` (F,) apart."""
    dtype = first.position_m.dtype
    s, dt = share.to(torch.float64)[:, None], gap_s.to(torch.float64)[:, None]
    start, end = first.position_m.double(), then.position_m.double()
    v0, v1 = first.velocity_mps.double(), then.velocity_mps.double()
    astray = (end - start - 0.5 * (v0 + v1) * dt[..., None]).norm(dim=-1) > TELEPORT_M
    held = astray | ~first.valid | ~then.valid
    s = torch.where(held, 0.0, s)[..., None]  # (F, A, 1)
    s2, s3 = s * s, s * s * s
    tangent = (s3 - 2 * s2 + s) * v0 + (s3 - s2) * v1
    position = (2 * s3 - 3 * s2 + 1) * start + (3 * s2 - 2 * s3) * end + tangent * dt[..., None]
    turn = torch.remainder(then.heading_rad.double() - first.heading_rad.double() + torch.pi, 2 * torch.pi) - torch.pi
    weight = s[..., 0]
    return replace(
        first,
        position_m=position.to(dtype),
        velocity_mps=(v0 + s * (v1 - v0)).to(dtype),
        heading_rad=(first.heading_rad.double() + weight * turn).to(dtype),
        yaw_rate_radps=torch.lerp(first.yaw_rate_radps.double(), then.yaw_rate_radps.double(), weight).to(dtype),
        time_s=(first.time_s.double() + share * gap_s).to(first.time_s.dtype),
    )


def write_video(pictures: Iterable[NDArray[np.uint8]], path: Path | str, fps: int = LEAST_FPS, quality: int = 23) -> str:
    """Write pictures as an H.264 MP4 that browsers play and seek (yuv420p, index in front), the same bytes for the same pictures.

    The file appears whole or not at all.

    Args:
        pictures: Each (H, W, 3) uint8 of one even size.
        path: Where to write.
        fps: Frames a second, at least 15.
        quality: x264's constant rate factor; lower is better and larger.

    Returns:
        The file's SHA-256, hex.

    Raises:
        ConfigError: No pictures, an odd size, or too low a rate.
    """
    import av

    if fps < LEAST_FPS:
        raise ConfigError(f"a video of {fps} frames/s, expected at least {LEAST_FPS}; interpolate the scenes first")
    stream_of = iter(pictures)
    first = next(stream_of, None)
    if first is None or first.shape[0] % 2 or first.shape[1] % 2:
        raise ConfigError(f"a video of {'no pictures' if first is None else first.shape}, expected pictures of even height and width")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with av.open(str(partial), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", rate=fps, options={"crf": str(quality), "preset": "veryfast", "x264-params": ENCODER})
            stream.height, stream.width, stream.pix_fmt = first.shape[0], first.shape[1], "yuv420p"
            stream.time_base = Fraction(1, fps)
            stream.codec_context.gop_size = fps
            stream.codec_context.thread_count = 1  # several threads give other bytes
            for number, picture in enumerate(chain((first,), stream_of)):
                frame = av.VideoFrame.from_ndarray(yuv420p(picture), format="yuv420p")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        digest = hashlib.sha256(partial.read_bytes()).hexdigest()
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return digest


def write_clip_video(
    scenes: Scene,
    path: Path | str,
    fps: int = LEAST_FPS,
    captions: Sequence[str] | None = None,
    rig: Rig | str = "preview",
    width_px: int = 640,
) -> str:
    """Make the video of a drive: camera above, bird's-eye view below, motion filled in between the instants.

    Args:
        scenes: B instants in order, as a recording or a clip keeps them.
        path: Where to write the MP4.
        fps: Frames a second, at least 15.
        captions: What to write beside the speed in place of the action's name, one an instant.
        rig: The rig to look through.
        width_px: Width; 426 makes small files quickly.

    Returns:
        The file's SHA-256, hex.

    Raises:
        ConfigError: As ``interpolate`` and ``write_video``; captions of another number than the instants.
    """
    if captions is not None and len(captions) != scenes.num_worlds:
        raise ConfigError(f"{len(captions)} captions for {scenes.num_worlds} instants; give one each")
    filled, source = interpolate(scenes, fps)
    size = PreviewSize.of_width(width_px)
    texts = None if captions is None else [captions[i] for i in source.tolist()]

    def pictures() -> Iterable[NDArray[np.uint8]]:
        for begin in range(0, filled.num_worlds, SCENES_AT_ONCE):
            part = slice(begin, begin + SCENES_AT_ONCE)
            yield from compose(filled.select(part), size, rig, None if texts is None else texts[part])

    return write_video(pictures(), path, fps)
