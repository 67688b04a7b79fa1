"""Names, dimensions, dtypes and sizes of what is on disk. The one place that spells them.

The store shares VCF Zarr's names where it shares their meaning. Genotypes are ours: two bits a call.
"""

import math
import re
from dataclasses import dataclass

from genassoc.shapes import packed_bytes

FORMAT_NAME = "genassoc-store"
FORMAT_VERSION = 2  # the newest that is read
CALLS_VERSION, DOSAGES_VERSION = (
    1,
    2,
)  # what is written: one that reads calls alone must not take a store of dosages for its calls

# Attribute of a store whose half calls (0/. on X, Y, MT; marked as haploid) have code 1 where the allele is ALT and 3 where it is not.
HALF_ALLELES = "half_calls_kept"

# Two-bit codes of a call.
HOM_REF, HET, HOM_ALT, NOT_OBSERVED = 0, 1, 2, 3
# Four times "not observed". Fill values of real calls would turn lost chunks into genotypes.
NO_CALLS = 255

# Arrays of the store: name -> (dimensions, dtype). "bytes" is shapes.packed_bytes(N), "bits" is ceil(N / 8).
GENOTYPES = "call_genotype_packed"  # (variants, bytes) uint8: sample i in bits 2*(i%4) of byte i//4; padding is 3
HAPLOID = "call_haploid_packed"  # (variants, bits) uint8: bit i%8 of byte i//8 set where the call was haploid
SAMPLE_ID = "sample_id"  # (samples,) str
CONTIG_ID = "contig_id"  # (contigs,) str, as in the input
VARIANT_CONTIG = "variant_contig"  # (variants,) int32, index into contig_id
VARIANT_POSITION = "variant_position"  # (variants,) int64, 1-based as in VCF
VARIANT_ID = "variant_id"  # (variants,) str: the VCF's ID column, "." where it has none
VARIANT_ALLELE = "variant_allele"  # (variants, 2) str: REF, ALT of this row
VARIANT_RECORD = "variant_record"  # (variants,) int64: rows split from one record share its number
VARIANT_ALT_INDEX = "variant_alt_index"  # (variants,) int32: which ALT of the record, from 1

DIMENSIONS = {
    GENOTYPES: ("variants", "bytes"),
    HAPLOID: ("variants", "bits"),
    SAMPLE_ID: ("samples",),
    CONTIG_ID: ("contigs",),
    VARIANT_CONTIG: ("variants",),
    VARIANT_POSITION: ("variants",),
    VARIANT_ID: ("variants",),
    VARIANT_ALLELE: ("variants", "alleles"),
    VARIANT_RECORD: ("variants",),
    VARIANT_ALT_INDEX: ("variants",),
}

# Arrays that a store may lack: those of earlier versions do.
VARIANT_CALL_COUNTS = "variant_call_counts"  # (variants, counts) int32: of all samples, by the columns of CALL_COUNTS
CALL_COUNTS = (
    "hom_ref",
    "het",
    "hom_alt",
    "not_observed",
    "haploid_ref",
    "haploid_alt",
)  # the last two are in the others too
OPTIONAL_DIMENSIONS = {VARIANT_CALL_COUNTS: ("variants", "counts")}

# Arrays of stores with dosages. A chunk of the first two in which nothing is known is not there.
DOSAGE = (
    "call_dosage"  # (variants, samples) uint16: copies of ALT times steps; 65535 where not observed, or of calls only
)
# (variants, samples) uint16: probability of the homozygote that is farther from the dosage (of two ALTs where that is at most one copy,
# else of none), times steps; 65535 where not known: `genassoc.kernels.genotypes.dosage_rows.shift_homozygous`
HOMOZYGOUS = "call_far_homozygote_probability"
VARIANT_STEPS = "variant_dosage_steps"  # (variants,) uint16: steps of one copy; 0 where a row has calls only
VARIANT_SUMS = "variant_dosage_sums"  # (variants, sums) int64: of all samples, by the columns of DOSAGE_SUMS
DOSAGE_SUMS = (
    "observed",
    "steps",  # sum of the steps
    "squares",  # sum of their squares
    "haploid",  # of haploid samples, who are in the first three too
    "haploid_steps",
    "haploid_squares",
    "known",  # samples whose probabilities are known
    "homozygous",  # sum of the steps of the probability of two ALTs in diploid samples
    "best_ref",  # diploid samples whose most probable genotype has no ALT (of equally probable ones, that with fewest)
    "best_het",
    "best_alt",
)
DOSAGE_DIMENSIONS = {
    DOSAGE: ("variants", "samples"),
    HOMOZYGOUS: ("variants", "samples"),
    VARIANT_STEPS: ("variants",),
    VARIANT_SUMS: ("variants", "sums"),
}

