"""What to export, and where to."""

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
    """Read labels from a .jsonl or .parquet file that this command wrote: all of them, or on any error none."""
    recording: Path | None = None
    """A recorded drive (drive-fusion run --record FOLDER) to be seen through a rig, checked, and written as frames."""
    frames: Path | None = None
    """Folder for the recording's frames: PNG images, point clouds, radar lists, poses, boxes, calibration; must be new or empty."""
    rig: str = "preview"
    """Whose sensors look at the recording."""
    format: str = "pcd"
    """Of point clouds: pcd, ply, or bin (KITTI)."""
    clean: bool = False
    """Take damaged frames out; clean the clouds: outliers, one point a voxel, ground and clusters marked."""
    every: int = 1
    """Take every so many instants."""

    def __post_init__(self) -> None:
        if self.labels is None and self.import_labels is None and self.recording is None:
            raise ConfigError(
                "export has nothing to do; give --labels FILE.jsonl, --labels FILE.parquet, --import-labels FILE, "
                "or --recording FILE.parquet --frames FOLDER"
            )
        if (self.recording is None) != (self.frames is None):
            raise ConfigError("export: --recording and --frames belong together; give the recorded drive and the folder for its frames")
        if self.every < 1:
            raise ConfigError(f"export: every is {self.every}, expected at least 1")


def run_export(config: ExportConfig) -> int:
    """Do what was asked for."""
    if config.labels is not None or config.import_labels is not None:
        from drive_fusion.export.labels import exchange_labels

        exchange_labels(config)
    if config.recording is not None:
        from drive_fusion.export.drive import export_drive

        export_drive(config)
    return 0
