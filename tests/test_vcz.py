"""VCF Zarr: the store of the VCF that it was made from; what a stranger wrote is bounded, and refused in words."""

import json
import os
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fuzzing import Seeds, fuzz, taken
from oracles import vcz_text as text_oracle
from test_export import calls_of, same_calls

import genassoc as ga
from genassoc.errors import GenassocError, InputError
from genassoc.formats.source import RecordError
from genassoc.kernels.text import vcz_text as kernels

bio2zarr = pytest.mark.skipif(shutil.which("vcf2zarr") is None, reason="bio2zarr (vcf2zarr) is not installed")
REAL = Path(os.environ.get("GENASSOC_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
HEADER = """\
##fileformat=VCFv4.3
##FILTER=<ID=PASS,Description="All filters passed">
##FILTER=<ID=q10,Description="low">
##contig=<ID=1,length=1000000>
##contig=<ID=X,length=900000>
##INFO=<ID=R2,Number=1,Type=Float,Description="r2">
##INFO=<ID=DB,Number=0,Type=Flag,Description="db">
##INFO=<ID=AC,Number=A,Type=Integer,Description="ac">
##INFO=<ID=CSQ,Number=.,Type=String,Description="csq">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##FORMAT=<ID=DS,Number=A,Type=Float,Description="dosage">
##FORMAT=<ID=GP,Number=G,Type=Float,Description="gp">
##FORMAT=<ID=GQ,Number=1,Type=Integer,Description="gq">
##FORMAT=<ID=DP,Number=1,Type=Integer,Description="dp">
##FORMAT=<ID=AD,Number=R,Type=Integer,Description="ad">
#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO	FORMAT	A	B	C	D	E
"""
LINES = """\
1	100	rs1	A	C	.	PASS	R2=0.9;DB;AC=1;CSQ=x|y,z|w	GT:GQ:DP:AD	0/1:30:9:4,5	0|0:20:8:8,0	./.:.:.:.	1/1:9:2:0,2	0/0:50:30:30,0
1	200	.	A	C,G	50	q10	AC=1,2	GT:GQ	1/2:3	0/2:99	./1:20	2/2:1	./.:.
1	300	rs3	A	C,<NON_REF>,T	50	PASS	R2=0.25	GT	1/3	0/1	./.	3/3	1/1
1	300	rs9	A	C	50	PASS	.	GT	0/0	0/1	0/0	1/1	0/1
X	100	rs2	AT	A	.	.	CSQ=k	GT:GQ	1:20	0/1:30	.:.	0:40	0/0:60
X	200	.	AT	A	.	q10	.	GT:DP	1:2	0/1:3	./.:4	0:5	0/.:6
"""


def make_vcf(folder, name="x.vcf", lines=LINES):
    (folder / name).write_text(HEADER + lines)
    return folder / name


def vcf2zarr(vcf, out, *options):
    import pysam

    packed = out.with_suffix(".vcf.gz")
    pysam.tabix_compress(str(vcf), str(packed), force=True)
    pysam.tabix_index(str(packed), preset="vcf", force=True)
    command = ["vcf2zarr", "convert", "--no-progress", *options, str(packed), str(out)]
    subprocess.run(command, check=True, capture_output=True)
    return out


def zipped(folder, out, top=""):
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, top + str(path.relative_to(folder)))
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A VCF, its store, and a VCF Zarr that we write of it."""
    folder = tmp_path_factory.mktemp("made")
    vcf = make_vcf(folder)
    store = ga.convert(vcf, folder / "x.zarr", info=("CSQ",))
    ga.export(store, folder / "x.vcz")
    return vcf, store, folder / "x.vcz"


def same_taken(one, other):
    assert (
        one.sample_ids == other.sample_ids and one.variants == other.variants and one.annotations == other.annotations
    )
    for name in ("codes", "haploid", "dosages", "homozygous"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


READINGS = [
    {"info": ("CSQ", "AC", "DB")}, {"pass_only": True}, {"min_gq": 10}, {"min_dp": 3}, {"allele_balance": (0.2, 0.8)},
]  # fmt: skip


@bio2zarr
@pytest.mark.parametrize("version", ["2", "3"])
def test_what_bio2zarr_makes_of_a_vcf_is_the_same_store(tmp_path, version):
    vcf = make_vcf(tmp_path)
    # chunks of two variants and two samples
    vcz = vcf2zarr(vcf, tmp_path / "y.vcz", "--zarr-format", version, "-l", "2", "-w", "2")
    for reading in READINGS:
        same_taken(taken(vcf, **reading), taken(vcz, **reading))
    store = ga.convert(vcf, tmp_path / "a.zarr", info=("CSQ",))
    for number, path in enumerate(
        (vcz, zipped(vcz, tmp_path / "y.vcz.zip"), zipped(vcz, tmp_path / "z.zip", "y.vcz/"))
    ):
        again = ga.convert(path, tmp_path / f"b{number}.zarr", info=("CSQ",))
        same_calls(store, again)
        assert store.variants().equals(again.variants())
        for name in store.annotations:
            assert store.annotation(name, 0, store.n_variants).equals(again.annotation(name, 0, again.n_variants))
        for key in ("records", "split", "haploid_calls", "half_calls", "filters"):
            assert store.attributes["summary"].get(key) == again.attributes["summary"].get(key), key
    chosen = {"region": ["1:150-300", "chrX:200"], "samples": ["D", "A"]}
    one, other = (ga.convert(path, tmp_path / f"c{path.suffix}.zarr", **chosen) for path in (vcf, vcz))
    same_calls(one, other)


@bio2zarr
def test_local_alleles_are_those_of_the_vcf(tmp_path):
    lines = """\
1	100	rs1	A	C	.	PASS	.	LGT:LAA	0/1:1	0|0:.	./.:.	1/1:1	0/0:.
1	200	.	A	C,G,T	.	PASS	.	LGT:LAA	1/2:1,3	0/1:3	./.:.	1/1:2	0/2:2,3
X	100	.	A	C,G	.	PASS	.	LGT:LAA	1:2	0/1:1	.:.	0:.	0/0:.
"""
    header = HEADER.replace(
        "##FORMAT=<ID=GT", '##FORMAT=<ID=LGT,Number=1,Type=String,Description="l">\n##FORMAT=<ID=LAA,Number=.,Type=Integer,Description="l">\n##FORMAT=<ID=GT'
    )  # fmt: skip
    (tmp_path / "l.vcf").write_text(header + lines)
    vcz = vcf2zarr(tmp_path / "l.vcf", tmp_path / "l.vcz")
    shutil.rmtree(
        vcz / "call_genotype", ignore_errors=True
    )  # bio2zarr makes one of no genotypes where the header has GT
    same_taken(taken(tmp_path / "l.vcf"), taken(vcz))


@bio2zarr
def test_real_calls_through_bio2zarr(tmp_path):
    vcf = REAL / "kg-chr20" / "unphased.vcf.gz"
    if not vcf.exists():
        pytest.skip("the real data are not beside the checkout (../shared/data)")
    subprocess.run(
        ["vcf2zarr", "convert", "--no-progress", str(vcf), str(tmp_path / "y.vcz")], check=True, capture_output=True
    )
    one, other = ga.convert(vcf, tmp_path / "a.zarr"), ga.convert(tmp_path / "y.vcz", tmp_path / "b.zarr")
    same_calls(one, other)
    assert one.variants().equals(other.variants())


def test_a_store_written_and_read_is_the_same(made, tmp_path):
    _, store, vcz = made
    again = ga.convert(vcz, tmp_path / "y.zarr", info=("CSQ",))
    same_calls(store, again)
    for name in store.annotations:
        ours, theirs = (one.annotation(name, 0, one.n_variants) for one in (store, again))
        assert ours.equals(theirs) or name == "info_source"
        if name == "info_source":  # float32 there
            np.testing.assert_allclose(ours.to_numpy(), theirs.to_numpy(), rtol=2**-23)
    # vcztools, if it is there, reads what pysam reads of our VCF
    if shutil.which("vcztools"):
        ga.export(store, tmp_path / "y.vcf")
        shown = subprocess.run(["vcztools", "view", "-H", str(vcz)], capture_output=True, text=True, check=True).stdout
        lines = [line for line in (tmp_path / "y.vcf").read_text().splitlines() if line[0] != "#"]
        without_info = [[part for k, part in enumerate(line.split("\t")) if k != 7] for line in lines]
        assert [[p for k, p in enumerate(line.split("\t")) if k != 7] for line in shown.splitlines()] == without_info


def test_a_resumed_conversion_gives_the_same_bytes(made, tmp_path, monkeypatch):
    monkeypatch.setattr("genassoc.formats.vcz.source.PIECE_NUMBERS", 20)
    _, _, vcz = made
    one = ga.convert(vcz, tmp_path / "a.zarr", threads=1)
    other = ga.convert(vcz, tmp_path / "b.zarr", threads=3)
    assert one.root == other.root and one.root is not None


# what a stranger may write ----------------------------------------------------------------------------------


@pytest.fixture
def copy(made, tmp_path):
    return Path(shutil.copytree(made[2], tmp_path / "x.vcz"))


def edit(path, **changes):
    document = json.loads(path.read_text())
    document.update(changes)
    path.write_text(json.dumps(document))


def refused(path, words):
    with pytest.raises((InputError, RecordError)) as found:
        taken(path)
    assert words in getattr(found.value, "message", str(found.value)), found.value


@pytest.mark.parametrize(
    ("array", "changes", "words"),
    [
        ("call_genotype", {"chunks": [2**20, 2**12, 2]}, "chunks of"),
        ("call_genotype", {"shape": [2**41, 5, 2]}, "where a length is expected"),
        ("call_genotype", {"shape": [6, 6, 2]}, "of 6 samples"),
        ("call_genotype", {"filters": [{"id": "pickle"}]}, "'pickle' is not among those that are read"),
        ("call_genotype", {"compressor": {"id": "my_module.run"}}, "is not among those that are read"),
        ("call_genotype", {"dtype": "|O"}, "'objects' is not among those"),
        ("variant_allele", {"filters": [{"id": "json2"}]}, "'json2' is not among those"),
        ("sample_id", {"shape": [2**39], "chunks": [2**20]}, "no room"),
        ("sample_id", {"shape": [2**20], "chunks": [2**20]}, "does not hold the 1,048,576 strings"),
        ("variant_position", {"dtype": "<f4"}, "no positions"),
        ("variant_contig", {"dtype": "<U5"}, "the type"),
        ("call_genotype", {"zarr_format": 2, "chunks": [1, "x", 2]}, "where a length is expected"),
        ("call_genotype", {"order": "K"}, "the order"),
        ("variant_position", {"shape": [3]}, "rows are needed"),
    ],
)  # fmt: skip
def test_what_the_metadata_claim_is_bounded(copy, array, changes, words):
    edit(copy / array / ".zarray", **changes)
    refused(copy, words)


def test_files_outside_and_other_things_are_not_read(copy, tmp_path):
    chunk = copy / "call_genotype" / "0.0.0"
    content = chunk.read_bytes()
    (tmp_path / "secret").write_bytes(content)
    chunk.unlink()
    chunk.symlink_to(tmp_path / "secret")
    refused(copy, "leads out of the store")
    chunk.unlink()
    os.mkfifo(chunk)
    refused(copy, "is no file")
    chunk.unlink()
    chunk.write_bytes(content)
    (copy / "call_genotype").rename(tmp_path / "elsewhere")
    (copy / "call_genotype").symlink_to(tmp_path / "elsewhere")
    refused(copy, "leads out of the store")


def test_chunks_that_unpack_to_more_than_they_should_are_refused(copy):
    import numcodecs
    import zstandard

    chunk = copy / "call_genotype" / "0.0.0"
    size = 1000 * 5 * 2
    bomb = b"\0" * 2**24
    for codec, packed in (
        ({"id": "blosc"}, numcodecs.Blosc().encode(bomb)),
        ({"id": "zstd"}, zstandard.compress(bomb)),
        ({"id": "gzip"}, numcodecs.GZip().encode(bomb)),
        ({"id": "bz2"}, numcodecs.BZ2().encode(bomb)),
        ({"id": "lz4"}, numcodecs.LZ4().encode(bomb)),
        ({"id": "lzma"}, numcodecs.LZMA().encode(bomb)),
    ):
        edit(copy / "call_genotype" / ".zarray", compressor=codec)
        chunk.write_bytes(packed)
        refused(copy, "is damaged: it unpacks to")
        sound = {"blosc": numcodecs.Blosc, "zstd": numcodecs.Zstd, "gzip": numcodecs.GZip, "bz2": numcodecs.BZ2,
                 "lz4": numcodecs.LZ4, "lzma": numcodecs.LZMA}[codec["id"]]().encode(b"\0" * size)  # fmt: skip
        chunk.write_bytes(sound)
        assert (taken(copy).codes == 0).all()
        chunk.write_bytes(sound[: len(sound) // 2])
        refused(copy, "is damaged")
    edit(copy / "call_genotype" / ".zarray", compressor=None)
    chunk.write_bytes(b"\0" * (size - 1))
    refused(copy, "9,999 bytes where its chunk has 10,000")


def test_values_that_are_no_calls_are_refused(copy):
    edit(copy / "call_genotype" / ".zarray", compressor=None)
    chunk = copy / "call_genotype" / "0.0.0"
    calls = np.zeros((1000, 5, 2), np.int8)
    calls[1, 2, 0] = -3
    chunk.write_bytes(calls.tobytes())
    refused(copy, "call_genotype holds -3")
    calls[1, 2, 0] = 9
    chunk.write_bytes(calls.tobytes())
    refused(copy, "above the number of ALT alleles")
    edit(copy / "variant_contig" / ".zarray", compressor=None, dtype="<i2")
    (copy / "variant_contig" / "0").write_bytes(np.full(1000, 7, "<i2").tobytes())
    refused(copy, "no number of one of the 2 contigs")


def test_strings_that_would_break_a_line_are_refused(copy):
    edit(copy / "variant_id" / ".zarray", compressor=None)
    texts = [b"rs1", b"a\tb"] + [b"."] * 998
    packed = struct.pack("<I", 1000) + b"".join(struct.pack("<I", len(t)) + t for t in texts)
    (copy / "variant_id" / "0").write_bytes(packed)
    (copy / "variant_id_mask" / "0").unlink()
    refused(copy, "a blank or a control byte")
    (copy / "variant_id" / "0").write_bytes(packed[:-3])
    refused(copy, "is damaged")


def test_a_chunk_that_is_not_there_is_said(copy, tmp_path):
    (copy / "call_genotype" / "0.0.0").unlink()
    store = ga.convert(copy, tmp_path / "y.zarr")
    assert (calls_of(store)[0] == 0).all()
    from genassoc.formats.convert import convert

    summary = convert(copy, tmp_path / "z.zarr")
    assert any("chunks of call_genotype are not there" in note and "(REF)" in note for note in summary.notes)


def test_folders_that_are_none(copy, tmp_path, made):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is a folder; give the files in it"):
        ga.convert(tmp_path / "empty", tmp_path / "y.zarr")
    with pytest.raises(InputError, match="is a genotype store already"):
        ga.convert(made[1].path, tmp_path / "y.zarr")
    (copy / ".zattrs").write_text("{}")
    refused(copy, "no vcf_zarr_version")
    (copy / ".zattrs").write_text("[1]")
    refused(copy, "no metadata of a Zarr group")
    shutil.rmtree(copy / "variant_allele")
    (copy / ".zattrs").write_text('{"vcf_zarr_version": "0.4"}')
    refused(copy, "has no array variant_allele")


def files_in(folder):
    """All files of a folder in one text of bytes, which mutants are made of."""
    parts = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name, content = str(path.relative_to(folder)).encode(), path.read_bytes()
            parts.append(struct.pack("<II", len(name), len(content)) + name + content)
    return b"".join(parts)


def as_zip(data):
    """A .zip of the files in such a text, as far as it can be taken apart."""
    import io

    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        at, names = 0, set()
        while at + 8 <= len(data):
            length, size = struct.unpack_from("<II", data, at)
            name = data[at + 8 : at + 8 + min(length, 200)].decode("latin-1").replace("\0", "_")
            content = data[at + 8 + length : at + 8 + length + size]
            if name and name not in names:
                file.writestr(name, content)
            names.add(name)
            at += 8 + length + size
    return made.getvalue()


@pytest.mark.fuzz
def test_mutants(copy, tmp_path):
    import zarr

    packed = files_in(copy)
    for name in ("call_genotype", "variant_allele", "variant_position", "variant_filter"):
        values = zarr.open_array(str(copy / name))[...]
        edit(copy / name / ".zarray", compressor=None, chunks=list(values.shape))
        if values.dtype.kind == "T":
            texts = [str(t).encode() for t in values.reshape(-1)]
            data = struct.pack("<I", len(texts)) + b"".join(struct.pack("<I", len(t)) + t for t in texts)
        else:
            data = values.tobytes()
        shutil.copytree(copy / name, copy / f"{name}_")
        for chunk in (copy / name).iterdir():
            if chunk.name[0] != ".":
                chunk.unlink()
        (copy / name / ".".join(["0"] * values.ndim)).write_bytes(data)
        shutil.rmtree(copy / f"{name}_")
    words = (b'"id": "pickle"', b"null", b"-1", b"1e9", b"..", b'"dtype": "|O"', b'"chunks": [1]', b"\xff\xff\xff\x7f")
    counts = fuzz(Seeds(files=[packed, files_in(copy)], words=words, wrapped=as_zip), tmp_path / "m.vcz.zip")
    assert counts["read"] and counts["refused"]


@pytest.mark.kernel
@pytest.mark.parametrize("seed", range(3))
def test_lines_are_those_of_the_oracle(seed):
    rng = np.random.default_rng(seed)
    L, N, P = 4, 3, seed
    calls = rng.integers(-2, 12, (L, N, P)).astype(np.int16)
    start, kinds = np.array([0, 2, 5, 6]), np.array([kernels.BY_ALT, kernels.BY_ALLELE, kernels.WHOLE])
    values = rng.choice([0.0, 1.0, 0.123, 1.9999999, 3e-8, -2.5, 1e30, np.nan, np.nan], (L, N, 6)).astype(np.float32)
    n_alts, written = rng.integers(0, 3, L), rng.integers(0, 2, (L, 3)).astype(np.uint8)
    prefixes = [f"1\t{k}".encode() for k in range(L)]
    ends = np.cumsum([len(p) for p in prefixes])
    text = np.empty(20 + L * (N * (2 + P * kernels.CALL_BYTES + 6 * kernels.NUMBER_BYTES + 3) + 1), np.uint8)
    numbers = kernels.Numbers(values, start, kinds, n_alts, written)
    n = kernels.write_calls(np.frombuffer(b"".join(prefixes), np.uint8), ends, calls, numbers, text)
    names = {kernels.BY_ALT: "alt", kernels.BY_ALLELE: "allele", kernels.WHOLE: "whole"}
    expected = ""
    for k in range(L):
        row = [prefixes[k].decode()]
        for i in range(N):
            fields = [
                (values[k, i, start[f] : start[f + 1]].astype(float), names[kinds[f]])
                for f in range(3)
                if written[k, f]
            ]
            row.append(text_oracle.write_calls(calls[k, i].tolist(), fields, int(n_alts[k])))
        expected += "\t".join(row) + "\n"
    assert text[:n].tobytes().decode() == expected


def test_errors_are_ours(copy):
    with pytest.raises(GenassocError):
        (copy / "sample_id" / ".zarray").write_bytes(b"{" * 100_000)
        taken(copy)
