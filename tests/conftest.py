"""What tests of several packages share."""

import os

import pytest

from sensors.clouds import library
from sensors.errors import ConfigError


@pytest.fixture
def open3d():
    """The module, or a skip that names it; a failure where DRIVE_FUSION_REQUIRE_ALL=1."""
    try:
        return library.open3d()
    except ConfigError as error:
        if os.environ.get("DRIVE_FUSION_REQUIRE_ALL") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))
