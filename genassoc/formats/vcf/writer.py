"""Writing VCF: batches of packed calls to ``.vcf`` or block-gzipped ``.vcf.gz``, streaming."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genassoc.data.block import GenotypeBlock
from genassoc.data.output import replacing, wip_path
from genassoc.errors import OutputError
from genassoc.formats.bgzf_writer import BgzfWriter
from genassoc.kernels.text import vcf_text
from genassoc.shapes import Int64Array, UInt8Array

BATCH_COLUMNS = ("chromosome", "base_pair_location", "rsid", "other_allele", "effect_allele")
_FIXED_COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT")
_TEXT_BYTES = 16 * 2**20  # text made at a time; bounds memory whatever the batch
_TBI_LIMIT = 2**29  # positions beyond it do not fit a .tbi index
# VCF 4.3, section 1.4.7
_CONTIG_NAME = re.compile(r"[0-9A-Za-z!#$%&+./:;?@^_|~-][0-9A-Za-z!#$%&*+./:;=?@^_|~-]*")


def write_vcf(
    path: str | Path,
    sample_ids: Sequence[str],
    contigs: Mapping[str, int | None],
    batches: Iterable[tuple[pl.DataFrame, GenotypeBlock]],
    *,
    index: bool = False,
    compression_level: int = 1,
    fields: Sequence[str] = (),
) -> Path:
    """Write VCF 4.3 with one record a variant and the format field GT.

    The file is written under a ``wip_`` name beside its place and renamed when complete: an incomplete file
    never has the final name.

    Parameters
    ----------
    path : path
        Ending in ``.vcf.gz`` (or ``.vcf.bgz``: BGZF) or ``.vcf`` (plain).
    sample_ids : sequence of str
        N names, unique.
    contigs : mapping of str to int or None
        Name and length (None where unknown) of each contig, in the order of the header.
    batches : iterable of (DataFrame, GenotypeBlock)
        V rows with the columns ``chromosome, base_pair_location, rsid, other_allele, effect_allele`` (more
        are ignored; a null ``rsid`` is written ``.``) beside the calls of the same V variants. A column ``info`` is the text of INFO.
    index : bool
        Also write ``.tbi`` (``.csi`` where a contig is too long for it). Needs BGZF and sorted records.
    compression_level : int
        0 to 3. The default 1 writes 300 MB of text a second.
    fields : sequence of str
        Lines of the header about the fields in INFO.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    OutputError
        A name cannot stand in a VCF, a batch does not fit its block, a contig is not in ``contigs``, or an
        index is asked of unsorted records or a plain file.
    """
    path = Path(path)
    compressed = path.name.endswith((".vcf.gz", ".vcf.bgz"))
    if not compressed and path.suffix != ".vcf":
        raise OutputError(f"{path}: a VCF's name ends in .vcf.gz (BGZF) or .vcf (plain text); rename it.")
    if index and not compressed:
        raise OutputError(f"{path}: a plain-text VCF cannot be indexed; write .vcf.gz, or pass index=False.")
    names = [str(name) for name in sample_ids]
    header = header_text(path, names, contigs, fields)
    order = RecordOrder(path, list(contigs), must_be_sorted=index)
    wip_index = index_path(wip_path(path), contigs)
    try:
        with replacing(path) as file:
            text = BgzfWriter(file, compression_level) if compressed else file
            text.write(header.encode())
            for variants, block in batches:
                _check_batch(path, variants, block, len(names))
                order.check(variants)
                _write_batch(text.write, variants, block)
            if isinstance(text, BgzfWriter):
                text.close()
            if index:
                file.flush()
                make_index(Path(file.name), wip_index)
            for stale in (".tbi", ".csi"):  # an index of the file that is about to be replaced
                path.with_name(path.name + stale).unlink(missing_ok=True)
        if index:  # renamed last: no reader finds it beside another file
            wip_index.replace(index_path(path, contigs))
    finally:
        wip_index.unlink(missing_ok=True)
    return path


def index_path(path: Path, contigs: Mapping[str, int | None]) -> Path:
    """The index's place: .tbi, or .csi where a contig is too long for it."""
    too_long = any((length or 0) >= _TBI_LIMIT for length in contigs.values())
    return path.with_name(path.name + (".csi" if too_long else ".tbi"))


def make_index(path: Path, index_path: Path, preset: Any = "vcf") -> None:
    """Index a block-gzipped file."""
    import pysam

    pysam.tabix_index(str(path), index=str(index_path), preset=preset, force=True, csi=index_path.suffix == ".csi")


