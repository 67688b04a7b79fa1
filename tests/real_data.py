"""Finds the folder of real data with expected outputs; tests that need it skip, saying so, where it is absent."""

import os
from pathlib import Path

import pytest

_PROJECT = Path(__file__).resolve().parents[1]


def real_data(name: str) -> Path:
    """Folder ``name`` of the shared real data: beside the checkout, or where GENASSOC_REAL_DATA says."""
    base = Path(os.environ.get("GENASSOC_REAL_DATA", _PROJECT.parent / "shared" / "data"))
    folder = base / name
    if not folder.exists():
        pytest.skip(f"real data '{name}' is not here (set GENASSOC_REAL_DATA to its folder)")
    return folder
