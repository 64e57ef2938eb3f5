"""``python -m drive_fusion`` is ``drive-fusion``."""

import sys

from drive_fusion.cli import main

sys.exit(main())
