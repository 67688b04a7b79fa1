"""The folder of a store: where it is built, and what it says of itself without being opened."""

import json
from pathlib import Path
from typing import Any

from genassoc.data import schema, strangers

WORK_PREFIX = "wip_"


def work_folder(path: Path) -> Path:
    """Where a store is built before it is renamed to ``path``."""
    return path.with_name(WORK_PREFIX + path.name)


def read_attributes(path: Path) -> dict[str, Any] | None:
    """Attributes of the store at ``path`` without opening it; None where there is no genassoc store."""
    try:
        attributes = json.loads(strangers.read_bytes(path / "zarr.json"))["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return attributes if isinstance(attributes, dict) and attributes.get("format") == schema.FORMAT_NAME else None