# Further columns of the variants ("annotations"): the name of one, and of its array.
FILTER, INFO_SOURCE, INFO_FIELD = "FILTER", "info_source", "INFO/"
VARIANT_FILTER = "variant_filter"  # (variants,) str: as VCF writes it, "." where there is none
VARIANT_INFO_SOURCE = (
    "variant_info_source"  # (variants,) float64: quality of imputation that the file states, NaN where none
)
VARIANT_INFO = "variant_info_"  # and the field's name: (variants,) str
_INFO_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.]{0,99}")  # VCF 4.3, 1.4.2, and no name that a file could not have


def is_info_name(name: str) -> bool:
    """Whether an INFO field of this name can be kept."""
    return _INFO_NAME.fullmatch(name) is not None


def annotation_array(name: str) -> str:
    """The array of an annotation: "FILTER", "info_source", "INFO/" and a name; ``ValueError`` of another."""
    if name in (FILTER, INFO_SOURCE):
        return {FILTER: VARIANT_FILTER, INFO_SOURCE: VARIANT_INFO_SOURCE}[name]
    field = name.removeprefix(INFO_FIELD)
    if field == name or not is_info_name(field):
        raise ValueError(f"{name!r} is no name of a further column of variants")
    # a field called source has the name of another array, also on disks that take upper and lower case for the same
    return VARIANT_INFO + ("_" if field.lstrip("_").lower() == "source" else "") + field


def is_annotation(name: str) -> bool:
    """Whether a column of the variants' table is an annotation."""
    return name in (FILTER, INFO_SOURCE) or name.startswith(INFO_FIELD)


def is_annotation_array(name: str) -> bool:
    """Whether an array may be one of an annotation."""
    known = name in (VARIANT_FILTER, VARIANT_INFO_SOURCE)
    return known or (name.startswith(VARIANT_INFO) and _INFO_NAME.fullmatch(name[len(VARIANT_INFO) :]) is not None)


def dimensions_of(name: str) -> tuple[str, ...]:
    """Dimensions of an array, which may be one of an annotation; ``KeyError`` of another."""
    if is_annotation_array(name):
        return ("variants",)
    return (DIMENSIONS | OPTIONAL_DIMENSIONS | DOSAGE_DIMENSIONS)[name]


def is_array(name: str) -> bool:
    """Whether a store may have an array of this name."""
    return name in DIMENSIONS or name in OPTIONAL_DIMENSIONS or name in DOSAGE_DIMENSIONS or is_annotation_array(name)


BLOCK_BYTES = (
    16 * 2**20
)  # a block is read, decoded and tested whole: big enough to amortise, small enough to bound memory
WORKING_BYTES = (
    2 * 2**20
)  # of a block that is worked on at a time: with all that is made of it, it stays in a core's cache
LEAST_WORKING = 128  # variants of such a block, so that what is done once for each does not count
MAX_BLOCK_VARIANTS = 16_384  # small cohorts still get several blocks to share among threads
BLOCKS_PER_SHARD = 8  # a shard is one file: about 128 MB before compression
METADATA_CHUNK = 65_536  # variants a chunk in the one-dimensional arrays


