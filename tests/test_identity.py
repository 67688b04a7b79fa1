"""Ids of samples and variants, and the reference: changed as asked for, counted, never in silence."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pysam
import pytest
from fuzzing import SECONDS, Seeds, fuzz, taken
from plink_files import random_codes, write_fileset
from vcf_texts import header, write_bgzf

import genassoc as ga
from genassoc.errors import InputError, SampleMismatchError
from genassoc.formats.convert import convert
from genassoc.formats.inputs import open_source
from genassoc.formats.reading import Reading
from genassoc.formats.reference import Reference
from genassoc.formats.rsids import VariantIds

BASES = "ACGT"


def write(path, samples, records):
    text = header(samples) + "".join(
        f"{contig}\t{position}\t{rsid}\t{ref}\t{alt}\t.\t.\t.\tGT" + "\t0/1" * len(samples) + "\n"
        for contig, position, rsid, ref, alt in records
    )
    path.write_text(text)
    return path


def said(summary, words):
    return any(words in line for line in summary.lines())


# Samples ---------------------------------------------------------------------------------------------------------------

SNV = [("1", 5, ".", "A", "C")]


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        ("iid", ["F1_a", "b_b"], ["a", "b"]),
        ("split:_:2", ["w_a_1", "w_b_2"], ["a", "b"]),
        ("split:_:-1", ["w_a", "b"], ["a", "b"]),
        ("trim+upper", [" a", "b\u200b"], ["A", "B"]),
        ("lower", ["A1", "B1"], ["a1", "b1"]),
        ("nfc", ["e\u0301", "a"], ["é", "a"]),
        ("before_first", ["a.x", "b.y"], ["a", "b"]),
    ],
)
def test_ids_are_changed_by_rules(tmp_path, rule, before, after):
    summary = convert(write(tmp_path / "a.vcf", before, SNV), tmp_path / "a.zarr", reading=Reading(id_rule=rule))
    assert list(ga.open_store(tmp_path / "a.zarr").sample_ids) == after
    assert said(summary, "sample ids changed")


def test_rules_that_make_two_samples_one_are_refused(tmp_path):
    vcf = write(tmp_path / "a.vcf", ["f_a", "g_a"], SNV)
    with pytest.raises(SampleMismatchError, match="'f_a' and 'g_a' become 'a'"):
        convert(vcf, tmp_path / "a.zarr", reading=Reading(id_rule="iid"))
    with pytest.raises(InputError, match=r"no rule 'iids' \(did you mean 'iid'"):
        convert(vcf, tmp_path / "a.zarr", reading=Reading(id_rule="iids"))
    with pytest.raises(InputError, match="no family ids"):
        convert(vcf, tmp_path / "a.zarr", reading=Reading(id_rule="fid_iid"))
    assert not (tmp_path / "a.zarr").exists()


def test_families_and_individuals_of_a_fileset_are_joined(tmp_path):
    bed = write_fileset(tmp_path / "a", random_codes(3, 4))
    convert(bed, tmp_path / "a.zarr", reading=Reading(id_rule="fid_iid"))
    assert list(ga.open_store(tmp_path / "a.zarr").sample_ids) == ["F0_S0", "F1_S1", "F2_S2", "F3_S3"]


def test_ids_are_mapped_by_a_file(tmp_path):
    vcf = write(tmp_path / "a.vcf", ["a", "b", "c"], SNV)
    ids = tmp_path / "ids.txt"
    ids.write_text("#old\tnew\na\tpatient 1\nb\tP2\nz\tP9\n")
    summary = convert(vcf, tmp_path / "a.zarr", reading=Reading(id_map=str(ids)))
    assert list(ga.open_store(tmp_path / "a.zarr").sample_ids) == ["patient 1", "P2", "c"]
    assert said(
        summary, "2 samples have their ids from ids.txt, 1 keep their own (c); 1 of its ids are not in the file"
    )
    ids.write_text("a P1\nb P1\n")  # another file of the same name: the store is not the one that was asked for
    with pytest.raises(SampleMismatchError, match="'a' and 'b' become 'P1'"):
        convert(vcf, tmp_path / "b.zarr", reading=Reading(id_map=str(ids)))
    for text, words in [
        ("a b c\n", "two columns"),
        ("a b\na c\n", "an earlier line 'b'"),
        ("x y\n", "none of the sample ids"),
        ("", "no sample ids"),
    ]:
        ids.write_text(text)
        with pytest.raises(InputError, match=words):
            convert(vcf, tmp_path / "b.zarr", reading=Reading(id_map=str(ids)))


def test_what_a_file_of_ids_holds_makes_the_store(tmp_path):
    vcf, ids = write(tmp_path / "a.vcf", ["a", "b"], SNV), tmp_path / "ids.txt"
    ids.write_text("a P1\n")
    convert(vcf, tmp_path / "a.zarr", reading=Reading(id_map=str(ids)))
    assert convert(vcf, tmp_path / "a.zarr", reading=Reading(id_map=str(ids))).already_complete
    ids.write_text("a P2\n")
    assert not convert(vcf, tmp_path / "a.zarr", overwrite=True, reading=Reading(id_map=str(ids))).already_complete
    assert list(ga.open_store(tmp_path / "a.zarr").sample_ids) == ["P2", "b"]


# The reference -----------------------------------------------------------------------------------------------------------


def repeats(rng, n):
    """Sequence with many short repeats, where indels can move far."""
    pieces = []
    while sum(map(len, pieces)) < n:
        unit = "".join(rng.choice(list(BASES), int(rng.integers(1, 5))))
        pieces.append(unit * int(rng.integers(1, 12)))
    return "".join(pieces)[:n]


def indels(rng, sequence, n):
    """Random variants of a sequence, written far from where they are normal."""
    records = []
    for _ in range(n):
        at = int(rng.integers(0, len(sequence) - 60))
        before, behind = sequence[at : at + int(rng.integers(1, 20))], int(rng.integers(0, 10))
        ref = before + sequence[at + len(before) : at + len(before) + behind]
        change = rng.random()
        gap = "".join(rng.choice(list(BASES), int(rng.integers(1, 4))))
        if change < 0.3:
            alt = before + gap + ref[len(before) :]
        elif change < 0.6:
            alt = before + before[-min(3, len(before)) :] + ref[len(before) :]
        elif change < 0.9:
            cut = int(rng.integers(0, len(ref) + 1))
            alt = ref[:cut] + ref[cut + int(rng.integers(1, 4)) :]
        else:
            alt = "".join(rng.choice(list(BASES), len(ref)))
        if alt and alt != ref:
            records.append(("1", at + 1, ".", ref, alt))
    return sorted(records, key=lambda record: record[1])


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    rng = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("fasta") / "ref.fa"
    first, second = repeats(rng, 9_000), repeats(rng, 3_000).lower()
    path.write_text(f">chr1 of a test\n{first}\n>X\n{second}\n")
    pysam.faidx(str(path))
    return path, first, second


@pytest.mark.skipif(shutil.which("bcftools") is None, reason="bcftools is not here")
def test_indels_are_aligned_as_bcftools_aligns_them(tmp_path, fasta):
    path, first, _ = fasta
    records = indels(np.random.default_rng(6), first, 600)
    records = [("chr1", *rest) for _, *rest in records]
    vcf = write(tmp_path / "a.vcf", ["a"], records)
    vcf.write_text(vcf.read_text().replace("##contig=<ID=1>", "##contig=<ID=chr1>"))
    norm = ["bcftools", "norm", "-f", str(path), "-c", "e", str(vcf)]
    lines = subprocess.run(norm, capture_output=True, text=True, check=True).stdout.splitlines()
    theirs = sorted((int(c[1]), c[3], c[4]) for line in lines if line[0] != "#" and (c := line.split("\t")))
    ours = taken(vcf, fasta=str(path)).variants
    assert sorted((position, ref, alt) for _, position, ref, alt, _ in ours) == theirs
    changed = sum(a[1:] != b[1:4] for a, b in zip(records, ours))
    assert changed > 300


def test_mismatches_are_counted_and_nothing_is_flipped(tmp_path, fasta):
    path, first, second = fasta
    other = {base: BASES[(BASES.index(base) + 1) % 4] for base in BASES}
    right = ("1", 100, ".", first[99], other[first[99]])
    exchanged = ("1", 200, ".", other[first[199]], first[199])
    wrong = ("1", 300, ".", other[first[299]], other[other[first[299]]])
    beyond, absent = ("1", 9_001, ".", "A", "C"), ("7", 5, ".", "A", "C")
    lower = ("chrX", 10, ".", second[9].upper(), other[second[9].upper()])
    deletion = ("1", 400, ".", first[399], "<DEL>")
    records = [right, exchanged, wrong, deletion, beyond, absent, lower]
    vcf = write(tmp_path / "a.vcf", ["a"], records)
    summary = convert(vcf, tmp_path / "a.zarr", reading=Reading(fasta=str(path)))
    assert summary.variant_changes == {
        "reference_checked": 5, "reference_mismatch": 2, "reference_exchanged": 1, "reference_unknown": 2,
    }  # fmt: skip
    assert said(summary, f"as at 1:200 has REF {exchanged[3]}, the reference {first[199]}")
    rows = ga.open_store(tmp_path / "a.zarr").variants().rows()
    assert [(r[0], r[1], r[3], r[2]) for r in rows] == [(c, p, ref, alt) for c, p, _, ref, alt in records]


def test_indels_at_the_ends_of_a_sequence(tmp_path):
    path = tmp_path / "ends.fa"
    path.write_text(">1\nAAAAAAAACGTTTTTT\n")
    pysam.faidx(str(path))
    records = [
        ("1", 5, ".", "AA", "A"),
        ("1", 1, ".", "AC"[:1], "AA"),
        ("1", 15, ".", "TT", "T"),
        ("1", 16, ".", "T", "TTT"),
    ]
    got = taken(write(tmp_path / "a.vcf", ["a"], records), fasta=str(path)).variants
    assert [row[1:4] for row in got] == [(1, "AA", "A"), (1, "A", "AA"), (10, "GT", "G"), (10, "G", "GTT")]


def test_a_reference_that_cannot_serve_is_refused(tmp_path, fasta):
    vcf = write(tmp_path / "a.vcf", ["a"], SNV)
    bare = tmp_path / "bare.fa"
    bare.write_text(">1\nACGT\n")
    for name, words in [(bare, "samtools faidx"), (tmp_path / "none.fa", "no such file")]:
        with pytest.raises(InputError, match=words):
            convert(vcf, tmp_path / "a.zarr", reading=Reading(fasta=str(name)))
    Path(f"{bare}.fai").write_text("1\t248956422\t3\t248956422\t248956423\n")  # an index of another file
    with pytest.raises(InputError, match=r"bare\.fa"):
        convert(
            write(tmp_path / "b.vcf", ["a"], [("1", 100_000, ".", "A", "C")]),
            tmp_path / "a.zarr",
            reading=Reading(fasta=str(bare)),
        )


# Ids of variants ---------------------------------------------------------------------------------------------------------


def dbsnp(path, records, extra=""):
    lines = "".join(f"{c}\t{p}\t{name}\t{ref}\t{alt}\t.\t.\tRS=1\n" for c, p, name, ref, alt in records)
    text = f"##fileformat=VCFv4.2\n{extra}#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n{lines}"
    return write_bgzf(path, text, index="csi")


def test_rsids_come_from_a_file_by_position_and_alleles(tmp_path):
    known = dbsnp(
        tmp_path / "dbsnp.vcf.gz",
        [
            ("NC_000001.11", 5, "rs5", "A", "C,G"), ("NC_000001.11", 5, "rs50", "A", "T"), ("NC_000001.11", 90, "rs90", "AT", "A"),
            ("NC_000001.11", 700_000, "rs7", "G", "A"), ("NC_000023.11", 5, "rs23", "A", "C"),
        ],
    )  # fmt: skip
    records = [
        ("1", 5, ".", "A", "G"), ("1", 5, "own", "A", "T"), ("1", 6, "stays", "A", "T"), ("1", 90, "rs90", "AT", "A"),
        ("1", 700_000, "x", "A", "G"), ("chrX", 5, ".", "a", "c"), ("GL1", 5, "y", "A", "C"),
    ]  # fmt: skip
    vcf = write(tmp_path / "a.vcf", ["a"], records)
    summary = convert(vcf, tmp_path / "a.zarr", reading=Reading(rsids=str(known)))
    ids = ga.open_store(tmp_path / "a.zarr").variants()["rsid"].to_list()
    assert ids == ["rs5", "rs50", "stays", "rs90", "rs7", "rs23", "y"]
    assert summary.variant_changes == {
        "ids_given": 2, "ids_replaced": 2, "ids_confirmed": 1, "ids_exchanged": 1, "ids_not_found": 2,
    }  # fmt: skip


def test_a_file_of_ids_of_another_build_or_without_an_index_is_refused(tmp_path):
    records = [("1", 5, "rs5", "A", "C")]
    old = dbsnp(tmp_path / "old.vcf.gz", records, "##reference=GRCh37.p13\n")
    vcf = write(tmp_path / "a.vcf", ["a"], SNV)
    vcf.write_text(vcf.read_text().replace("##contig=<ID=1>", "##contig=<ID=1,length=248956422>"))
    with pytest.raises(
        InputError, match=r"old\.vcf\.gz: is of GRCh37 by the name of the reference, .*a\.vcf of GRCh38"
    ):
        convert(vcf, tmp_path / "a.zarr", reading=Reading(rsids=str(old)))
    old = old.rename(tmp_path / "bare.vcf.gz")  # without its index
    with pytest.raises(InputError, match="has no index"):
        convert(vcf, tmp_path / "a.zarr", reading=Reading(rsids=str(old)))


def test_threads_give_the_same_store(tmp_path, fasta):
    path, first, _ = fasta
    records = indels(np.random.default_rng(8), first, 200)
    known = dbsnp(
        tmp_path / "known.vcf.gz", [("1", p, f"rs{i}", ref, alt) for i, (_, p, _, ref, alt) in enumerate(records)]
    )
    vcf = write(tmp_path / "a.vcf", ["a", "b"], records)
    roots = []
    for threads in (1, 3):
        out = tmp_path / f"{threads}.zarr"
        convert(vcf, out, threads=threads, reading=Reading(fasta=str(path), rsids=str(known)))
        roots.append(ga.open_store(out).root)
    assert roots[0] == roots[1]


def test_options_and_parts_give_the_same_store(tmp_path, fasta, genassoc, monkeypatch):
    path, first, _ = fasta
    records = indels(np.random.default_rng(9), first, 60)
    vcf = write_bgzf(tmp_path / "a.vcf.gz", write(tmp_path / "a.vcf", ["f_a", "f_b"], records).read_text(), index="tbi")
    (tmp_path / "ids.txt").write_text("f_a\tf_x\n")
    monkeypatch.chdir(tmp_path)  # files are named from here, and jobs may run elsewhere
    options = ["--id-map", "ids.txt", "--id-rule", "split:_:2+upper", "--reference", str(path)]
    code, out, errors = genassoc("convert", vcf, "whole.zarr", *options)
    assert code == 0, errors
    assert "indels moved to the left" in out + errors and "sample ids changed" in out + errors
    store = ga.open_store("whole.zarr")
    assert list(store.sample_ids) == ["X", "B"]
    assert genassoc("plan", "--convert", vcf, "work", "--parts", "2", *options)[0] == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for command in [("part", "../work", "0"), ("part", "../work", "1"), ("merge", "../work", "../merged.zarr")]:
        code, _, errors = genassoc(*command)
        assert code == 0, errors
    assert ga.open_store("../merged.zarr").root == store.root
    code, _, errors = genassoc("convert", vcf, "other.zarr", "--id-rule", "iids")
    assert code != 0 and "did you mean 'iid'" in errors and "Traceback" not in errors


@pytest.mark.fuzz
@pytest.mark.parametrize("of", ["fai", "fa", "vcf.gz", "csi"])
def test_mutants_of_references_and_files_of_ids(tmp_path, fasta, of):
    """A damaged FASTA, its index, a file of ids or its index: read, or refused by name; never more memory than for a sound one."""
    path = tmp_path / "ref.fa"
    shutil.copy(fasta[0], path)
    shutil.copy(f"{fasta[0]}.fai", f"{path}.fai")
    records = indels(np.random.default_rng(9), fasta[1], 20)
    known = dbsnp(tmp_path / "known.vcf.gz", [("1", p, f"rs{p}", ref, alt) for _, p, _, ref, alt in records])
    vcf = write(tmp_path / "a.vcf", ["a"], records)
    columns = next(batch.columns for batch in batches_of(vcf) if len(batch.columns))
    target = {"fai": Path(f"{path}.fai"), "fa": path, "vcf.gz": known, "csi": Path(f"{known}.csi")}[of]

    def read(_):
        return Reference(path).aligned(columns) if of.startswith("fa") else VariantIds(known).given(columns)

    seeds = Seeds([target.read_bytes()], (b"\t", b"\n", b">", b"999999999999", b"-1", b"chr1"))
    assert fuzz(seeds, target, read=read, seconds=SECONDS / 4)["total"]


def batches_of(path):
    source = open_source(path, [])
    return [piece.decode() for piece in source.pieces(np.arange(len(source.sample_ids)), None)]
