"""Where all samples were called: the regions of a BED file (text: contig, first base from 0, end)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genassoc.data.cohort.contigs import Contigs
from genassoc.errors import InputError
from genassoc.shapes import BoolArray, Int64Array

MOST_BYTES = 2**30  # of such a file


@dataclass(frozen=True)
class Called:
    """Regions of each contig, joined where they touch, in order.

    Attributes
    ----------
    path : Path
    regions : dict
        Contig -> int64 array (any, 2): first and last position, from 1, both included.
    """

    path: Path
    regions: dict[str, Int64Array]

    @classmethod
    def read(cls, path: Path) -> "Called":
        """Read a BED file; `InputError` names the line that is none."""
        try:
            if path.stat().st_size > MOST_BYTES:
                raise InputError(f"{path}: has more than {MOST_BYTES:,} bytes: is it a list of regions?")
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: the list of called sites cannot be read: {error}") from error
        found: dict[str, list[tuple[int, int]]] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith(("#", "track", "browser")):
                continue
            words = line.split()
            if len(words) < 3 or not (words[1].isdecimal() and words[2].isdecimal()) or len(words[2]) > 15:
                raise InputError(
                    f"{path}:{number}: is no line of a BED (contig, first base from 0, end): {line[:60]!r}"
                )
            first, end = int(words[1]), int(words[2])
            if first >= end:
                raise InputError(f"{path}:{number}: the region ends before it begins: {line[:60]!r}")
            found.setdefault(words[0], []).append((first + 1, end))
        if not found:
            raise InputError(f"{path}: no regions: nobody would be called anywhere")
        return cls(path, {contig: _joined(sorted(parts)) for contig, parts in found.items()})

    def named_as(self, contigs: tuple[str, ...]) -> "Called":
        """The regions with contigs named as in a lake, which may say 1 for chr1."""
        known = Contigs.of(contigs)
        named: dict[str, list[tuple[int, int]]] = {}
        for contig, parts in self.regions.items():
            for name in known.same(contig) or ([contig] if contig in contigs else []):
                named.setdefault(name, []).extend((int(a), int(b)) for a, b in parts)
        if not named:
            raise InputError(
                f"{self.path}: has regions of {', '.join(list(self.regions)[:5])}, and of none of {', '.join(contigs[:30])}"
            )
        return Called(self.path, {contig: _joined(sorted(parts)) for contig, parts in named.items()})

    def at(self, contig: str, positions: Int64Array) -> BoolArray:
        """Which positions (V,) of a contig are in a region."""
        parts = self.regions.get(contig)
        if parts is None:
            return np.zeros(positions.size, bool)
        at = np.searchsorted(parts[:, 0], positions, side="right") - 1
        return np.asarray((at >= 0) & (positions <= parts[np.maximum(at, 0), 1]))


def _joined(parts: list[tuple[int, int]]) -> Int64Array:
    joined: list[tuple[int, int]] = []
    for first, last in parts:
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return np.array(joined, np.int64).reshape(-1, 2)
