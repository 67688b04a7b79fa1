"""Names, dimensions, dtypes and sizes of what is on disk. The one place that spells them.

The store shares VCF Zarr's names where it shares their meaning. Genotypes are ours: two bits a call.
"""

from dataclasses import dataclass

from genassoc.shapes import packed_bytes

FORMAT_NAME = "genassoc-store"
FORMAT_VERSION = 1

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


def block_variants(n_samples: int) -> int:
    """Variants in one block (one Zarr chunk): about `BLOCK_BYTES` of packed calls, a multiple of 16."""
    fitting = BLOCK_BYTES // packed_bytes(max(n_samples, 1))
    return max(16, min(MAX_BLOCK_VARIANTS, fitting) // 16 * 16)


def working_variants(n_samples: int) -> int:
    """Variants that are read and worked on at a time, a multiple of 16: a part of a chunk, which is unpacked as far as it is read."""
    return max(LEAST_WORKING, WORKING_BYTES // packed_bytes(max(n_samples, 1)) // 16 * 16)


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
