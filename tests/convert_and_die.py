"""Run by test_convert.py in a process of its own: converts with tiny parts and kills itself (kill -9) at a point.

python convert_and_die.py OUT POINT NUMBER THREADS INPUT...
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from genassoc.data import schema
from genassoc.data.store.arrays import StoreArrays
from genassoc.data.store.part_writer import PartWriter
from genassoc.formats import bgzf
from genassoc.formats.convert import convert
from genassoc.formats.plink import fileset
from genassoc.formats.vcf import bcf
from genassoc.progress import Silent


def make_parts_tiny() -> None:
    """Parts of 32 rows, pieces of a few lines or variants."""
    schema.MAX_BLOCK_VARIANTS = 16
    schema.BLOCKS_PER_SHARD = 2
    bgzf.GROUP_BLOCKS = 1
    bgzf.PLAIN_BYTES = 3000
    bcf.PIECE_BYTES = 3000
    fileset.MOST_LINES = 7


class Slow(Silent):
    """Gives the parent time to kill."""

    def advance(self, amount: float) -> None:
        time.sleep(0.05)


def main(out: str, point: str, number: str, threads: str, *inputs: str) -> None:
    make_parts_tiny()
    calls = 0

    def dying(method: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            nonlocal calls
            result = method(*args, **options)
            calls += 1
            if calls == int(number):
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapped

    if point == "shard":  # written, but not in the journal
        StoreArrays.write_shard = dying(StoreArrays.write_shard)  # type: ignore[method-assign]
    elif point == "journal":
        PartWriter.write = dying(PartWriter.write)  # type: ignore[method-assign]
    elif point == "metadata":
        StoreArrays.write_metadata = dying(StoreArrays.write_metadata)  # type: ignore[method-assign]
    elif point == "complete":
        StoreArrays.complete = dying(StoreArrays.complete)  # type: ignore[method-assign]
    convert(list(inputs), out, threads=int(threads), progress=Slow() if point == "parent" else None)


if __name__ == "__main__":
    main(*sys.argv[1:])
