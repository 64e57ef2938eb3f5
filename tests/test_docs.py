"""The documentation names every command, option and environment id, and its links lead somewhere."""

import importlib.util
import re
from pathlib import Path

import pytest

from envs.ids import IDS
from sensors.presets import RIGS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_commands_page_is_what_the_commands_say():
    spec = importlib.util.spec_from_file_location("make_commands", ROOT / "docs" / "make_commands.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    assert maker.PAGE.read_text() == maker.page(), "run: python docs/make_commands.py"


def test_every_id_and_rig_is_documented():
    text = (ROOT / "docs" / "worlds.md").read_text() + (ROOT / "docs" / "sensors.md").read_text()
    missing = [name for name in (*IDS, *RIGS) if f"`{name}`" not in text]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_to_files(page):
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert not [target for target in targets if not (page.parent / target).exists()]
