"""Benchmark results: flat figures with the hardware and versions that made them, as JSON, and their comparison."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from drive_fusion.study import read_json
from sensors.errors import ConfigError

SCHEMA = 1
PACKAGES = ("drive-fusion", "numpy", "torch", "numba", "gymnasium", "highway-env", "stable-baselines3", "envpool", "open3d")


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of what is installed of the packages that matter to a figure."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class Result:
    """One run of one suite."""

    suite: str
    figures: dict[str, float]
    config: dict[str, Any]
    config_hash: str
    hardware: dict[str, Any]
    versions: dict[str, str]
    schema: int = SCHEMA

    @staticmethod
    def of(suite: str, config: Any, figures: dict[str, float]) -> Result:
        """Put figures beside the machine that made them."""
        settings = json.loads(json.dumps(asdict(config), default=str))
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
        hardware = {"processor": processor(), "cores": os.cpu_count(), "system": platform.platform()}
        return Result(suite, figures, settings, digest, hardware, versions())

    def lines(self) -> list[str]:
        """Hardware, versions and every figure, one a line."""
        head = [
            f"{self.suite}.hardware: {self.hardware['processor']}, {self.hardware['cores']} cores",
            f"{self.suite}.versions: {', '.join(f'{name} {number}' for name, number in self.versions.items())}",
            f"{self.suite}.config: {self.config_hash} {json.dumps(self.config)}",
        ]
        return head + [f"{self.suite}.{name}: {value:.6g}" for name, value in self.figures.items()]

    def save(self, path: Path) -> None:
        """Write the result as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @staticmethod
    def load(path: Path) -> Result:
        """Read a result.

        Raises:
            ConfigError: The file is missing or is not a result of this schema.
        """
        instead = f"make one with drive-fusion bench SUITE --json {path}"
        data = read_json(path, "a benchmark result", instead)
        try:
            result = Result(**data)
            figures = {str(name): float(value) for name, value in result.figures.items()}
        except (TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"{path} is not a benchmark result ({error}); {instead}") from None
        if result.schema != SCHEMA:
            raise ConfigError(f"{path} has schema {result.schema}, expected {SCHEMA}; measure again with this version")
        return replace(result, figures=figures)


def compare(first: Result, second: Result) -> list[str]:
    """Put two results of one suite side by side: each shared figure and the ratio second / first.

    Raises:
        ConfigError: The results are of different suites.
    """
    if first.suite != second.suite:
        raise ConfigError(f"cannot compare suite {first.suite!r} with {second.suite!r}; give two results of one suite")
    shared = [name for name in first.figures if name in second.figures]
    width = max((len(name) for name in shared), default=0)
    lines = [f"{'figure':<{width}}  {'A':>12}  {'B':>12}  {'B / A':>8}"]
    for name in shared:
        a, b = first.figures[name], second.figures[name]
        ratio = b / a if a else math.nan
        lines.append(f"{name:<{width}}  {a:>12.6g}  {b:>12.6g}  {ratio:>8.3f}")
    for label, one, other in (("A", first, second), ("B", second, first)):
        alone = sorted(set(one.figures) - set(other.figures))
        if alone:
            lines.append(f"only in {label}: {', '.join(alone)}")
    if first.config_hash != second.config_hash:
        lines.append(f"note: settings differ ({first.config_hash} and {second.config_hash})")
    if first.hardware != second.hardware:
        lines.append("note: measured on different machines; only ratios to a peer inside one result can be compared")
    return lines
