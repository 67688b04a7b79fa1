"""Test configuration: the tests folder is importable, kernels' cache is shared with the user's."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
