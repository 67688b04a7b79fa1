"""The summary of a conversion: what was read, written, split and dropped, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from genassoc.data.cohort.contigs import MT, X, Y, chromosome_of
from genassoc.data.store.notes import build_lines, dosage_notes
from genassoc.data.store.variant_columns import INFO_SOURCE
from genassoc.formats.reading import Reading

DROP_REASONS = {
    "dropped_no_genotypes": "no_genotypes",
    "dropped_no_alternate_allele": "no_alternate_allele",
    "dropped_reference_block_allele": "reference_block_allele",
}
DOSAGE_FIELDS = ("DS", "HDS", "GP")
# What was made of variants by reading with a reference or a file of ids (counts of rows).
VARIANT_CHANGES = {
    "reference_checked": "variants whose REF was compared with the reference",
    "reference_mismatch": "of these, REF is not the reference's: nothing was flipped or dropped",
    "reference_exchanged": "of these, ALT is the reference's: were REF and ALT exchanged?",
    "reference_unknown": "variants not compared: the reference lacks their contig or position, or REF is symbolic",
    "moved_left": "indels moved to the left, as far as their sequence repeats",
    "trimmed": "variants whose alleles had bases in common, trimmed",
    "ids_given": "variants without an id that have one now",
    "ids_replaced": "variants whose id was replaced",
    "ids_confirmed": "variants whose id is that of the file of ids",
    "ids_exchanged": "of the variants found in the file of ids, REF and ALT are exchanged there",
    "ids_not_found": "variants that the file of ids does not have; they keep their id",
}
ROW_KINDS = {
    "rows_calls": "of calls",
    "rows_dosages": "of dosages",
    "rows_probabilities": "of these with probabilities of genotypes",
}
CALL_CHANGES = {
    "masked_gq": "calls of less genotype quality (GQ) than asked for, made not observed",
    "masked_dp": "calls of fewer reads (DP) than asked for, made not observed",
    "masked_allele_balance": "heterozygous calls whose allele balance (AD) lies outside, made not observed",
    "dosages_from_calls": "samples without a dosage in a record of dosages, whose genotype (GT) gives it",
    "dosages_adjusted": "dosages outside their bounds by rounding (at most 0.01), set to the bound",
    "probabilities_unsound": "genotype probabilities (GP) whose sum is not 1 (by more than 0.05), not read",
    "dosages_disagree": "dosages (DS) more than 0.02 from those of the probabilities (GP) beside them: DS is the dosage, and GP "
    "gives the probabilities as far as they agree",
    "dosages_rounded": "variants whose dosages have no exact fixed point: rounded to 1/32767 of a copy (error at most 0.000016, twice "
    "that where haploid)",
    "half_as_haploid": "half calls read as haploid",
    "half_as_reference": "half calls whose other allele is read as REF",
    "absent_to_ref": "calls that a file does not hold, set to homozygous for REF (--missing-to-ref)",
    "absent_calls": "calls of samples whose file does not have the variant, taken as not observed",
    "scaled_probabilities": "genotypes whose probabilities do not sum to 1 (BGEN 1.1), scaled so that they do",
    "reference_block_calls": "calls homozygous for REF by a reference block of their file",
}
_MEANING = {
    "no_genotypes": "records without GT",
    "no_alternate_allele": "records whose ALT is '.'",
    "reference_block_allele": "<*> or <NON_REF> alleles",
}


PASSED = ("PASS", ".")
UNEVEN = "uneven"  # behind the name of an annotation: rows whose list of values did not fit ALT
_MOST_SHOWN = 12


def by_number(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts, the largest first."""
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _listed(counts: Mapping[str, int]) -> str:
    """Counts in words, the first of many."""
    shown = ", ".join(f"{name} {n:,}" for name, n in list(counts.items())[:_MOST_SHOWN])
    return shown + (f" and {len(counts) - _MOST_SHOWN:,} more values" if len(counts) > _MOST_SHOWN else "")


