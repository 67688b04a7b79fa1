"""Conversion: every way to the same rows gives the same bytes; what does not fit is refused and leaves nothing."""

import os
import resource
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from convert_and_die import make_parts_tiny
from oracles import vcf as oracle
from plink_files import plink2
from real_data import real_data
from test_plink_pgen import vcf_of
from vcf_texts import header, random_vcf, write_bcf, write_bgzf, write_gzip

from genassoc.data import schema
from genassoc.data.store.folder import work_folder
from genassoc.data.store.store import GenotypeStore
from genassoc.errors import InputError, OutputError
from genassoc.formats import bgzf, source
from genassoc.formats.convert import convert
from genassoc.formats.plink import fileset
from genassoc.formats.vcf import bcf

TESTS = Path(__file__).parent


@pytest.fixture
def tiny(monkeypatch):
    """Parts of 32 rows, pieces of a few lines; undone afterwards."""
    for module, name in (
        (schema, "MAX_BLOCK_VARIANTS"),
        (schema, "BLOCKS_PER_SHARD"),
        (bgzf, "GROUP_BLOCKS"),
        (bgzf, "PLAIN_BYTES"),
        (bcf, "PIECE_BYTES"),
        (fileset, "MOST_LINES"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))
    make_parts_tiny()


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a store."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def arrays(folder: Path) -> dict[str, bytes]:
    """Every file of a store's arrays (not the attributes, which name the sources)."""
    return {name: data for name, data in tree(folder).items() if name != "zarr.json"}


def assert_is(store: GenotypeStore, rows: list[oracle.OracleRow]) -> None:
    wanted = np.array([row.codes for row in rows], dtype=np.uint8)
    block = store.read(0, store.n_variants)
    np.testing.assert_array_equal(block.codes(), wanted)
    haploid = np.array([row.haploid for row in rows])
    if haploid.any():
        bits = np.unpackbits(block.haploid, axis=1, bitorder="little")[:, : store.n_samples].astype(bool)
        np.testing.assert_array_equal(bits, haploid)
    else:
        assert block.haploid is None
    assert store.variants().rows() == [
        (r.contig, r.position, r.alt, r.ref, r.rsid, r.record, r.alt_index) for r in rows
    ]


def assert_nothing_left(out: Path) -> None:
    assert not out.exists()
    assert not work_folder(out).exists()


@pytest.mark.parametrize("threads", [1, 3])
def test_all_layouts_give_the_same_bytes(tmp_path, tiny, threads):
    text = random_vcf(3, 23, 400)
    expected = oracle.scan(text)
    plain = tmp_path / "a.vcf"
    plain.write_text(text, encoding="utf-8")
    returns = tmp_path / "crlf.vcf"
    returns.write_bytes(text.encode().replace(b"\n", b"\r\n"))
    cut = tmp_path / "no-newline.vcf"
    cut.write_bytes(text.encode().removesuffix(b"\n"))
    blank = tmp_path / "blank.vcf"
    blank.write_bytes(text.encode() + b"\n")
    files = [
        plain, returns, cut, blank,
        write_gzip(tmp_path / "plain.vcf.gz", text),
        write_gzip(tmp_path / "named.vcf", text),
        write_bgzf(tmp_path / "b.vcf.gz", text),
    ]  # fmt: skip
    summaries = [convert(file, tmp_path / f"{file.name}.zarr", threads=threads) for file in files]
    first = arrays(tmp_path / "a.vcf.zarr")
    assert_is(GenotypeStore.open(tmp_path / "a.vcf.zarr"), expected.rows)
    for file, summary in zip(files, summaries):
        assert arrays(tmp_path / f"{file.name}.zarr") == first, file.name
        assert summary.records == expected.counts["records"]
        assert summary.rows == len(expected.rows)
        assert summary.split == expected.counts["split"]
        assert summary.haploid_calls == expected.counts["haploid"]
        assert summary.half_missing_calls == expected.counts["half_missing"]
        assert summary.polyploid_calls == expected.counts["polyploid"]
        assert summary.dropped == {
            reason: expected.counts[reason]
            for reason in ("no_genotypes", "no_alternate_allele", "reference_block_allele")
            if expected.counts[reason]
        }


