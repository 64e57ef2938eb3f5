"""Videos of episodes without moviepy: as gymnasium's RecordVideo, but H.264 by PyAV.

gymnasium's own wrapper (1.4) writes through moviepy, which is no dependency here because it pins an old pillow. This one takes the same
triggers and writes the same names, into files that browsers play and seek, and which are the same bytes for the same pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from sensors.errors import ConfigError
from sensors.scene import Scene

Picture = NDArray[np.uint8]
FPS = 15


def on_cubes(episode: int) -> bool:
    """gymnasium's usual choice: episodes 0, 1, 8, 27, ... up to 1000, then every thousandth."""  # noqa: D403
    return round(episode ** (1 / 3)) ** 3 == episode if episode < 1000 else episode % 1000 == 0


class RecordVideo(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Writes ``PREFIX-episode-NUMBER.mp4`` of the episodes that a trigger chooses."""

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        video_folder: str | Path,
        episode_trigger: Callable[[int], bool] | None = None,
        name_prefix: str = "rl-video",
        smooth: bool = False,
    ) -> None:
        """Wrap an environment.

        Args:
            env: Made with ``render_mode="rgb_array"``.
            video_folder: Where to write; made if it is not there.
            episode_trigger: Says by an episode's number whether to record it; None is gymnasium's own schedule (0, 1, 8, 27, ...).
            name_prefix: Beginning of the files' names.
            smooth: False holds each picture of ``env.render()`` until the next decision, which shows what was rendered and no more.
                True draws the scenes from above with the motion between decisions filled in by their speeds, which is smooth to watch
                but not what the simulation did between decisions; it needs one of this project's environments.

        Raises:
            ConfigError: The environment renders no arrays, or has no scenes to fill in.
        """
        RecordConstructorArgs.__init__(
            self, video_folder=video_folder, episode_trigger=episode_trigger, name_prefix=name_prefix, smooth=smooth
        )
        super().__init__(env)
        if env.render_mode != "rgb_array":
            raise ConfigError(f"RecordVideo: render_mode is {env.render_mode!r}, expected 'rgb_array'; pass it when making the environment")
        if smooth and not hasattr(type(env.unwrapped), "scene"):
            raise ConfigError(f"RecordVideo: {type(env.unwrapped).__name__} has no scene to fill motion in; leave smooth out")
        self.video_folder = Path(video_folder)
        self.name_prefix = name_prefix
        self.episode_id = -1
        self._trigger = episode_trigger or on_cubes
        self._smooth = smooth
        self._recording = False
        self._pictures: list[Picture] = []
        self._scenes: list[Scene] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Write the episode before, if it was recorded, and start the next."""
        self._write()
        observation, info = self.env.reset(seed=seed, options=options)
        self.episode_id += 1
        self._recording = self._trigger(self.episode_id)
        self._capture()
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step, and keep what there is to see."""
        told = self.env.step(action)
        self._capture()
        return told

    def close(self) -> None:
        """Write what is recorded, then close."""
        self._write()
        super().close()

    def _capture(self) -> None:
        if not self._recording:
            return
        if self._smooth:
            self._scenes.append(self.env.unwrapped.scene.to("cpu"))  # type: ignore[attr-defined]
            return
        picture: Any = self.env.render()
        self._pictures.append(picture)

    def _write(self) -> None:
        """Write the recorded episode, if any, and forget it."""
        from sensors.views.video import write_video

        if self._pictures or self._scenes:
            path = self.video_folder / f"{self.name_prefix}-episode-{self.episode_id}.mp4"
            write_video(self._filled_in() if self._smooth else self._held(), path, FPS)
        self._recording, self._pictures, self._scenes = False, [], []

    def _held(self) -> Iterator[Picture]:
        """Each picture for as long as a decision lasts, in whole frames; an edge is cut where height or width is odd."""
        rate = float(self.metadata.get("render_fps", 30))
        for number, picture in enumerate(self._pictures):
            frames = round((number + 1) * FPS / rate) - round(number * FPS / rate)
            even = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
            yield from [even] * frames

    def _filled_in(self) -> Iterator[Picture]:
        from sensors.views import draw_birds_eye
        from sensors.views.video import interpolate

        filled, _ = interpolate(Scene.cat(self._scenes), FPS)
        for number in range(filled.num_worlds):
            yield from draw_birds_eye(filled.select([number]))
