"""Benchmarks: each suite is a configuration and a function that returns flat figures; one runner prints and saves them."""

from __future__ import annotations

from typing import NamedTuple


class Suite(NamedTuple):
    """Where a suite lives."""

    config: str
    """``module:dataclass``."""
    measure: str
    """``module:function`` from the configuration to ``{"name.metric": value}``."""
    summary: str


SUITES: dict[str, Suite] = {
    "world": Suite("drive_fusion.bench.world:WorldBench", "drive_fusion.bench.world:bench_world", "policy steps/s beside EnvPool"),
    "gpu": Suite("drive_fusion.bench.gpu:GpuBench", "drive_fusion.bench.gpu:bench_gpu", "policy steps/s on a GPU, state only"),
    "parity": Suite("drive_fusion.bench.parity:ParityBench", "drive_fusion.bench.parity:bench_parity", "difference from highway-env"),
    "sensors": Suite("drive_fusion.bench.sensors:SensorBench", "drive_fusion.bench.sensors:bench_sensors", "frames/s beside Open3D"),
    "network": Suite("drive_fusion.bench.network:NetworkBench", "drive_fusion.bench.network:bench_network", "what every fusion costs"),
    "highway": Suite(
        "drive_fusion.bench.highway:HighwayBench",
        "drive_fusion.bench.highway:bench_highway",
        "drivers learned from privileged state and from sensors beside IDM",
    ),
    "robustness": Suite(
        "drive_fusion.bench.robustness:RobustnessBench",
        "drive_fusion.bench.robustness:bench_robustness",
        "fused against single-sense drivers in mixed weather and faults",
    ),
    "driver": Suite("drive_fusion.bench.driver:DriverBench", "drive_fusion.bench.driver:bench_driver", "PPO env steps/s, latency"),
    "learning": Suite(
        "drive_fusion.bench.learning:LearningBench",
        "drive_fusion.bench.learning:bench_learning",
        "what sensors learn beside privileged state",
    ),
    "preferences": Suite(
        "drive_fusion.bench.preferences:PreferencesBench",
        "drive_fusion.bench.preferences:bench_preferences",
        "how far PPO gets on a reward learned from answers alone",
    ),
    "judging": Suite(
        "drive_fusion.bench.judging:JudgingBench",
        "drive_fusion.bench.judging:bench_judging",
        "how well a learned reward foretells answers, beside what nobody can beat, and its twin over sensors",
    ),
}
