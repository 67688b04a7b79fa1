"""Mutants of VCF text, BGZF and BCF: read or refused, and what is read is what the slow twin, htslib and gzip read."""

import gzip
import shutil
import subprocess
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fuzzing import PeerRefusalError, Seeds, Taken, fuzz
from oracles import vcf as oracle
from vcf_texts import random_vcf, write_bcf

from genassoc.errors import InputError
from genassoc.formats import bgzf
from genassoc.formats.bgzf_writer import BgzfWriter

WORDS = (
    b"\t", b"\n", b"\r\n", b"\0", b":", b"/", b"|", b".", b",", b"0/1", b"1|1", b"./.", b"0/.", b"1/2", b"/0/1", b"99", b"-1", b"1e9", b"2147483648",
    b"18446744073709551616", b"<NON_REF>", b"<*>", b"#", b"##", b"#CHROM", b"##contig=<ID=1,length=", b"FORMAT", b"GT", b"DS", b"GP", b"LGT", b"LAA",
    b"nan", b"inf", b"1.5", b"\xff", b"\xc3\xa9", b"X", b"MT", b"chr1", b'"', b"END=", b" ",
)  # fmt: skip
DOSAGES = (
    "##fileformat=VCFv4.3\n##contig=<ID=chr1,length=248956422>\n"
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n##FORMAT=<ID=DS,Number=A,Type=Float,Description="Dosage">\n'
    '##FORMAT=<ID=GP,Number=G,Type=Float,Description="Probabilities">\n##INFO=<ID=R2,Number=1,Type=Float,Description="Quality">\n##FILTER=<ID=low,Description="low">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb\tc\n"
    "chr1\t10\trs1\tA\tC\t.\tPASS\tR2=0.9\tGT:DS\t0|1:1.02\t0|0:0.001\t1|1:1.9\n"
    "chr1\t20\t.\tA\tC\t.\tlow\tR2=0.5\tGT:DS:GP\t0|1:1:0,1,0\t0|0:0.1:0.9,0.1,0\t.:.:.\n"
    "chr1\t30\t.\tAC\tC,<DEL>\t.\t.\t.\tGT:GP:DS\t1|2:0,0,0,0,1,0:1,1\t0|0\t2/2\n"
)
TEXTS = [random_vcf(seed, 4, 12, leading_phase=seed == 3).encode() for seed in (1, 2, 3)] + [DOSAGES.encode()]


def same_as_twin(ours: Taken, twin: oracle.OracleScan) -> None:
    """Variants and calls."""
    assert ours.sample_ids == tuple(twin.samples)
    assert ours.variants == [(r.contig, r.position, r.ref, r.alt, r.rsid) for r in twin.rows]
    whole = np.isnan(ours.dosages).all(axis=1)  # rows with dosages have the calls nearest to these
    wanted = np.array([row.codes for row in twin.rows], dtype=np.uint8).reshape(-1, len(twin.samples))
    np.testing.assert_array_equal(ours.codes[whole], wanted[whole])


def by_twin(path: Path) -> oracle.OracleScan:
    """The slow twin refuses less: what it cannot read is no file of ours either, but for the header."""
    try:
        return oracle.scan(path.read_bytes().decode())
    except UnicodeDecodeError:
        raise PeerRefusalError from None
    except (ValueError, IndexError) as error:
        raise AssertionError(f"the slow twin refuses it ({error})") from error


def by_htslib(path: Path) -> oracle.OracleScan:
    """What htslib reads, by the twin's words."""
    import pysam

    before = pysam.set_verbosity(0)
    try:
        with pysam.VariantFile(str(path)) as file:
            text = str(file.header) + "".join(str(record) for record in file)
        return oracle.scan(text)
    except (OSError, ValueError, KeyError, IndexError, OverflowError, MemoryError, UnicodeError) as error:
        raise PeerRefusalError(str(error)) from error
    finally:
        pysam.set_verbosity(before)


