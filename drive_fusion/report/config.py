"""Options of ``drive-fusion report``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ReportConfig:
    """Options of ``drive-fusion report``."""

    study: Path = Path("studies/demo")
    """The study's folder; its report.html is written anew from what its stages left."""
