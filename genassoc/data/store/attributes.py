"""The attributes of a store, which a stranger may have written: those that reading it depends on have the types that they must have."""

from collections.abc import Mapping
from typing import Any

from genassoc.data import strangers
from genassoc.data.strangers import MalformedError


def check_attributes(attributes: Mapping[str, Any]) -> None:
    """See that what is read from attributes is what it must be; what earlier versions did not write may be absent.

    Raises
    ------
    MalformedError
        Names the attribute.
    """
    strangers.field(attributes, "block_variants", strangers.whole, 1)
    strangers.field(attributes, "fingerprint", strangers.text)
    strangers.optional(attributes, "root", strangers.text)
    strangers.optional(attributes, "versions", strangers.table)
    strangers.optional(attributes, "identity", strangers.table)
    if "contig_lengths" in attributes:
        strangers.field(attributes, "contig_lengths", strangers.counts)
    if "summary" not in attributes:
        return
    summary = strangers.field(attributes, "summary", strangers.table)
    for source in strangers.items(summary.get("sources", []), "summary.sources"):
        made_of = strangers.table(source, "a source")
        for name, kind in (("name", strangers.text), ("kind", strangers.text), ("size", strangers.whole)):
            strangers.field(made_of, name, kind)
    strangers.counts(summary.get("dosages", {}), "summary.dosages")
    strangers.texts(summary.get("contig_notes", []), "summary.contig_notes")


def haploid_chunks(attributes: Mapping[str, Any], n_chunks: int) -> frozenset[int]:
    """Numbers of the chunks, of ``n_chunks``, that have haploid calls.

    Raises
    ------
    MalformedError
        They are no runs of chunks of this store.
    """
    found: set[int] = set()
    for run in strangers.field(attributes, "haploid_chunks", strangers.items):
        ends = strangers.items(run, "a run of haploid chunks")
        if len(ends) != 2:
            raise MalformedError("a run of haploid chunks is no first and last number")
        first = strangers.whole(ends[0], "the first of a run of haploid chunks", 0, n_chunks)
        found.update(range(first, strangers.whole(ends[1], "the end of a run of haploid chunks", first, n_chunks)))
    return frozenset(found)
