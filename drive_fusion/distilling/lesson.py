"""What was driven and commented on: a lesson, and the folder in which a run keeps the lessons that it will draw from again.

A lesson never changes once it is driven, so it is written once, beside the checkpoints. A checkpoint lists its lessons by length and
SHA-256; lessons that no checkpoint lists any more are removed after the next one is whole. Whatever moment a process dies at, the
checkpoint that is there finds its lessons.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from drive_fusion.checkpoint import CheckpointError, read_listed, write_atomically
from drive_fusion.heads.labels import Labels
from drive_fusion.rollout import Rollout


@dataclass(frozen=True, eq=False)
class Lesson:
    """T decisions of B worlds with the teacher's comments."""

    rollout: Rollout
    parameters: Tensor  # (T * B, P)
    values: Tensor  # (T * B,)
    labels: Labels | None = None
    """What was true in them, narrow, where auxiliary lessons are learned too."""
    number: int = 0
    """How many came before it in the run."""
    practised: bool = False
    """Whether the rollout tells how each of the pupil's choices turned out."""

    def stored(self) -> dict[str, Tensor]:
        """What learning from it takes, as named tensors on the CPU."""
        rollout = self.rollout
        found = {"parameters": self.parameters, "values": self.values, "starts": rollout.episode_starts, "actions": rollout.actions}
        if self.practised:
            found |= {"log_probs": rollout.log_probs, "advantages": rollout.advantages}
        found |= {f"state.{number}.{name}": part for number, state in enumerate(rollout.states) for name, part in state.items()}
        if self.labels is not None:
            found |= {f"labels.{field.name}": getattr(self.labels, field.name) for field in fields(self.labels)}
        return {name: part.detach().cpu().contiguous() for name, part in (found | rollout.kept.stored()).items()}

    @classmethod
    def restored(cls, stored: Mapping[str, Tensor], rollout: Rollout, number: int) -> Lesson:
        """The inverse of ``stored``.

        Args:
            stored: The tensors.
            rollout: An empty one, begun as the lesson's was.
            number: How many came before it.
        """
        device = rollout.rewards.device
        rollout.kept.restore(stored)
        rollout.episode_starts.copy_(stored["starts"])
        rollout.actions.copy_(stored["actions"])
        practised = "advantages" in stored
        if practised:
            rollout.log_probs.copy_(stored["log_probs"])
            rollout.advantages.copy_(stored["advantages"])
        rollout.pos, rollout.full = rollout.buffer_size, True
        numbers = {int(name.split(".")[1]) for name in stored if name.startswith("state.")}
        names = {name.split(".", 2)[2] for name in stored if name.startswith("state.")}
        rollout.states = [{name: stored[f"state.{number}.{name}"].to(device) for name in names} for number in sorted(numbers)]
        labels = {name.removeprefix("labels."): part for name, part in stored.items() if name.startswith("labels.")}
        told = Labels(**labels) if labels else None
        return cls(rollout, stored["parameters"].to(device), stored["values"].to(device), told, number, practised)


class Shelf:
    """The folder of a run's lessons."""

    def __init__(self, folder: Path):
        """Begin with none written."""
        self.folder = folder
        self._entries: dict[int, dict[str, Any]] = {}

    def keep(self, lessons: Iterable[Lesson]) -> list[dict[str, Any]]:
        """Write the lessons that are not yet written.

        Returns:
            All of them, in order, as a checkpoint lists them.

        Raises:
            CheckpointError: The folder cannot be written.
        """
        self._entries = {lesson.number: self._entries.get(lesson.number) or self._write(lesson) for lesson in lessons}
        return list(self._entries.values())

    def clear(self, but: Iterable[Mapping[str, Any]] = ()) -> None:
        """Remove every lesson that is not in a list."""
        listed = {entry["file"] for entry in but}
        for pattern in ("lesson-*.safetensors", ".lesson-*.tmp"):
            for path in self.folder.glob(pattern):
                if path.name not in listed:
                    path.unlink()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def read(self, listed: Iterable[Mapping[str, Any]], empty: Callable[[], Rollout], most: int) -> deque[Lesson]:
        """Read the lessons of a list.

        Args:
            listed: What ``keep`` gave.
            empty: Makes a rollout, begun.
            most: How many are remembered.

        Raises:
            CheckpointError: One is missing, damaged or of other settings.
        """
        lessons: deque[Lesson] = deque(maxlen=most)
        for entry in listed:
            if Path(str(entry["file"])).name != entry["file"]:
                raise CheckpointError(f"{self.folder}: the checkpoint names {entry['file']!r}, which is outside the run; refused")
            data = read_listed(self.folder, entry)
            try:
                lessons.append(Lesson.restored(safetensors.torch.load(data), empty(), int(entry["number"])))
            except (KeyError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
                raise CheckpointError(f"{self.folder / entry['file']} is no lesson of this run ({error}); begin anew") from error
            self._entries[lessons[-1].number] = dict(entry)
        return lessons

    def _write(self, lesson: Lesson) -> dict[str, Any]:
        data = safetensors.torch.save(lesson.stored())
        name = f"lesson-{lesson.number:06d}.safetensors"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / name, data)
        except OSError as error:
            raise CheckpointError(f"{self.folder / name} cannot be written ({error}); the last checkpoint is untouched") from error
        return {"number": lesson.number, "file": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
