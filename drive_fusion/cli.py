"""The command line: ``drive-fusion COMMAND``. Nothing heavy is imported before a command is known."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from sensors.errors import ConfigError, DriveFusionError, did_you_mean, unknown_name


class Command(NamedTuple):
    """Where a command lives: its configuration is its command line."""

    config: str
    """``module:dataclass``, imported before the arguments are read, so its module stays light."""
    run: str
    """``module:function`` that takes the configuration; it may return an exit status."""
    summary: str


COMMANDS: dict[str, Command] = {
    "demo": Command("drive_fusion.demo.config:DemoConfig", "drive_fusion.demo.stages:run_demo", "the main job end to end, in ten minutes"),
    "run": Command("drive_fusion.episode:RunConfig", "drive_fusion.episode:run_episodes", "drive episodes; record them; make a video"),
    "train": Command("drive_fusion.training:TrainConfig", "drive_fusion.training:train", "train a fused driver with PPO"),
    "distill": Command(
        "drive_fusion.distilling.config:DistillConfig",
        "drive_fusion.distilling.dagger:distill",
        "teach a fused driver what a privileged one does",
    ),
    "review": Command(
        "feedback.server.config:ReviewConfig", "drive_fusion.review:run_review", "serve the review room to people's browsers"
    ),
    "audit": Command("feedback.audit_command:AuditConfig", "feedback.audit_command:run_audit", "check a study's audit log"),
    "evaluate": Command(
        "drive_fusion.scoreboard:EvaluateConfig", "drive_fusion.scoreboard:run_evaluation", "score drivers on held-out seeds"
    ),
    "bench": Command("", "", "measure speed and parity: bench SUITE, bench compare A B"),
    "export": Command(
        "drive_fusion.export.config:ExportConfig", "drive_fusion.export.config:run_export", "write labels and recordings for other tools"
    ),
    "report": Command("drive_fusion.report.config:ReportConfig", "drive_fusion.report.page:run_report", "write a study's report.html"),
    "doctor": Command("drive_fusion.doctor:DoctorConfig", "drive_fusion.doctor:run_doctor", "say what is missing and how to get it"),
}


def usage() -> str:
    """The text of ``drive-fusion --help``."""
    width = max(map(len, COMMANDS))
    rows = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: drive-fusion COMMAND [OPTIONS]",
            "",
            "Learning to drive from people: fast traffic, three senses, one driver.",
            "",
            *rows,
            "",
            "drive-fusion COMMAND --help tells a command's options.",
        ]
    )


def _named(path: str) -> object:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def bench_usage() -> str:
    """The text of ``drive-fusion bench --help``."""
    from drive_fusion.bench import SUITES

    rows = [f"  {name:<11}  {suite.summary}" for name, suite in SUITES.items()]
    return "\n".join(
        [
            "usage: drive-fusion bench SUITE [OPTIONS] [--json FILE]",
            "       drive-fusion bench compare A.json B.json",
            "",
            *rows,
            "",
            "drive-fusion bench SUITE --help tells a suite's options.",
        ]
    )


def _taken_option(arguments: Sequence[str], option: str) -> tuple[list[str], str | None]:
    """Take ``option VALUE`` out of the arguments."""
    rest = list(arguments)
    if option not in rest:
        return rest, None
    place = rest.index(option)
    if place + 1 == len(rest):
        raise ConfigError(f"{option} needs a file name")
    value = rest[place + 1]
    del rest[place : place + 2]
    return rest, value


def run_bench(arguments: Sequence[str]) -> int:
    """``drive-fusion bench``: run a suite, print its figures, save them; or compare two results."""
    from drive_fusion.bench import SUITES
    from drive_fusion.bench.results import Result, compare

    if not arguments or arguments[0] in ("-h", "--help"):
        print(bench_usage())
        return 0 if arguments else 2
    name, rest = arguments[0], arguments[1:]
    if name == "compare":
        if len(rest) != 2:
            raise ConfigError(f"bench compare takes two result files, got {len(rest)}")
        print("\n".join(compare(*(Result.load(Path(path)) for path in rest))))
        return 0
    if name not in SUITES:
        raise unknown_name("benchmark", name, [*SUITES, "compare"])
    import tyro

    rest, target = _taken_option(rest, "--json")
    suite = SUITES[name]
    config = tyro.cli(_named(suite.config), args=rest, prog=f"drive-fusion bench {name}", description=suite.summary)  # type: ignore[call-overload]
    result = Result.of(name, config, _named(suite.measure)(config))  # type: ignore[operator]
    print("\n".join(result.lines()))
    if target is not None:
        result.save(Path(target))
    return 0


def run_command(name: str, arguments: Sequence[str]) -> int:
    """Read a command's options and run it.

    Raises:
        DriveFusionError: What the command refuses.
    """
    if name == "bench":
        return run_bench(arguments)
    import tyro

    command = COMMANDS[name]
    config = tyro.cli(_named(command.config), args=list(arguments), prog=f"drive-fusion {name}", description=command.summary)  # type: ignore[call-overload]
    status = _named(command.run)(config)  # type: ignore[operator]
    return status if isinstance(status, int) else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(usage())
        return 0 if given else 2
    if given[0] == "--version":
        from drive_fusion import __version__

        print(f"drive-fusion {__version__}")
        return 0
    if given[0] not in COMMANDS:
        print(f"drive-fusion: unknown command {given[0]!r}; {did_you_mean(given[0], COMMANDS)}", file=sys.stderr)
        return 2
    try:
        return run_command(given[0], given[1:])
    except DriveFusionError as error:
        print(f"drive-fusion {given[0]}: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ndrive-fusion {given[0]}: stopped", file=sys.stderr)
        return 130
