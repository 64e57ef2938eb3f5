"""A study: the folder that holds labels, clips and runs, and remembers which stages are done.

- ``feedback.db``: labels and takeovers, shared by the study's runs
- ``clips/``: clips and the videos that people saw
- ``runs/NAME/``: config.json, checkpoints/, recordings/, tensorboard/
- ``study.json``: settings, and the stages that ended with what they found
- ``report.html``
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sensors.errors import ConfigError


def write_json(path: Path, data: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".tmp")
    with unfinished.open("w") as file:
        json.dump(data, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def read_json(path: Path, what: str, instead: str) -> Any:
    """Read JSON that a person may have touched.

    Args:
        path: The file.
        what: What it should hold, for messages.
        instead: What to do when it does not.

    Raises:
        ConfigError: It cannot be read, or is no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not {what} ({' '.join(str(error).split())[:200]}); {instead}") from error


@dataclass(frozen=True)
class Study:
    """One study's folder."""

    folder: Path

    @property
    def database(self) -> Path:
        """Labels, takeovers, clips and reviewers."""
        return self.folder / "feedback.db"

    @property
    def clips(self) -> Path:
        """Clips and their videos."""
        return self.folder / "clips"

    @property
    def report(self) -> Path:
        """The page for people."""
        return self.folder / "report.html"

    def run(self, name: str) -> Path:
        """The folder of one run."""
        return self.folder / "runs" / name

    def open(self, settings: Any) -> None:
        """Make the folder, or come back to it with the same settings.

        Args:
            settings: A dataclass; what the study was begun with.

        Raises:
            ConfigError: The study was begun with other settings.
        """
        wanted = json.loads(json.dumps(asdict(settings), default=str))
        memory = self._memory()
        begun = memory.get("settings")
        if begun is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / "study.json", {"settings": wanted, "stages": {}})
            return
        differing = sorted(key for key in wanted.keys() | begun.keys() if wanted.get(key) != begun.get(key))
        if differing:
            changes = ", ".join(f"{key} {begun.get(key)!r} -> {wanted.get(key)!r}" for key in differing)
            raise ConfigError(f"study {self.folder} was begun with other settings ({changes}); choose another --study or delete the folder")

    def settings(self) -> dict[str, Any]:
        """What the study was begun with."""
        settings: dict[str, Any] = self._memory().get("settings", {})
        return settings

    def inside(self, name: str) -> Path:
        """Where a file of the study lies that ``study.json`` names.

        Raises:
            ConfigError: That is outside the study.
        """
        path = self.folder / str(name)
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise ConfigError(f"{self.folder / 'study.json'} names {str(name)!r}, which is outside the study; refused")
        return path

    def outcome(self, stage: str) -> Any | None:
        """What a stage left when it ended, or None when it has not."""
        return self._memory().get("stages", {}).get(stage)

    def finish(self, stage: str, outcome: Any) -> None:
        """Remember that a stage ended, and what it found."""
        memory = self._memory()
        memory.setdefault("stages", {})[stage] = outcome
        write_json(self.folder / "study.json", memory)

    def _memory(self) -> dict[str, Any]:
        path = self.folder / "study.json"
        if not path.exists():
            return {}
        memory = read_json(path, "readable as JSON", "restore it or delete the study")
        for part in (memory, *(memory.get(name, {}) for name in ("settings", "stages") if isinstance(memory, dict))):
            if not isinstance(part, dict):
                raise ConfigError(f"{path} holds {type(part).__name__}, expected an object; restore it or delete the study")
        return memory  # type: ignore[no-any-return]
