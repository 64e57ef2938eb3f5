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
        try:
            memory = json.loads(path.read_text())
        except ValueError as error:
            raise ConfigError(f"{path} is not readable as JSON ({error}); restore it or delete the study") from None
        if not isinstance(memory, dict):
            raise ConfigError(f"{path} holds {type(memory).__name__}, expected an object; restore it or delete the study")
        return memory