def header_text(
    path: Path, sample_ids: Sequence[str], contigs: Mapping[str, int | None], fields: Sequence[str] = ()
) -> str:
    """The header's lines, after checking the names that stand in them; ``fields`` are those on FILTER, INFO and FORMAT fields."""
    if len(set(sample_ids)) < len(sample_ids):
        seen: set[str] = set()
        twice = next(name for name in sample_ids if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise OutputError(f"{path}: sample {twice!r} is named twice; a VCF needs unique sample names.")
    for name in sample_ids:
        if not name or re.search(r"[\t\r\n]", name):
            raise OutputError(f"{path}: sample name {name!r} is empty or has a tab or line break; rename it.")
    for contig in contigs:
        if not _CONTIG_NAME.fullmatch(contig):
            raise OutputError(f"{path}: contig name {contig!r} has characters that VCF 4.3 does not allow; rename it.")
    lines = [
        "##fileformat=VCFv4.3",
        "##source=genassoc",
        '##FILTER=<ID=PASS,Description="All filters passed">',
    ]
    for contig, length in contigs.items():
        lines.append(f"##contig=<ID={contig}{'' if length is None else f',length={length}'}>")
    lines += fields
    lines.append('##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">')
    lines.append("\t".join([*_FIXED_COLUMNS, *sample_ids]))
    return "\n".join(lines) + "\n"


def _check_batch(path: Path, variants: pl.DataFrame, block: GenotypeBlock, n_samples: int) -> None:
    absent = [name for name in BATCH_COLUMNS if name not in variants.columns]
    if absent:
        raise OutputError(f"{path}: the variants lack {', '.join(absent)}; needed are {', '.join(BATCH_COLUMNS)}.")
    if variants.height != block.n_variants:
        raise OutputError(
            f"{path}: {variants.height} variants beside a block of {block.n_variants}; a batch needs one row a variant."
        )
    if block.n_samples != n_samples:
        raise OutputError(f"{path}: a block of {block.n_samples} samples, but {n_samples} are named.")
    check_variants(path, variants)
    if "info" in variants.columns and (bad := variants.filter(pl.col("info").str.contains(r"\s"))).height:
        raise OutputError(
            f"{path}: info {bad['info'][0]!r} has a space, a tab or a line break, which INFO cannot hold."
        )


def check_variants(path: Path, variants: pl.DataFrame) -> None:
    """Refuse variants that cannot stand in a VCF; names the first."""
    needed = [name for name in BATCH_COLUMNS if name != "rsid"]
    for name in needed:
        if variants[name].null_count():
            raise OutputError(f"{path}: {name} is missing for {variants[name].null_count()} variants; VCF needs it.")
    for name in ("rsid", "other_allele", "effect_allele"):
        bad = variants.filter(pl.col(name).str.contains(r"[\s;]") if name == "rsid" else ~_is_allele(name))
        if bad.height:
            row = bad.row(0, named=True)
            raise OutputError(
                f"{path}: {name} {row[name]!r} at {row['chromosome']}:{row['base_pair_location']} "
                "cannot stand in a VCF (empty, or with a space, comma or semicolon); correct the variants."
            )


def _is_allele(name: str) -> pl.Expr:
    """Bases, ``*``, a symbolic allele or a breakend; a comma would make it two alleles."""
    return pl.col(name).str.contains(r"^[^\s,]+$")


class RecordOrder:
    """Follows the records: contigs declared, and sorted where an index is to be made."""

    def __init__(self, path: Path, contigs: list[str], *, must_be_sorted: bool) -> None:
        self.path, self.must_be_sorted = path, must_be_sorted
        self.rank = {contig: k for k, contig in enumerate(contigs)}
        self.last = (-1, 0)

    def check(self, variants: pl.DataFrame) -> None:
        """Look at one more batch."""
        unknown = set(variants["chromosome"].unique()) - set(self.rank)
        if unknown:
            raise OutputError(
                f"{self.path}: contig {min(unknown)!r} is not among the {len(self.rank)} declared; add it to contigs."
            )
        if not self.must_be_sorted or not variants.height:
            return
        rank = variants["chromosome"].replace_strict(self.rank, return_dtype=pl.Int64).to_numpy()
        place = rank.astype(np.int64) * 2**40 + variants["base_pair_location"].cast(pl.Int64).to_numpy()
        before = np.concatenate([[self.last[0] * 2**40 + self.last[1]], place[:-1]])
        back = np.flatnonzero(place < before)
        if back.size:
            row = variants.row(int(back[0]), named=True)
            raise OutputError(
                f"{self.path}: {row['chromosome']}:{row['base_pair_location']} comes after a later position, "
                "and an index needs sorted records; sort the variants, or pass index=False."
            )
        self.last = (int(rank[-1]), int(place[-1] - rank[-1] * 2**40))


def _write_batch(write: Callable[[Any], Any], variants: pl.DataFrame, block: GenotypeBlock) -> None:
    """Make the lines of a batch and write them, `_TEXT_BYTES` at a time."""
    N = block.n_samples
    step = max(1, _TEXT_BYTES // (4 * N + 128))
    for start in range(0, block.n_variants, step):
        rows = slice(start, min(start + step, block.n_variants))
        info = pl.col("info").fill_null(".") if "info" in variants.columns else pl.lit(".")
        prefixes, prefix_end = line_prefixes(variants[rows], pl.lit("PASS"), info, pl.lit("GT"))
        packed = np.ascontiguousarray(block.packed[rows])
        haploid = np.zeros((len(packed), 0), dtype=np.uint8)
        if block.haploid is not None:
            haploid = np.ascontiguousarray(block.haploid[rows])
        text = np.empty(len(prefixes) + len(packed) * (4 * N + 1), dtype=np.uint8)
        length = vcf_text.write_lines(prefixes, prefix_end, packed, haploid, N, text)
        write(text[:length].tobytes())


def line_prefixes(
    variants: pl.DataFrame, filters: pl.Expr, info: pl.Expr, formats: pl.Expr
) -> tuple[UInt8Array, Int64Array]:
    """CHROM to FORMAT of every line, joined, and where each ends; FILTER, INFO and FORMAT are expressions of the table."""
    prefix = variants.select(
        pl.concat_str(
            "chromosome",
            pl.col("base_pair_location").cast(pl.String),
            pl.when(pl.col("rsid") == "").then(None).otherwise(pl.col("rsid")).fill_null("."),
            "other_allele",
            "effect_allele",
            pl.lit("."),
            filters,
            info,
            formats,
            separator="\t",
        ).alias("prefix")
    )["prefix"]
    joined = np.frombuffer("".join(prefix.to_list()).encode(), dtype=np.uint8)
    return joined, prefix.str.len_bytes().cast(pl.Int64).cum_sum().to_numpy()