def unmet(reading: Reading, counts: Mapping[str, int], kinds: Sequence[str]) -> list[str]:
    """What to say of choices that changed nothing, given the counts of a conversion and the kinds of its files."""
    said = []
    dosage = reading.dosage
    if dosage not in (None, "GT") and not counts["rows_dosages"]:
        said.append(f"--dosage {dosage}: no record has it; calls (GT) were read")
    for name, counter, of in (
        ("--min-gq", "masked_gq", "GQ"),
        ("--min-dp", "masked_dp", "DP"),
        ("--allele-balance", "masked_allele_balance", "AD"),
    ):
        chosen = getattr(reading, name.removeprefix("--").replace("-", "_"))
        if chosen is not None and not counts[counter]:
            said.append(
                f"{name} masked no call; calls without {of} are kept as they are: is {of} there (bcftools view -h)?"
            )
    of_lakes = any(kind.startswith("Parquet lake") for kind in kinds)
    if reading.missing_to_ref and not of_lakes and not counts["absent_to_ref"]:
        said.append(
            "--missing-to-ref changed nothing: it is of samples and sites that a file does not hold; calls that a file states as "
            "missing (./.) stay not observed"
        )
    return said


@dataclass(frozen=True, kw_only=True)
class ConversionSummary:
    """The summary of a conversion.

    Attributes
    ----------
    path : Path
        The store.
    n_samples : int
        N.
    records : int
        Records read (in the regions asked for).
    rows : int
        Rows written, one an ALT.
    split : int
        Records that became several rows.
    dropped : dict
        How many, by reason: ``no_genotypes`` and ``no_alternate_allele`` count records, ``reference_block_allele`` alleles.
    haploid_calls, half_missing_calls, polyploid_calls : int
        Calls of the store's samples, once a record. Half-missing (0/.) and polyploid ones are "not observed".
    unsorted : int
        Records whose position is before that of the record before them, on the same contig.
    contig_returns : int
        Times a contig came again after another one.
    outside_regions : int
        Records read and left out because they are in no region.
    half_calls : dict
        Contig -> half-missing calls.
    dosages : dict
        FORMAT field of dosages or probabilities (DS, HDS, GP) -> records that have it. They were not read.
    variant_changes : dict
        What was made of variants, by the names of `VARIANT_CHANGES`.
    build : dict
        The genome build that the files tell: its ``name`` and ``by`` what; empty where they tell none.
    filters, left_out : dict
        FILTER -> records whose rows were written; records that were left out for it (``pass_only``).
    annotated : dict
        Annotation -> rows that have a value.
    row_kinds : dict
        ``rows_calls``, ``rows_dosages`` and, of these, ``rows_probabilities``: rows by what they hold.
    call_changes : dict
        What was made of calls, by the names of `CALL_CHANGES`.
    contig_notes : list of str
        What was decided about names of contigs.
    sources : list of dict
        ``name``, ``kind``, ``size``, ``fingerprint`` (of size and contents, of large files in stretches), ``records``.
    notes : list of str
        What else is worth knowing.
    resumed_rows : int
        Rows that an interrupted conversion had written before.
    already_complete : bool
        The store was there, made of the same inputs: nothing was done.
    """

    path: Path
    n_samples: int
    records: int
    rows: int
    split: int
    dropped: dict[str, int]
    haploid_calls: int
    half_missing_calls: int
    polyploid_calls: int
    unsorted: int
    contig_returns: int
    outside_regions: int
    sources: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)
    resumed_rows: int = 0
    already_complete: bool = False
    half_calls: dict[str, int] = field(default_factory=dict)
    dosages: dict[str, int] = field(default_factory=dict)
    variant_changes: dict[str, int] = field(default_factory=dict)
    build: dict[str, str] = field(default_factory=dict)
    filters: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    annotated: dict[str, int] = field(default_factory=dict)
    row_kinds: dict[str, int] = field(default_factory=dict)
    call_changes: dict[str, int] = field(default_factory=dict)
    contig_notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The summary as lines for people."""
        text = [f"{self.path}: {self.rows:,} variants x {self.n_samples:,} samples"]
        if self.already_complete:
            text.append("already there, made of the same inputs: nothing to do")
        if self.resumed_rows:
            text.append(f"resumed: {self.resumed_rows:,} variants had been written before")
        files = "file" if len(self.sources) == 1 else "files"
        text.append(f"read {self.records:,} records of {len(self.sources)} {files}")
        text += build_lines(self.build)
        counted = [
            (self.split, "multi-allelic records split into one row an ALT"),
            *((count, f"dropped: {_MEANING.get(reason, reason)}") for reason, count in self.dropped.items()),
            (self.haploid_calls, "haploid calls, counted 0 or 2 and marked"),
            (self.half_missing_calls, f"half-missing calls (0/.), not observed{self._half_by_contig()}"),
            (
                self.polyploid_calls,
                "calls with more than two alleles, taken as not observed: check that they are meant",
            ),
            (self.unsorted, "records before the position of their predecessor: the input is not sorted"),
            (self.contig_returns, "times a contig came again after another: the input is not sorted"),
            (self.outside_regions, "records read outside the regions"),
            *((count, VARIANT_CHANGES[name]) for name, count in self.variant_changes.items()),
            *((count, CALL_CHANGES[name]) for name, count in self.call_changes.items()),
        ]
        if set(self.row_kinds) > {"rows_calls"} or "rows_dosages" in self.row_kinds:
            kinds = ", ".join(f"{count:,} {ROW_KINDS[name]}" for name, count in self.row_kinds.items())
            text.append(f"variants by kind: {kinds}")
        text += [f"{count:,} {words}" for count, words in counted if count]
        return text + self._by_filter() + self._fields() + dosage_notes(self.dosages) + self.contig_notes + self.notes

    def _by_filter(self) -> list[str]:
        """Records by FILTER: kept, and left out."""
        failed = {value: n for value, n in self.filters.items() if value not in PASSED}
        text = []
        if failed:
            text.append(
                f"{sum(failed.values()):,} of {sum(self.filters.values()):,} records did not pass their filters and are kept: "
                f"{_listed(failed)} (--pass-only leaves them out)"
            )
        if self.left_out:
            text.append(
                f"left out: {sum(self.left_out.values()):,} records that did not pass their filters: {_listed(self.left_out)}"
            )
        return text

    def _fields(self) -> list[str]:
        """Fields of INFO that were kept."""
        kept = {name: n for name, n in self.annotated.items() if not name.endswith(f" {UNEVEN}")}
        text = []
        if kept:
            sources = dict.fromkeys(field for source in self.sources if (field := source.get("info_source")))
            of = {INFO_SOURCE: f" ({', '.join(sources)})" if sources else ""}
            shown = ", ".join(f"{name}{of.get(name, '')} in {n:,} variants" for name, n in kept.items())
            text.append(f"kept of INFO: {shown}")
        for name, n in self.annotated.items():
            field = name.removesuffix(f" {UNEVEN}")
            if name not in kept and field == INFO_SOURCE:
                text.append(f"{n:,} variants whose quality of imputation is no single number: taken as not stated")
            elif name not in kept:
                text.append(f"{n:,} variants whose {field} has not one value for each ALT: its whole list is kept")
        return text

    def _half_by_contig(self) -> str:
        """Where the half calls are: the contigs that have most."""
        most = sorted(self.half_calls.items(), key=lambda pair: -pair[1])
        more = f" and {len(most) - 8} more contigs" if len(most) > 8 else ""
        if not most:
            return ""
        shown = f": {', '.join(f'{n:,} on {contig}' for contig, n in most[:8])}{more}"
        if any(chromosome_of(contig) in (X, Y, MT) for contig, _ in most):
            shown += " (those of males on X, Y and MT are haploid calls where the sexes are given, --sex; --half-calls says else)"
        return shown

    def stored(self) -> dict[str, Any]:
        """The part of the summary that the store keeps: nothing in it depends on where, when or in how many runs it was made."""
        kept = asdict(self)
        for name in ("path", "resumed_rows", "already_complete", "notes"):
            del kept[name]
        return kept

    @classmethod
    def from_stored(cls, path: Path, stored: Mapping[str, Any]) -> "ConversionSummary":
        """The summary that the store at ``path`` keeps."""
        return cls(path=path, already_complete=True, **stored)
