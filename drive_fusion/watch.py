"""What happens around PPO's rollouts: progress for people, figures for TensorBoard, checkpoints, and a stop that loses nothing."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Self

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from stable_baselines3.common.callbacks import BaseCallback

from drive_fusion.distributed import Group

EPISODES_SHOWN = 200


class Stopped(Exception):
    """Ctrl-C, after the checkpoint was written."""


class Enough(Exception):
    """Whoever was shown the learner wants no more."""


class PoliteStop:
    """While training: the first Ctrl-C asks for a stop, the second stops at once."""

    def __init__(self, after: str):
        """Begin.

        Args:
            after: What is finished first.
        """
        self.after, self.asked = after, False
        self._before: Any = None

    def __enter__(self) -> Self:
        """Listen, in a program's main thread."""
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._on_interrupt)
        return self

    def __exit__(self, *arguments: object) -> None:
        """Listen no more."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print(
            f"\nstopping after this {self.after}; Ctrl-C again stops at once and loses what came after the last checkpoint", file=sys.stderr
        )


class TrainingWatch(BaseCallback):
    """Follows training; everything it writes, it writes between rollouts, where a checkpoint resumes exactly."""

    def __init__(self, checkpoint: Path, steps: int, save_every: int, shown: Callable[[Any], bool] | None = None, points: int = 10):
        """Begin.

        Args:
            checkpoint: The folder that is written again and again.
            steps: Where training will end.
            save_every: Steps between checkpoints.
            shown: Shown the learner now and then, between an update and the next rollout; training ends where it returns False.
            points: How often, the end included.
        """
        super().__init__()
        self.checkpoint, self.steps, self.save_every = checkpoint, steps, save_every
        self._shown, self._points, self._point = shown, points, 0
        self._stop = PoliteStop("update")
        self._saved_at = 0
        self._tenths_told = 0
        self._episodes: deque[dict[str, float]] = deque(maxlen=EPISODES_SHOWN)
        self._marks = {"rollout": 0.0, "update": 0.0}
        self._bar = Progress(
            TextColumn("{task.completed:>8.0f} of {task.total:.0f} steps"),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty() or not Group.current().first,
        )

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While training: the first Ctrl-C asks for a stop after this update, the second stops at once."""
        try:
            with self._stop:
                yield
        finally:
            self._bar.stop()

    def _on_training_start(self) -> None:
        worlds = self.training_env.num_envs
        self._running = {name: np.zeros(worlds) for name in ("reward", "world_reward", "steps")}
        self._saved_at = self.num_timesteps
        self._task = self._bar.add_task("", total=self.steps, completed=self.num_timesteps, figures="")
        self._bar.start()

    def _on_rollout_start(self) -> None:
        self._time("update")
        asked = Group.current().any(self._stop.asked)
        if asked or self.num_timesteps - self._saved_at >= self.save_every:
            self.model.save(self.checkpoint)
            self._saved_at = self.num_timesteps
        if asked:
            raise Stopped
        self._show()

    def _on_training_end(self) -> None:
        self._show()

    def _show(self) -> None:
        point = min(self._points, self._points * self.num_timesteps // self.steps)
        if self._shown is None or point <= self._point:
            return
        self._point, began_s = point, time.monotonic()
        more = self._shown(self.model)
        self._marks = {name: at_s and at_s + time.monotonic() - began_s for name, at_s in self._marks.items()}
        if not more and self.num_timesteps < self.steps:
            raise Enough

    def _on_step(self) -> bool:
        rewards, dones, infos = (self.locals[name] for name in ("rewards", "dones", "infos"))
        self._running["reward"] += rewards
        self._running["world_reward"] += [info.get("world_reward", reward) for info, reward in zip(infos, rewards, strict=True)]
        self._running["steps"] += 1
        for world in np.flatnonzero(dones).tolist():
            self._episodes.append(
                {
                    "return": self._running["reward"][world],
                    "world_return": self._running["world_reward"][world],
                    "length": self._running["steps"][world],
                    "terminated": float(not infos[world].get("TimeLimit.truncated", False)),
                }
            )
        for totals in self._running.values():
            totals[dones] = 0.0
        return True

    def _on_rollout_end(self) -> None:
        self._time("rollout")
        figures: dict[str, Any] = {}
        if self._episodes:
            figures = {name: float(np.mean([episode[name] for episode in self._episodes])) for name in self._episodes[0]}
        for name, value in figures.items():
            self.logger.record(f"episode/{name}", value)
        shown = f"return {figures['return']:.1f}, ended early {100 * figures['terminated']:.0f} %" if figures else ""
        self._bar.update(self._task, completed=self.num_timesteps, figures=shown)
        tenth = 10 * self.num_timesteps // self.steps
        if self._bar.disable and Group.current().first and tenth > self._tenths_told:
            self._tenths_told = tenth
            print(f"{self.num_timesteps:>8} of {self.steps} steps: {shown}", file=sys.stderr, flush=True)

    def _time(self, ended: str) -> None:
        """Log how long a rollout or an update took."""
        now_s = time.monotonic()
        began_s = self._marks["update" if ended == "rollout" else "rollout"]
        if began_s:
            self.logger.record(f"time/{ended}_s", now_s - began_s)
        self._marks[ended] = now_s