def block_variants(n_samples: int, dosages: bool = False) -> int:
    """Variants in one block: about `BLOCK_BYTES` of packed calls, or of dosages in 16 bits; a multiple of 16."""
    if dosages:
        chunk = working_variants(n_samples, dosages)
        fitting = min(MAX_BLOCK_VARIANTS, BLOCK_BYTES // (2 * max(n_samples, 1)))
        return max(1, fitting // chunk) * chunk
    fitting = BLOCK_BYTES // packed_bytes(max(n_samples, 1))
    return max(16, min(MAX_BLOCK_VARIANTS, fitting) // 16 * 16)


def working_variants(n_samples: int, dosages: bool = False) -> int:
    """Variants that are read and worked on at a time, a multiple of 16: a part of a chunk of calls, a whole chunk of dosages."""
    if dosages:
        fitting = min(MAX_BLOCK_VARIANTS // 8, WORKING_BYTES // (2 * max(n_samples, 1)))
        return max(16, fitting // 16 * 16)
    return max(LEAST_WORKING, WORKING_BYTES // packed_bytes(max(n_samples, 1)) // 16 * 16)


def dosage_chunk(block_variants: int, n_samples: int) -> int:
    """Variants in a chunk of dosages: of about `WORKING_BYTES`, a whole number of them in a block."""
    return math.gcd(block_variants, working_variants(n_samples, dosages=True))


@dataclass(frozen=True)
class ResultColumn:
    """One column of the results table: its name, polars dtype name and meaning."""

    name: str
    dtype: str
    meaning: str


RESULT_COLUMNS: tuple[ResultColumn, ...] = (
    ResultColumn("chromosome", "String", "as in the input"),
    ResultColumn("base_pair_location", "Int64", "1-based position"),
    ResultColumn("effect_allele", "String", "ALT, always"),
    ResultColumn("other_allele", "String", "REF"),
    ResultColumn("beta", "Float64", "effect of one more ALT on the model's scale"),
    ResultColumn("standard_error", "Float64", "beta / standard_error is the statistic of the row's p"),
    ResultColumn("ci_lower", "Float64", "lower end of the 95 % confidence interval of beta"),
    ResultColumn("ci_upper", "Float64", "upper end of the 95 % confidence interval of beta"),
    ResultColumn("effect_allele_frequency", "Float64", "of the samples analysed in this row"),
    ResultColumn("neg_log_10_p_value", "Float64", "two-sided"),
    ResultColumn("variant_id", "String", "chromosome_position_ref_alt"),
    ResultColumn("rsid", "String", "the VCF's ID, null where it has none"),
    ResultColumn("n", "Int64", "samples analysed in this row"),
    ResultColumn("mac", "Float64", "minor allele count among them"),
    ResultColumn("trait", "String", "name of the trait"),
    ResultColumn(
        "test", "String", "add, dom, rec, hetonly; domdev and geno_2df beside add; alleles_2df, ... of several ALTs"
    ),
    ResultColumn("method", "String", "which test made the p"),
    ResultColumn("code", "String", "null when fine, else why there is no estimate or a cautious one"),
    ResultColumn("missing_rate", "Float64", "calls not observed among the trait's samples"),
    ResultColumn("statistic", "Float64", "the t, z or chi-squared value"),
)

SET_COLUMNS: tuple[ResultColumn, ...] = (
    ResultColumn("set_id", "String", "the set's name"),
    ResultColumn("chromosome", "String", "as in the input"),
    ResultColumn("start", "Int64", "1-based position of the set's first variant in the store"),
    ResultColumn("end", "Int64", "of its last"),
    ResultColumn("mask", "String", "null of what combines all masks"),
    ResultColumn(
        "max_maf",
        "Float64",
        "largest minor allele frequency of its variants; null of singletons, and of what combines all",
    ),
    ResultColumn("trait", "String", "as the model names it"),
    ResultColumn("test", "String", "burden, skat, skato, acatv, acato, burden:E, ..."),
    ResultColumn("left_out", "String", "the variant without which the row is, null where none is left out"),
    ResultColumn("n_variants", "Int64", "variants of the mask that somebody carries"),
    ResultColumn("mac", "Float64", "minor alleles of all of them among the samples analysed"),
    ResultColumn("n_carriers", "Int64", "samples analysed that carry any"),
    ResultColumn("n_carriers_cases", "Int64", "of them with the event"),
    ResultColumn("n_carriers_controls", "Int64", "of them without"),
    ResultColumn("n", "Int64", "samples analysed in this row"),
    ResultColumn("beta", "Float64", "effect of one more unit of the burden"),
    ResultColumn("standard_error", "Float64", "beta / standard_error is the statistic of a burden's row"),
    ResultColumn("statistic", "Float64", "of a burden beta / standard_error; of others Q"),
    ResultColumn("neg_log_10_p_value", "Float64", "two-sided"),
    ResultColumn("method", "String", "how p was computed"),
    ResultColumn("code", "String", "null when fine"),
    ResultColumn("top_variants", "String", "the variants that weigh most in the scores, the first most"),
)
