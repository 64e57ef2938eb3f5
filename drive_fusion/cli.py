"""The command line: ``drive-fusion COMMAND``. Nothing heavy is imported before a command is known."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from sensors.errors import DriveFusionError, did_you_mean


class Command(NamedTuple):
    """Where a command lives: its configuration is its command line."""

    config: str
    """``module:dataclass``, imported before the arguments are read, so its module stays light."""
    run: str
    """``module:function`` that takes the configuration; it may return an exit status."""
    summary: str


COMMANDS: dict[str, Command] = {
    "demo": Command("drive_fusion.demo:DemoConfig", "drive_fusion.demo:run_demo", "the main job end to end, in ten minutes"),
    "run": Command("drive_fusion.episode:RunConfig", "drive_fusion.episode:run_episodes", "drive episodes; record them; make a video"),
    "train": Command("drive_fusion.training:TrainConfig", "drive_fusion.training:train", "train a fused driver with PPO"),
    "review": Command("feedback.server.config:ReviewConfig", "feedback.server:serve", "serve the review room to people's browsers"),
    "evaluate": Command(
        "drive_fusion.scoring_table:EvaluateConfig", "drive_fusion.scoring_table:run_evaluation", "score drivers on held-out seeds"
    ),
    "bench": Command("drive_fusion.bench:BenchConfig", "drive_fusion.bench:run_bench", "measure speed and parity"),
    "export": Command("drive_fusion.export:ExportConfig", "drive_fusion.export:run_export", "write labels and recordings for other tools"),
    "report": Command("drive_fusion.report:ReportConfig", "drive_fusion.report:run_report", "write a study's report.html"),
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


def run_command(name: str, arguments: Sequence[str]) -> int:
    """Read a command's options and run it.

    Raises:
        DriveFusionError: What the command refuses.
    """
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
