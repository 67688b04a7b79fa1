"""A cap on the memory of a conversion: rows of a shard or two, waiting text, a stretch of text for each thread.

The bytes of a store do not depend on it: shards are as large as ever, but fewer of them are in memory at once.
"""

from dataclasses import dataclass

from genassoc.data import schema
from genassoc.data.memory import enough_memory, parse_memory, resident_memory, show_memory
from genassoc.errors import PlanError
from genassoc.formats.source import MAX_HEADER_BYTES, MAX_LINE_BYTES
from genassoc.shapes import packed_bytes

MEMORY_IN_FLIGHT = 192 * 2**20  # text that waits to be scanned or written, where nothing else is asked for
# Bytes, measured (docs/hpc.md); they bound from above.
_LIBRARIES = 60 * 2**20  # compiled kernels, the compressor, the tables of variants: with the first shard
_THREAD = 40 * 2**20  # stretches of text as they are inflated, scanned and packed, and an arena of the allocator
_LEAST_IN_FLIGHT = 24 * 2**20
_COPIES_OF_A_LINE = 4  # in pieces, joined, and as the rows and the message that are made of it
_COPIES_OF_A_HEADER = 4  # as it grows, and what is made of its lines
_LEAST_HEADER = 2**25  # a smaller cap is refused, and the message names the least that is enough
_CHUNKS_IN_FLIGHT = (
    6  # of dosages: `genassoc.data.store.streamed` lets four wait, and what is made of two is beside them
)
_COMPRESSED = 0.3  # of a shard's rows, while they wait for its file: calls shrink four times and more


@dataclass(frozen=True)
class ConversionSizes:
    """What a conversion may hold at once.

    Attributes
    ----------
    threads : int
    in_flight : int
        Bytes of text that wait.
    cap : int or None
        Of the process; nothing more is read while it is near.
    ahead : bool
        Whether a shard fills while the one before is written.
    line_bytes : int
        The longest line that there is room for: as it is put together, joined and scanned.
    """

    threads: int
    in_flight: int = MEMORY_IN_FLIGHT
    cap: int | None = None
    ahead: bool = True
    line_bytes: int = MAX_LINE_BYTES

    def has_room(self, waiting: int) -> bool:
        """Whether more may be read while ``waiting`` bytes wait."""
        if waiting > self.in_flight:
            return False
        return self.cap is None or resident_memory() + _LEAST_IN_FLIGHT <= self.cap

    @classmethod
    def fit(cls, memory: str | int | None, n_samples: int, threads: int, dosages: bool = False) -> "ConversionSizes":
        """The fastest sizes below a cap (such as "1GiB"); without one, as fast as can be.

        Raises
        ------
        PlanError
            Not even the smallest fit; says what would.
        """
        if memory is None:
            return cls(threads)
        cap = parse_memory(memory)
        shard = schema.BLOCKS_PER_SHARD * schema.block_variants(n_samples, dosages) * packed_bytes(n_samples)
        if dosages:
            # values and probabilities of the chunk that fills, of those being compressed and of their copies; of each part
            shard += 2 * 2 * schema.working_variants(n_samples, dosages) * n_samples * (_CHUNKS_IN_FLIGHT + 1)
        fixed = resident_memory() + _LIBRARIES

        def total(n: int, in_flight: int, ahead: bool) -> int:
            shards = (2 if ahead else 1) * (1 + _COMPRESSED) * shard
            return int(fixed + shards + n * _THREAD + in_flight)

        least = total(1, _LEAST_IN_FLIGHT, False)
        if least > cap:
            raise PlanError(
                f"--memory {show_memory(cap)} is too little to convert {n_samples:,} samples: the program takes "
                f"{show_memory(fixed)}, a shard of the store {show_memory((1 + _COMPRESSED) * shard)}. Give at least --memory "
                f"{enough_memory(least)}."
            )
        ahead = total(1, _LEAST_IN_FLIGHT, True) <= cap
        n = max(1, min(threads, (cap - total(0, _LEAST_IN_FLIGHT, ahead)) // _THREAD))
        in_flight = min(MEMORY_IN_FLIGHT, _LEAST_IN_FLIGHT + cap - total(n, _LEAST_IN_FLIGHT, ahead))
        spare = _LEAST_IN_FLIGHT + cap - total(1, _LEAST_IN_FLIGHT, ahead)
        return cls(n, in_flight, cap, ahead, min(MAX_LINE_BYTES, spare // _COPIES_OF_A_LINE))


def header_bytes(memory: str | int | None) -> int:
    """The longest header that may be read below a cap."""
    if memory is None:
        return MAX_HEADER_BYTES
    spare = parse_memory(memory) - resident_memory()
    return max(_LEAST_HEADER, min(MAX_HEADER_BYTES, spare // _COPIES_OF_A_HEADER))