def test_bcf_gives_the_same_bytes(tmp_path, tiny):
    text = random_vcf(4, 11, 300)
    vcf = write_bgzf(tmp_path / "a.vcf.gz", text)
    convert(vcf, tmp_path / "vcf.zarr")
    convert(write_bcf(tmp_path / "a.bcf", vcf), tmp_path / "bcf.zarr")
    # named as a VCF, but a BCF
    renamed = tmp_path / "b.vcf.gz"
    renamed.write_bytes((tmp_path / "a.bcf").read_bytes())
    convert(renamed, tmp_path / "renamed.zarr")
    assert arrays(tmp_path / "vcf.zarr") == arrays(tmp_path / "bcf.zarr") == arrays(tmp_path / "renamed.zarr")


def test_1000_genomes_vcf_bcf_and_regions(tmp_path):
    folder = real_data("kg-chr20")
    convert(folder / "unphased.vcf.gz", tmp_path / "vcf.zarr")
    convert(folder / "unphased.bcf", tmp_path / "bcf.zarr")
    assert arrays(tmp_path / "vcf.zarr") == arrays(tmp_path / "bcf.zarr")
    whole = GenotypeStore.open(tmp_path / "vcf.zarr")
    edges = [1, *whole.variants()["base_pair_location"][[3000, 3001, 12000]].to_list(), 10**9]
    regions = [f"20:{a}-{b - 1}" for a, b in pairwise(edges)]
    import pysam

    copy = tmp_path / "copy.vcf.gz"
    copy.write_bytes((folder / "unphased.vcf.gz").read_bytes())
    bcf_copy = tmp_path / "copy.bcf"
    bcf_copy.write_bytes((folder / "unphased.bcf").read_bytes())
    for kind in ("none", "tbi", "csi"):
        if kind != "none":
            pysam.tabix_index(str(copy), preset="vcf", force=True, csi=kind == "csi")
            (tmp_path / "copy.vcf.gz.tbi").unlink() if kind == "csi" else None
        if kind == "csi":
            pysam.tabix_index(str(bcf_copy), preset="bcf", force=True, csi=True)
        for file in (copy, bcf_copy):
            out = tmp_path / f"{file.name}.{kind}"
            summary = convert(file, out.with_name(out.name + ".all"), region=regions)
            assert arrays(out.with_name(out.name + ".all")) == arrays(tmp_path / "vcf.zarr")
            indexed = kind == "csi" or (kind == "tbi" and file == copy)
            assert any("no index" in note for note in summary.notes) == (not indexed)
        pieces = []
        for number, region in enumerate(regions):
            convert(copy, tmp_path / f"{kind}{number}.zarr", region=region)
            pieces.append(GenotypeStore.open(tmp_path / f"{kind}{number}.zarr"))
        packed = np.concatenate([piece.read(0, piece.n_variants).packed for piece in pieces])
        np.testing.assert_array_equal(packed, whole.read(0, whole.n_variants).packed)
        table = pl.concat([piece.variants() for piece in pieces])
        assert table.drop("record").equals(whole.variants().drop("record"))


@pytest.mark.parametrize("index", [None, "tbi", "csi"])
@pytest.mark.parametrize("region", ["1:2000-9000", "X", ["X:500-900", "1:100-4000", "1:3000-3500"], "X:40000-"])
def test_regions_with_and_without_index(tmp_path, tiny, index, region):
    text = random_vcf(8, 9, 500)
    file = write_bgzf(tmp_path / "a.vcf.gz", text, index)
    bounds = {
        "1:2000-9000": [("1", 2000, 9000)],
        "X": [("X", 0, 2**40)],
        "X:40000-": [("X", 40000, 2**40)],
    }.get(str(region), [("X", 500, 900), ("1", 100, 4000)])
    expected = oracle.scan(text, bounds)
    summary = convert(file, tmp_path / "a.zarr", region=region)
    assert summary.records == expected.counts["records"]
    assert_is(GenotypeStore.open(tmp_path / "a.zarr"), expected.rows)


def test_regions_of_bcf(tmp_path, tiny):
    text = random_vcf(8, 9, 500)
    vcf = write_bgzf(tmp_path / "a.vcf.gz", text)
    expected = oracle.scan(text, [("X", 500, 9000), ("1", 100, 40000)])
    for indexed in (False, True):
        file = write_bcf(tmp_path / f"{indexed}.bcf", vcf, indexed)
        convert(file, tmp_path / f"{indexed}.zarr", region=["X:500-9000", "1:100-40000"])
        assert_is(GenotypeStore.open(tmp_path / f"{indexed}.zarr"), expected.rows)


