"""The kernel cache: its folder follows the sources of every kernel."""

import subprocess
import sys
import textwrap
from pathlib import Path

from sensors.jit import sources_of


def test_a_module_is_keyed_by_all_that_it_imports():
    names = {path.name for path in sources_of("envs.traffic.batch")}
    assert {"batch.py", "jit.py"} <= names
    assert "camera.py" not in names, "a change to what a kernel cannot see must not compile it anew"


def run_caller(folder: Path) -> str:
    code = "import sensors.jit as jit; jit.KERNEL_PACKAGES = ('kernels',)\nimport kernels.caller; print(kernels.caller.twice(3))"
    environment = {"PYTHONDONTWRITEBYTECODE": "1"}  # Python's own cache takes two sources of one second and length for the same
    environment |= {"PATH": "", "DRIVE_FUSION_CACHE": str(folder / "cache"), "PYTHONPATH": f"{folder}:{Path(__file__).parents[2]}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_changed_leaf_is_compiled_anew_in_its_callers(tmp_path):
    package = tmp_path / "kernels"
    package.mkdir()
    (package / "__init__.py").write_text("")
    leaf = "from sensors.jit import kernel\n\n@kernel()\ndef factor(x):\n    return {} * x\n"
    (package / "leaf.py").write_text(leaf.format(2))
    caller = """
        from kernels.leaf import factor
        from sensors.jit import kernel

        @kernel()
        def twice(x):
            return factor(x)
    """
    (package / "caller.py").write_text(textwrap.dedent(caller))
    assert run_caller(tmp_path) == "6"
    assert list((tmp_path / "cache").rglob("*.nbc")), "nothing was cached, so the test would show nothing"
    (package / "leaf.py").write_text(leaf.format(5))
    assert run_caller(tmp_path) == "15"
