"""Choices of reading that nothing answered to: refused where no file could, said where no record did."""

from collections.abc import Mapping, Sequence

from genassoc.errors import InputError
from genassoc.formats.reading import Reading
from genassoc.formats.source import Source


def check_choices(sources: Sequence[Source], reading: Reading) -> None:
    """Refuse choices that are of formats which none of the files has.

    Raises
    ------
    InputError
        ``sample_file`` without a BGEN, ``reference`` without a file that leaves open which allele is REF.
    """
    kinds = dict.fromkeys(source.kind for source in sources)
    named = f"{sources[0].path}: is {', '.join(kinds)}"
    if reading.sample_file is not None and not any(kind.startswith("BGEN") for kind in kinds):
        raise InputError(f"{named}: --sample-file is of a BGEN; leave it out")
    if reading.reference is not None and not any(kind.startswith(("BGEN", "BED", "PGEN")) for kind in kinds):
        raise InputError(f"{named}, which says itself which allele is REF: leave out --reference-allele")


def unmet(reading: Reading, counts: Mapping[str, int], sources: Sequence[Source]) -> list[str]:
    """What to say of choices that changed nothing, given the counts of a conversion."""
    said = []
    dosage = reading.dosage
    if dosage not in (None, "GT") and not counts["rows_dosages"]:
        said.append(f"--dosage {dosage}: no record has it; calls (GT) were read")
    for name, counter, field in (
        ("--min-gq", "masked_gq", "GQ"),
        ("--min-dp", "masked_dp", "DP"),
        ("--allele-balance", "masked_allele_balance", "AD"),
    ):
        chosen = getattr(reading, name.removeprefix("--").replace("-", "_"))
        if chosen is not None and not counts[counter]:
            said.append(
                f"{name} masked no call; calls without {field} are kept as they are: is {field} there (bcftools view -h)?"
            )
    of_lakes = any(source.kind.startswith("Parquet lake") for source in sources)
    if reading.missing_to_ref and not of_lakes and not counts["absent_to_ref"]:
        said.append(
            "--missing-to-ref changed nothing: it is of samples and sites that a file does not hold; calls that a file states as "
            "missing (./.) stay not observed"
        )
    return said