@pytest.mark.fuzz
def test_mutants_of_vcf_text(tmp_path):
    counts = fuzz(Seeds(TEXTS, WORDS), tmp_path / "a.vcf", peer=by_twin, same=same_as_twin)
    assert counts["compared"] and counts["refused"]


def compressed(data: bytes) -> bytes:
    """As bgzip does."""
    out = BytesIO()
    writer = BgzfWriter(out)
    writer.write(data)
    writer.close()
    return out.getvalue()


def text_of(path: Path) -> bytes:
    """All text of a BGZF file."""
    if bgzf.sniff(path) != "bgzf":
        raise InputError(f"{path}: is no BGZF")
    bgzf.require_complete(path)
    texts = (stretch.load() for stretch in bgzf.bgzf_stretches(path))
    return b"".join(bytes(memoryview(text.buffer)[text.start : text.stop]) for text in texts)


def by_gzip_or_htslib(path: Path) -> bytes:
    """htslib looks for flags and fields of a block's header that are not BGZF's as little as we do; gzip obeys them."""
    import pysam

    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        before = pysam.set_verbosity(0)
        try:
            with pysam.BGZFile(str(path), "rb") as file:
                return file.read()
        except OSError:
            raise AssertionError(f"gzip refuses it ({error}), and so does htslib") from error
        finally:
            pysam.set_verbosity(before)


def equal(ours: bytes, theirs: bytes) -> None:
    assert ours == theirs


@pytest.mark.fuzz
def test_mutants_of_bgzf(tmp_path):
    # several blocks, of text that deflates to literals, matches and a stored block
    noise = np.random.default_rng(1).integers(0, 256, 700, dtype=np.uint8).tobytes()
    files = [compressed(part)[:-28] + compressed(TEXTS[0]) for part in (TEXTS[3], noise, b"0/1\t" * 2000)]
    counts = fuzz(
        Seeds(files, numbers=((16, 2), (10, 2))), tmp_path / "a.gz", read=text_of, peer=by_gzip_or_htslib, same=equal
    )
    assert counts["compared"] and counts["refused"]


def bcf_of(text: bytes, folder: Path) -> bytes:
    """Uncompressed BCF of a VCF."""
    vcf = folder / "seed.vcf"
    vcf.write_bytes(text)
    data = gzip.decompress(write_bcf(folder / "seed.bcf", vcf).read_bytes())
    # without the lines that say when and where it was made: the same seeds give the same mutants
    n = int.from_bytes(data[5:9], "little")
    lines = [line for line in data[9 : 9 + n].split(b"\n") if not line.startswith(b"##bcftools_view")]
    header = b"\n".join(lines)
    return data[:5] + len(header).to_bytes(4, "little") + header + data[9 + n :]


def by_bcftools(path: Path) -> oracle.OracleScan:
    run = subprocess.run(["bcftools", "view", str(path)], capture_output=True, check=False, timeout=20)
    if run.returncode:
        raise PeerRefusalError(run.stderr.decode())
    try:
        return oracle.scan(run.stdout.decode())
    except (ValueError, IndexError) as error:
        raise PeerRefusalError(str(error)) from error


@pytest.mark.fuzz
def test_mutants_of_bcf(tmp_path):
    files = [bcf_of(text, tmp_path) for text in TEXTS[:2] + TEXTS[3:]]
    header = min(int.from_bytes(file[5:9], "little") for file in files)
    # length of the header, lengths of the first record's parts, its contig, position, counts of alleles, INFO, samples, FORMAT
    first = [9 + header + at for at in range(0, 32, 4)]
    seeds = Seeds(files, WORDS, ((5, 4), *((at, 4) for at in first)), compressed)
    peer = by_bcftools if shutil.which("bcftools") else by_htslib
    counts = fuzz(seeds, tmp_path / "a.bcf", peer=peer, same=same_as_twin)
    assert counts["compared"] and counts["refused"]
