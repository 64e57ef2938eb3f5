"""The kernel cache: its folder follows the sources of every kernel."""

import subprocess
import sys
import textwrap
from pathlib import Path

from numba.core import config

from sensors.jit import cache_folder, source_hash


def test_any_source_file_changes_the_key(tmp_path):
    (tmp_path / "leaf.py").write_text("x = 1\n")
    (tmp_path / "caller.py").write_text("from leaf import x\n")
    before = source_hash([tmp_path])
    assert source_hash([tmp_path]) == before
    (tmp_path / "leaf.py").write_text("x = 2\n")
    assert source_hash([tmp_path]) != before


def test_numba_caches_in_the_keyed_folder():
    assert config.CACHE_DIR == str(cache_folder())


def run_caller(folder: Path) -> str:
    code = "import sensors.jit as jit; jit.KERNEL_PACKAGES = ('kernels',)\n"
    code += (
        "from numba.core import config; config.CACHE_DIR = str(jit.cache_folder())\nimport kernels.caller; print(kernels.caller.twice(3))"
    )
    environment = {"PATH": "", "DRIVE_FUSION_CACHE": str(folder / "cache"), "PYTHONPATH": f"{folder}:{Path(__file__).parents[2]}"}
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
    (package / "leaf.py").write_text(leaf.format(5))
    assert run_caller(tmp_path) == "15"
