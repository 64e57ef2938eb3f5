"""The command line: quick help, clear refusals."""

import subprocess
import sys
import time

import pytest

from drive_fusion.cli import COMMANDS, main


def test_help_answers_within_a_second():
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "drive_fusion", "--help"], capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.0
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [(["evalate"], "evaluate"), (["bench", "wrld"], "world"), (["run", "--id", "highway-fst-v0"], "highway-fast-v0")],
)
def test_a_misspelt_name_is_refused_with_a_guess(arguments, meant, capsys):
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert f"did you mean '{meant}'" in message
    assert message.count("\n") == 1


def test_an_unknown_option_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--stirct"])
    assert stop.value.code == 2
    assert "--strict" in capsys.readouterr().err


def test_no_command_prints_usage_and_fails(capsys):
    assert main([]) == 2
    assert "usage: drive-fusion" in capsys.readouterr().out