def test_bad_regions(tmp_path):
    file = write_bgzf(tmp_path / "a.vcf.gz", random_vcf(8, 3, 50), "tbi")
    for region, words in [
        ("7", "the contigs are: 1, X"),
        ("1:9-5", "ends before it begins"),
        ("1:5-b", "which no input has|cannot be read"),
        ("1:-5", "cannot be read"),
        ("", "cannot be read"),
        ("1:900000000-", "no variants to write"),
        ([], "empty list"),
    ]:
        with pytest.raises(InputError, match=words):
            convert(file, tmp_path / "a.zarr", region=region)
        assert_nothing_left(tmp_path / "a.zarr")


def test_index_of_another_file(tmp_path, tiny):
    file = write_bgzf(tmp_path / "a.vcf.gz", random_vcf(8, 30, 3000, 1.0), "tbi")
    other = write_bgzf(tmp_path / "b.vcf.gz", random_vcf(9, 3, 3000, 0.0))
    (tmp_path / "b.vcf.gz.tbi").write_bytes((tmp_path / "a.vcf.gz.tbi").read_bytes())
    with pytest.raises(InputError):
        convert(other, tmp_path / "a.zarr", region="X:100000-900000")
    for damage in (
        lambda b: b[: len(b) // 2],
        lambda b: b"",
        lambda b: b"\x1f\x8bjunk",
        lambda b: b"junk" * 9,
    ):
        (tmp_path / "a.vcf.gz.tbi").write_bytes(damage((tmp_path / "b.vcf.gz.tbi").read_bytes()))
        with pytest.raises(InputError, match=r"a\.vcf\.gz\.tbi"):
            convert(file, tmp_path / "a.zarr", region="X")
    assert_nothing_left(tmp_path / "a.zarr")


def split_by_chromosome(folder: Path) -> str:
    """chr1, chr2 and chr10 with the samples in other orders; the text they are made of."""
    names = [f"s{i}" for i in range(5)]
    whole = header(names)
    rng = np.random.default_rng(0)
    for chromosome in ("1", "2", "10"):
        order = rng.permutation(5)
        text = header([names[i] for i in order])
        for position in range(1, 30):
            calls = [f"{rng.integers(2)}/{rng.integers(2)}" for _ in names]
            fixed = f"{chromosome}\t{position}\t.\tA\tC\t.\t.\t.\tGT\t"
            whole += fixed + "\t".join(calls) + "\n"
            text += fixed + "\t".join(calls[i] for i in order) + "\n"
        (folder / f"c.chr{chromosome}.vcf").write_text(text)
    return whole


def test_one_file_a_chromosome(tmp_path, tiny):
    expected = oracle.scan(split_by_chromosome(tmp_path))
    # the first file's sample order is the store's
    order = oracle.scan((tmp_path / "c.chr1.vcf").read_text()).samples
    at = [int(name[1:]) for name in order]
    for row in expected.rows:
        row.codes = [row.codes[i] for i in at]
        row.haploid = [row.haploid[i] for i in at]
    summary = convert(str(tmp_path / "c.chr*.vcf"), tmp_path / "a.zarr")
    store = GenotypeStore.open(tmp_path / "a.zarr")
    assert store.contigs == ("1", "2", "10")
    assert list(store.sample_ids) == order
    assert_is(store, expected.rows)
    assert [s["name"] for s in summary.sources] == ["c.chr1.vcf", "c.chr2.vcf", "c.chr10.vcf"]
    assert [s["records"] for s in summary.sources] == [29, 29, 29]
    # whatever order a shell or a list gives
    again = convert([tmp_path / "c.chr10.vcf", tmp_path / "c.chr1.vcf"], tmp_path / "b.zarr")
    assert GenotypeStore.open(tmp_path / "b.zarr").contigs == ("1", "10")
    assert "read in the order of the genome: c.chr1.vcf, c.chr10.vcf" in " ".join(again.lines())


def test_a_choice_of_samples(tmp_path, tiny):
    text = random_vcf(12, 40, 100)
    (tmp_path / "a.vcf").write_text(text)
    convert(tmp_path / "a.vcf", tmp_path / "all.zarr")
    convert(tmp_path / "a.vcf", tmp_path / "few.zarr", samples=["s31", "s2", "s17"])
    (tmp_path / "keep.txt").write_text("s31 x\ns2\n\ns17\n")
    convert(tmp_path / "a.vcf", tmp_path / "file.zarr", samples=tmp_path / "keep.txt")
    whole, few = GenotypeStore.open(tmp_path / "all.zarr"), GenotypeStore.open(tmp_path / "few.zarr")
    assert list(few.sample_ids) == ["s2", "s17", "s31"]
    kept = whole.read(0, whole.n_variants).codes()[:, [2, 17, 31]]
    np.testing.assert_array_equal(few.read(0, few.n_variants).codes(), kept)
    assert arrays(tmp_path / "few.zarr") == arrays(tmp_path / "file.zarr")
    with pytest.raises(InputError, match=r"1 of 2 sample ids are not in .*: S2; .*ids look like s0"):
        convert(tmp_path / "a.vcf", tmp_path / "b.zarr", samples=["s1", "S2"])


def test_files_that_do_not_fit_each_other(tmp_path):
    row = "{}\t5\t.\tA\tC\t.\t.\t.\tGT\t0/1\t1/1\n"
    (tmp_path / "a.vcf").write_text(header(["s0", "s1"]) + row.format("1"))
    (tmp_path / "b.vcf").write_text(header(["s0", "s2"]) + row.format("2"))
    (tmp_path / "c.vcf").write_text(header(["s0", "s1"]) + row.format("chr2"))
    (tmp_path / "d.vcf").write_text(header(["s0", "s1"]) + row.format("3") + row.format("chr2"))
    out = tmp_path / "a.zarr"
    with pytest.raises(InputError, match=r"b\.vcf: holds other samples than .*a\.vcf: 1 missing \(s1\); 1 not in the"):
        convert([tmp_path / "a.vcf", tmp_path / "b.vcf"], out)
    for other in ("c", "d"):
        with pytest.raises(InputError, match=rf"{other}\.vcf: names its contigs like 'chr2', .*a\.vcf like '1'"):
            convert([tmp_path / "a.vcf", tmp_path / f"{other}.vcf"], out)
    with pytest.raises(InputError, match="given twice"):
        convert([tmp_path / "a.vcf", str(tmp_path / "a*.vcf")], out)
    with pytest.raises(InputError, match="no file matches"):
        convert(str(tmp_path / "z*.vcf"), out)
    with pytest.raises(InputError, match="no such file"):
        convert(tmp_path / "z.vcf", out)
    with pytest.raises(InputError, match="is a folder"):
        convert(tmp_path, out)
    assert_nothing_left(out)


def test_unsorted_input_is_kept_and_counted(tmp_path):
    row = "{}\t{}\t.\tA\tC\t.\t.\t.\tGT\t0/1\n"
    rows = [("1", 5), ("1", 9), ("1", 7), ("2", 1), ("1", 9), ("1", 9)]
    (tmp_path / "a.vcf").write_text(header(["s"]) + "".join(row.format(*r) for r in rows))
    summary = convert(tmp_path / "a.vcf", tmp_path / "a.zarr")
    assert (summary.unsorted, summary.contig_returns, summary.rows) == (1, 1, 6)
    store = GenotypeStore.open(tmp_path / "a.zarr")
    assert store.variants().select("chromosome", "base_pair_location").rows() == rows
    assert store.contig_runs() == [("1", 0, 3), ("2", 3, 4), ("1", 4, 6)]
    assert any("not sorted" in line for line in summary.lines())


def test_bad_input_names_file_line_and_sample(tmp_path, tiny):
    text = random_vcf(3, 5, 200)
    lines = text.split("\n")
    bad = 150
    columns = lines[bad].split("\t")
    columns[8], columns[4], columns[11] = "GT", "C", "0/z"
    columns[9], columns[10], columns[12], columns[13] = ["0/1"] * 4
    lines[bad] = "\t".join(columns)
    text = "\n".join(lines)
    (tmp_path / "a.vcf").write_text(text)
    files = [
        tmp_path / "a.vcf",
        write_gzip(tmp_path / "b.vcf.gz", text),
        write_bgzf(tmp_path / "c.vcf.gz", text),
    ]
    for file in files:
        with pytest.raises(InputError, match=rf"{file.name}:{bad + 1}: sample 's2' \(column 12\) has '0/z'"):
            convert(file, tmp_path / "a.zarr")
        assert_nothing_left(tmp_path / "a.zarr")


def test_damaged_files(tmp_path, tiny):
    text = random_vcf(3, 50, 2000)
    whole = write_bgzf(tmp_path / "a.vcf.gz", text).read_bytes()
    bcf_bytes = write_bcf(tmp_path / "a.bcf", tmp_path / "a.vcf.gz").read_bytes()
    squeezed = write_gzip(tmp_path / "g.vcf.gz", text).read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 4
    gzip_flipped = bytearray(squeezed)
    gzip_flipped[len(squeezed) // 2] ^= 4
    bcf_flipped = bytearray(bcf_bytes)
    bcf_flipped[len(bcf_bytes) // 2] ^= 4
    header_bytes = text[: text.index("#CHROM")].encode()
    for name, data, words in [
        ("cut.vcf.gz", whole[: len(whole) * 2 // 3], "truncated"),
        ("noend.vcf.gz", whole[:-28], "truncated"),
        ("cut-with-end.vcf.gz", whole[: len(whole) * 2 // 3] + bgzf.EOF_BLOCK, "BGZF block|truncated"),
        ("flipped.vcf.gz", bytes(flipped), "BGZF block"),
        ("gzip-cut.vcf.gz", squeezed[: len(squeezed) // 2], "truncated"),
        ("gzip-flipped.vcf.gz", bytes(gzip_flipped), "damaged gzip"),
        ("cut.bcf", bcf_bytes[: len(bcf_bytes) // 2], "truncated"),
        ("flipped.bcf", bytes(bcf_flipped), "damaged BCF"),
        ("text.vcf.gz", text.encode(), "is not compressed"),
        ("empty.vcf", b"", "is empty"),
        ("empty.vcf.gz", bgzf.EOF_BLOCK, "is empty"),
        ("junk.vcf", os.urandom(5000), "is no VCF|gzip|header"),
        ("junk.vcf.gz", b"\x1f\x8b\x08\x04" + os.urandom(5000), "gzip|BGZF|truncated"),
        ("header.vcf", header_bytes, "column names"),
        ("table.vcf", b"IID\tage\n1\t2\n", "is no VCF"),
        ("none.vcf", header(["a"]).encode(), "no variants to write: read 0 records"),
        ("cut.vcf", text.encode()[:-9], r"columns|genotype"),
        ("twice.vcf", header(["a", "b", "a"]).encode(), "duplicated sample ids.*: a;"),
        ("sites.vcf", header([]).encode(), "no samples"),
        ("blank.vcf", header(["a", " "]).encode(), "name of sample 2 is empty"),
        ("spaces.vcf", header(["a"]).replace("\t", " ").encode(), "separated by tabs"),
    ]:
        file = tmp_path / name
        file.write_bytes(data)
        with pytest.raises(InputError, match=words) as caught:
            convert(file, tmp_path / "out.zarr")
        assert str(file) in str(caught.value), name
        assert_nothing_left(tmp_path / "out.zarr")


def test_htslib_is_silent_and_its_verbosity_restored(tmp_path, capfd):
    import pysam

    vcf = write_bgzf(tmp_path / "a.vcf.gz", random_vcf(3, 50, 100))
    file = write_bcf(tmp_path / "a.bcf", vcf)
    before = pysam.get_verbosity()
    capfd.readouterr()
    convert(file, tmp_path / "a.zarr")
    assert capfd.readouterr().err == ""
    assert pysam.get_verbosity() == before


def test_a_rerun_is_a_no_op_and_other_inputs_are_refused(tmp_path, tiny):
    (tmp_path / "a.vcf").write_text(random_vcf(1, 5, 50))
    (tmp_path / "b.vcf").write_text(random_vcf(2, 5, 50))
    out = tmp_path / "a.zarr"
    first = convert(tmp_path / "a.vcf", out)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    again = convert(tmp_path / "a.vcf", out)
    assert again.already_complete
    assert not first.already_complete
    assert again.rows == first.rows
    assert again.sources == first.sources
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before
    for options in ({"samples": ["s1"]}, {"region": "1"}):
        with pytest.raises(OutputError, match="other inputs or parameters"):
            convert(tmp_path / "a.vcf", out, **options)
    with pytest.raises(OutputError, match="other inputs"):
        convert(tmp_path / "b.vcf", out)
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before
    convert(tmp_path / "b.vcf", out, overwrite=True)
    assert_is(GenotypeStore.open(out), oracle.scan(random_vcf(2, 5, 50)).rows)
    assert not work_folder(out).exists()


def test_progress_reaches_its_total(tmp_path, tiny):
    class Counting:
        def __init__(self):
            self.said = []

        def begin(self, label, total, unit):
            self.said.append(("begin", total))
            self.done = 0.0

        def advance(self, amount):
            self.done += amount

        def end(self):
            self.said.append(("end", self.done))

    text = random_vcf(1, 50, 400)
    for name in ("a.vcf", "a.vcf.gz", "g.vcf.gz"):
        file = tmp_path / name
        if name == "a.vcf":
            file.write_text(text)
        else:
            (write_bgzf if name == "a.vcf.gz" else write_gzip)(file, text)
        counting = Counting()
        convert(file, tmp_path / f"{name}.zarr", progress=counting)
        (_, total), (_, done) = counting.said
        # the header and the end marker are no pieces
        assert 0.9 * total <= done <= total, name


def die(out: Path, point: str, number: int, inputs: list[Path], threads: int = 2) -> None:
    """Convert in a process that is killed by signal 9."""
    command = [sys.executable, str(TESTS / "convert_and_die.py"), str(out), point, str(number), str(threads)]
    done = subprocess.run([*command, *map(str, inputs)], cwd=TESTS.parent, env=environment(), timeout=120)
    assert done.returncode == -signal.SIGKILL


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(TESTS.parent)}


@pytest.mark.integration
@pytest.mark.parametrize(
    ("point", "number"), [("shard", 1), ("shard", 4), ("journal", 3), ("metadata", 1), ("complete", 1)]
)
def test_killed_and_resumed(tmp_path, tiny, point, number):
    files = [tmp_path / "a.vcf", tmp_path / "b.vcf.gz", tmp_path / "c.bcf", tmp_path / "d.vcf.gz"]
    files[0].write_text(random_vcf(1, 21, 60))
    write_bgzf(files[1], random_vcf(2, 21, 60))
    write_bcf(files[2], write_bgzf(tmp_path / "c.vcf.gz", random_vcf(3, 21, 60)))
    write_gzip(files[3], random_vcf(4, 21, 60))
    whole = convert(files, tmp_path / "whole.zarr")
    out = tmp_path / "a.zarr"
    die(out, point, number, files)
    assert not out.exists()
    resumed = convert(files, out, threads=1)
    assert tree(out) == tree(tmp_path / "whole.zarr")
    assert resumed.stored() == whole.stored()
    written = number - (point == "shard")
    assert resumed.resumed_rows == (whole.rows if point in ("metadata", "complete") else 32 * written)
    assert not work_folder(out).exists()


@pytest.mark.integration
def test_killed_within_filesets_of_plink(tmp_path, tiny):
    pytest.importorskip("pgenlib")
    vcf = vcf_of(tmp_path / "b.vcf", dosages=True)
    plink2("--vcf", vcf, "dosage=DS", "--make-pgen", "--out", tmp_path / "b")
    plink2("--vcf", vcf, "--make-bed", "--out", tmp_path / "a")
    files = [tmp_path / "a.bed", tmp_path / "b.pgen"]
    convert(files, tmp_path / "whole.zarr")
    for number in (1, 4):
        out = tmp_path / f"{number}.zarr"
        die(out, "journal", number, files)
        assert convert(files, out, threads=1).resumed_rows == 32 * number
        assert tree(out) == tree(tmp_path / "whole.zarr")


@pytest.mark.integration
def test_killed_again_and_again_from_outside(tmp_path, tiny):
    vcf = write_bgzf(tmp_path / "a.vcf.gz", random_vcf(2, 200, 1500, 0.8), "tbi")
    convert(vcf, tmp_path / "whole.zarr")
    out = tmp_path / "a.zarr"
    journal = work_folder(out) / "parts" / "journal.jsonl"
    kills = 0
    for _ in range(3):
        before = journal.read_bytes().count(b"\n") if journal.exists() else 1
        command = [sys.executable, str(TESTS / "convert_and_die.py"), str(out), "parent", "0", "2", str(vcf)]
        process = subprocess.Popen(command, cwd=TESTS.parent, env=environment())
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if journal.exists() and journal.read_bytes().count(b"\n") >= before + 3:
                process.kill()
            time.sleep(0.005)
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 2  # a fast machine may finish before the third
    convert(vcf, out)
    assert tree(out) == tree(tmp_path / "whole.zarr")


def test_other_inputs_do_not_resume(tmp_path, tiny):
    (tmp_path / "a.vcf").write_text(random_vcf(1, 21, 200))
    die(tmp_path / "a.zarr", "journal", 2, [tmp_path / "a.vcf"])
    assert work_folder(tmp_path / "a.zarr").exists()
    (tmp_path / "a.vcf").write_text(random_vcf(2, 21, 200))
    summary = convert(tmp_path / "a.vcf", tmp_path / "a.zarr")
    assert summary.resumed_rows == 0
    assert any("begun anew" in note for note in summary.notes)
    assert_is(GenotypeStore.open(tmp_path / "a.zarr"), oracle.scan(random_vcf(2, 21, 200)).rows)


def test_output_that_cannot_be_written(tmp_path):
    (tmp_path / "a.vcf").write_text(random_vcf(1, 3, 20))
    for out, words in [
        (tmp_path / "no" / "a.zarr", "does not exist"),
        (tmp_path / "a.vcf" / "a.zarr", "is no folder"),
        (Path("/proc/a.zarr"), "cannot be written"),
        (tmp_path / "a.vcf", "no genassoc store is there"),
    ]:
        with pytest.raises(OutputError, match=words):
            convert(tmp_path / "a.vcf", out)
    assert [p.name for p in tmp_path.iterdir()] == ["a.vcf"]


@pytest.mark.integration
def test_full_disk(tmp_path):
    """A limit on the size of files is as near to a full disk as a test comes without a file system of its own."""
    rng = np.random.default_rng(0)
    calls = np.array(["0/0", "0/1", "1/1", "./."])
    rows = [f"1\t{v + 1}\t.\tA\tC\t.\t.\t.\tGT\t" + "\t".join(calls[rng.integers(0, 4, 400)]) for v in range(2000)]
    (tmp_path / "a.vcf").write_text(header([f"s{i}" for i in range(400)]) + "\n".join(rows) + "\n")
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from genassoc.formats.convert import convert\n"
        "from genassoc.errors import OutputError\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (60000, {resource.RLIM_INFINITY}))\n"
        "try:\n"
        "    convert(sys.argv[1], sys.argv[2])\n"
        "except OutputError as error:\n"
        "    print(error)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "a.vcf"), str(tmp_path / "a.zarr")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=TESTS.parent, env=environment(), timeout=120)
    assert "cannot be written: File too large" in done.stdout, done.stderr
    assert_nothing_left(tmp_path / "a.zarr")


@pytest.mark.integration
def test_memory_stays_small_with_long_lines(tmp_path):
    """100,000 samples, lines of 400 kB, 200 MB of text: what is in flight is bounded, not what is read."""
    calls = np.random.default_rng(0).choice(np.array(["0/0", "0/1", "1/1"]), 100_000)
    line = "\t".join(calls)
    with (tmp_path / "a.vcf").open("w") as file:
        file.write(header([f"s{i}" for i in range(100_000)]))
        for v in range(500):
            file.write(f"1\t{v + 1}\t.\tA\tC\t.\t.\t.\tGT\t{line}\n")
    script = (
        "import sys\n"
        "from genassoc.formats.convert import convert\n"
        "from genassoc.provenance import peak_memory_bytes\n"
        "convert(sys.argv[1], sys.argv[2], threads=4)\n"
        "print(peak_memory_bytes())\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "a.vcf"), str(tmp_path / "a.zarr")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=TESTS.parent, env=environment(), timeout=120)
    assert int(done.stdout) < 1e9, done.stderr


def test_an_edit_anywhere_is_another_input(tmp_path, monkeypatch):
    path = tmp_path / "a"
    content = bytearray(3 * 2**20)
    path.write_bytes(content)
    before = source.fingerprint(path)
    content[3 * 2**19] = 1
    path.write_bytes(content)
    assert source.fingerprint(path) != before
    # of a larger file a part is read: its end is
    monkeypatch.setattr(source, "FINGERPRINT_BYTES", 2**10)
    before = source.fingerprint(path)
    content[-1] = 1
    path.write_bytes(content)
    assert source.fingerprint(path) != before
