"""``drive-fusion export``: a study's labels for other tools, and labels of other tools for a study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sensors.errors import ConfigError


@dataclass(frozen=True)
class ExportConfig:
    """Options of ``drive-fusion export``."""

    study: Path = Path("studies/demo")
    """The study's folder."""
    labels: Path | None = None
    """Write the active labels here; .jsonl or .parquet, by the name's end."""
    import_labels: Path | None = None
    """Read labels from a .jsonl file that this command wrote: all of them, or on any error none."""

    def __post_init__(self) -> None:
        if self.labels is None and self.import_labels is None:
            raise ConfigError("export has nothing to do; give --labels FILE.jsonl, --labels FILE.parquet, or --import-labels FILE.jsonl")


def run_export(config: ExportConfig) -> int:
    """Write or read labels, and say how many."""
    from drive_fusion.study import Study
    from feedback.exchange import export_labels, import_labels
    from feedback.store import Store

    database = Study(config.study).database
    if not database.is_file():
        raise ConfigError(f"no study at {config.study}: {database} does not exist; make one with drive-fusion demo --study {config.study}")
    with Store(database) as store:
        if config.import_labels is not None:
            print(f"read {import_labels(store, config.import_labels)} new labels from {config.import_labels}")
        if config.labels is not None:
            print(f"wrote {export_labels(store, config.labels)} labels to {config.labels}")
    return 0
