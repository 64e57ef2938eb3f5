"""The floors: each package imports only the packages below it, and public names load lazily."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BELOW = {
    "sensors": set(),
    "envs": {"sensors"},
    "feedback": {"sensors", "envs"},
    "drive_fusion": {"sensors", "envs", "feedback"},
}
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}


def imported_packages(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", BELOW)
def test_a_package_imports_only_the_floors_below(package):
    for path in (ROOT / package).rglob("*.py"):
        above = imported_packages(path) & (set(BELOW) - BELOW[package] - {package})
        assert not above, f"{path.relative_to(ROOT)} imports {sorted(above)}, which lie above {package}"


@pytest.mark.parametrize("package", BELOW)
def test_no_module_has_a_vague_name(package):
    vague = [path.name for path in (ROOT / package).rglob("*") if path.stem in VAGUE]
    assert not vague


@pytest.mark.parametrize("package", BELOW)
def test_every_public_name_exists(package):
    module = __import__(package)
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_importing_the_packages_does_not_import_torch():
    code = "import sys, sensors, envs, feedback, drive_fusion; sys.exit('torch' in sys.modules or 'numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
