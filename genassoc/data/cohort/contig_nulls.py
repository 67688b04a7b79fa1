"""Which contigs have null models of their own: those that differ in offsets, or in the relationships that mixed models analyse by."""

from dataclasses import replace
from typing import TYPE_CHECKING

from genassoc.data.cohort.kinship import key_of

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort


def at_contig(cohort: "Cohort", contig: str) -> "Cohort":
    """The cohort whose offsets and relationships are those of one contig."""
    offsets, kinship = cohort.offsets, cohort.kinship
    if offsets is None and kinship is None:
        return cohort
    return replace(
        cohort,
        offsets=None if offsets is None else offsets.of_contig(contig),
        kinship=None if kinship is None else kinship.at(key_of(cohort, kinship, contig)),
    )


def null_of(cohort: "Cohort", contig: str) -> str:
    """A name that contigs share which have the same offsets and relationships, so that their null models are the same.

    Raises
    ------
    ValueError
        Contigs differ, and it is not known which one is meant.
    """
    offsets, kinship = cohort.offsets, cohort.kinship
    by_kinship = kinship is not None and kinship.loco
    if not contig and (offsets is not None or by_kinship):
        raise ValueError(
            f"{'offsets' if offsets is not None else 'relationships'} differ by chromosome, and these variants lie on several: test one "
            "chromosome at a time"
        )
    names = [] if offsets is None else [offsets.chromosomes.get(contig, contig)]
    if kinship is not None and by_kinship:
        names.append(key_of(cohort, kinship, contig))
    return " ".join(names)


def n_nulls(cohort: "Cohort") -> int:
    """How many null models a trait has: as many as chromosomes differ in offsets or relationships."""
    if cohort.kinship is None or not cohort.kinship.loco:
        return 1 if cohort.offsets is None else len(cohort.offsets.values)
    known = cohort.contigs.chromosomes if cohort.offsets is None else cohort.offsets.chromosomes
    return len({null_of(cohort, contig) for contig, _, _ in cohort.store.contig_runs() if contig in known})


def nulls_differ(cohort: "Cohort") -> bool:
    """Whether chromosomes have null models of their own."""
    by_offsets = cohort.offsets is not None and cohort.offsets.by_chromosome
    return by_offsets or (cohort.kinship is not None and cohort.kinship.loco)
