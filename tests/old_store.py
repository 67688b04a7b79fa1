"""Stores as earlier versions wrote them."""

import json
from pathlib import Path

from genassoc.data.store.pieces import PIECES, ROOT


def without_root(store: Path) -> Path:
    """Take away the list of a store's pieces, and the root over it."""
    (store / PIECES).unlink()
    document = json.loads((store / "zarr.json").read_text())
    del document["attributes"][ROOT]
    (store / "zarr.json").write_text(json.dumps(document))
    return store
