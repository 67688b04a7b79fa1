"""Notes on a store for those who analyse it: dosages that were not read, genome build, names of contigs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from genassoc.data.cohort.builds import build_notes
from genassoc.data.cohort.contigs import Contigs

if TYPE_CHECKING:
    from genassoc.data.store.store import GenotypeStore


def dosage_notes(dosages: Mapping[str, int]) -> list[str]:
    """A note that the input has dosages or probabilities that were not read; empty without any."""
    if not dosages:
        return []
    fields = ", ".join(f"{name} in {n:,} records" for name, n in dosages.items())
    return [
        f"imputed dosages are there and were not read ({fields}): the genotypes (GT) are analysed, which are the best guess "
        "where calls were imputed, and lose power where they are uncertain"
    ]


def build_lines(build: Mapping[str, str]) -> list[str]:
    """The genome build that the files of a store told."""
    if not build:
        return ["genome build: the files do not tell it"]
    return [f"genome build: {build.get('name')}, by the {build.get('by')}"]


def unread_dosages(store: "GenotypeStore") -> list[str]:
    """`dosage_notes` of what the store was made of."""
    summary = getattr(store, "attributes", {}).get("summary", {})
    return dosage_notes(summary.get("dosages", {}))


def store_notes(store: "GenotypeStore", contigs: Contigs, *, sex: bool, build: str | None = None) -> tuple[str, ...]:
    """All notes on a store before a run; with ``sex``, also the contigs analysed as autosomes; with ``build``, whether it is theirs."""
    return (*unread_dosages(store), *contigs.notes(sex=sex), *build_notes(store, build))
