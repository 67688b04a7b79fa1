"""The command that writes genotypes for other programs. It parses, calls and prints."""

from pathlib import Path
from typing import Annotated

import click

from genassoc.cli.options import IdRule, Memory, Threads
from genassoc.cli.signatures import Argument, Option, command
from genassoc.cli.speech import progress, say, tell

_SAMPLES, _VARIANTS = "Samples", "Variants"


def add_to(app: click.Group) -> None:
    """Add it to the commands."""
    app.add_command(command(export))


def export(
    store: Annotated[Path, Argument(help="A genotype store.")],
    out: Annotated[Path, Argument(help="OUT.vcf.gz, .vcf, .bcf, .vcz, .bed, .pgen or .bgen: its end says the format.")],
    *,
    format: Annotated[
        str | None, Option(metavar="vcf|bcf|vcz|bed|pgen|bgen", help="Refuse an OUT whose end is of another format.")
    ] = None,
    samples: Annotated[Path | None, Option(help="File with one sample id a line: only these.", panel=_SAMPLES)] = None,
    pheno: Annotated[Path | None, Option(help="Phenotypes: only samples in both files.", panel=_SAMPLES)] = None,
    sample_id: Annotated[str | None, Option(help="Phenotypes: column of sample ids.", panel=_SAMPLES)] = None,
    sex: Annotated[
        str | None, Option(help="Phenotypes: column of sex: 1 / 2, M / F, H / F, ...", panel=_SAMPLES)
    ] = None,
    id_rule: IdRule = None,
    region: Annotated[list[str] | None, Option(help="chr or chr:first-last; may be repeated.", panel=_VARIANTS)] = None,
    variants: Annotated[
        Path | None,
        Option(help="File with one id a line (rsid, or chromosome_position_ref_alt): only these.", panel=_VARIANTS),
    ] = None,
    maf: Annotated[float | None, Option(help="Minimum minor allele frequency.", panel=_VARIANTS)] = None,
    mac: Annotated[float | None, Option(help="Minimum minor allele count.", panel=_VARIANTS)] = None,
    missing_rate: Annotated[float | None, Option(help="Maximum share of missing calls.", panel=_VARIANTS)] = None,
    hwe: Annotated[float | None, Option(help="Minimum exact Hardy-Weinberg p.", panel=_VARIANTS)] = None,
    info: Annotated[
        float | None, Option(help="Minimum imputation quality of dosages (INFO, else r2); calls stay.", panel=_VARIANTS)
    ] = None,
    pass_only: Annotated[
        bool, Option("--pass-only", help="Only variants whose FILTER is PASS or '.'.", panel=_VARIANTS)
    ] = False,
    snv_only: Annotated[
        bool, Option("--snv-only", help="Only variants whose two alleles are one base each.", panel=_VARIANTS)
    ] = False,
    biallelic_only: Annotated[
        bool, Option("--biallelic-only", help="Only variants whose record has this one ALT.", panel=_VARIANTS)
    ] = False,
    index: Annotated[
        bool, Option("--index/--no-index", help="Also write the format's index (.tbi, .csi, .bgi).")
    ] = True,
    bgen_bits: Annotated[
        int | None, Option(metavar="8|16", help="Bits of a probability in a BGEN; default: 8 where exact, else 16.")
    ] = None,
    bgen_compression: Annotated[
        str, Option(metavar="zlib|zstd|none", help="Of a BGEN: zlib makes version 1.2, zstd 1.3.")
    ] = "zlib",
    threads: Threads = None,
    memory: Memory = None,
    force: Annotated[bool, Option("--force", help="Replace what is there.")] = False,
) -> None:
    """A genotype store, or some of its samples and variants -> VCF, BCF, VCF Zarr, BED, PGEN or BGEN, for other programs."""
    from genassoc.data.cohort import variants as predicates
    from genassoc.verbs import exports, quality

    cohort = quality.counted_cohort(store, pheno, sample_id=sample_id, sex=sex, cases=None, id_rule=id_rule)
    for note in cohort.notes if pheno is not None else ():
        tell(note)
    if pass_only:
        cohort = cohort.keep_variants(predicates.passes())
    if snv_only:
        cohort = cohort.keep_variants(predicates.is_snv())
    if biallelic_only:
        cohort = cohort.keep_variants(predicates.biallelic())
    summary = exports.export(
        cohort, out, format=format, region=region or None, samples=samples, variants=variants, maf=maf, mac=mac,
        missing=missing_rate, hwe=hwe, info=info, threads=threads, progress=progress(), overwrite=force, memory=memory, index=index,
        bgen_bits=bgen_bits, bgen_compression=bgen_compression,
    )  # fmt: skip
    for line in summary.lines():
        say(line)
