"""A study's labels for other tools, and labels of other tools for a study."""

from __future__ import annotations

from drive_fusion.export.config import ExportConfig
from sensors.errors import ConfigError


def exchange_labels(config: ExportConfig) -> None:
    """Write or read labels, and say how many."""
    from drive_fusion.study import Study
    from feedback.database import database_of
    from feedback.exchange import export_labels, import_labels
    from feedback.store import Store

    database = Study(config.study).database
    if database_of(config.study) is None:
        raise ConfigError(f"no study at {config.study}: {database} does not exist; make one with drive-fusion demo --study {config.study}")
    with Store.of_study(config.study) as store:
        if config.import_labels is not None:
            print(f"read {import_labels(store, config.import_labels)} new labels from {config.import_labels}")
        if config.labels is not None:
            print(f"wrote {export_labels(store, config.labels)} labels to {config.labels}")
