"""Mutants of PLINK's files, of each file of a set while the others stay sound: read, or refused in words; what plink2 reads too is the same."""

import shutil
import subprocess

import numpy as np
import pytest
import zstandard
from fuzzing import SECONDS, PeerRefusalError, Seeds, fuzz, taken
from oracles import bed as oracle
from plink_files import plink2, random_codes, write_fileset
from test_plink_pgen import vcf_of

pytestmark = pytest.mark.fuzz
N, V = 21, 40
LINES = (
    b"\t",
    b"\n",
    b"\r\n",
    b" ",
    b"0",
    b".",
    b"-1",
    b"23",
    b"chr1",
    b"#",
    b",",
    b"<DEL>",
    b"\xff",
    b"1e9",
    b"99999999999999999999",
)


@pytest.fixture
def bed(tmp_path):
    """Three sound files, of which a test mutates one."""
    return write_fileset(tmp_path / "x", random_codes(V, N))


def plink2_reads(path):
    """What plink2 makes of a BED, as (id, position, A1, A2) and codes."""
    program, out = shutil.which("plink2"), path.with_name("peer")
    if program is None:
        raise PeerRefusalError
    command = [
        program,
        "--silent",
        "--bfile",
        path.with_suffix(""),
        "--allow-extra-chr",
        "--make-bed",
        "--out",
        out,
        "--threads",
        "1",
    ]
    run = subprocess.run(command, capture_output=True, check=False)
    if run.returncode:
        raise PeerRefusalError
    lines = [line.split() for line in out.with_suffix(".bim").read_bytes().decode("utf-8", "replace").splitlines()]
    samples = len(out.with_suffix(".fam").read_bytes().splitlines())
    rows = np.frombuffer(out.with_suffix(".bed").read_bytes()[3:], np.uint8).reshape(len(lines), -1)
    return [(f[1], int(f[3]), f[4], f[5]) for f in lines], np.array(oracle.from_bed(rows, range(samples), False))


def same_rows(ours, theirs):
    """The rows that we read are plink2's; those without ALT are not ours, and plink2 leaves some out by itself."""
    variants, codes = theirs
    known = {}
    for number, (name, position, a1, a2) in enumerate(variants):
        known.setdefault((name, position, a1, a2), []).append(codes[number].tolist())
    for (_, position, ref, alt, name), row in zip(ours.variants, ours.codes.tolist()):
        found = known.get((name or ".", position, alt, ref))
        if found is None:  # plink2 writes unknown alleles as "." and "0", and knows other words
            continue
        assert row in found
    assert len(ours.variants) <= len(variants)


def test_mutants_of_a_bed(bed):
    seeds = Seeds([bed.read_bytes()], words=(b"\x6c\x1b\x01", b"\x6c\x1b\x00"), numbers=((0, 1), (1, 1), (2, 1)))
    counts = fuzz(seeds, bed, peer=plink2_reads, same=same_rows, seconds=0.4 * SECONDS)
    assert counts["read"] and counts["refused"]


@pytest.mark.parametrize("suffix", [".bim", ".fam"])
def test_mutants_of_the_lists_of_a_bed(bed, suffix):
    path = bed.with_suffix(suffix)
    seeds = Seeds([path.read_bytes(), path.read_bytes().replace(b"\t", b" ")], words=LINES)
    peer = (lambda _: plink2_reads(bed)) if suffix == ".bim" else None
    counts = fuzz(seeds, path, read=lambda _: taken(bed), peer=peer, same=same_rows, seconds=0.3 * SECONDS)
    assert counts["read"] and counts["refused"]


@pytest.fixture
def pgens(tmp_path):
    """Two PGENs, of several ALTs and of dosages."""
    pytest.importorskip("pgenlib")
    for name, dosages in (("x", False), ("y", True)):
        vcf = vcf_of(tmp_path / f"{name}.vcf", dosages=dosages, n_variants=V)
        plink2("--vcf", vcf, *(["dosage=DS"] if dosages else []), "--make-pgen", "--out", tmp_path / name)
    return tmp_path / "x.pgen", tmp_path / "y.pgen"


def calls_by_plink2(path):
    """What plink2 makes of the calls of a PGEN: rows of codes, one an ALT."""
    program, out = shutil.which("plink2"), path.with_name("peer")
    if program is None:
        raise PeerRefusalError
    command = [program, "--silent", "--pfile", path.with_suffix(""), "--export", "vcf", "--out", out, "--threads", "1"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        raise PeerRefusalError
    rows = []
    for line in out.with_suffix(".vcf").read_text().splitlines():
        if not line.startswith("#"):
            fields = line.split("\t")
            calls = [cell.split(":")[0].replace("|", "/").split("/") for cell in fields[9:]]
            for k in range(1, fields[4].count(",") + 2):
                rows.append([3 if "." in call else call.count(str(k)) for call in calls])
    return rows


def same_calls(ours, theirs):
    """Each row that we read is plink2's."""
    assert ours.codes.tolist() == theirs


@pytest.mark.parametrize("which", [0, 1])
def test_mutants_of_a_pgen(pgens, which):
    data = pgens[which].read_bytes()
    types, lengths = ((20 + v, 1) for v in range(V)), ((20 + V + 2 * v, 2) for v in range(V))
    seeds = Seeds([data], numbers=((2, 1), (3, 4), (7, 4), (11, 1), (12, 8), *types, *lengths))
    # Alleles of several ALTs may be codes that cannot be, which nobody looks for: plink2 is asked where there is one ALT.
    peer = calls_by_plink2 if which else None
    counts = fuzz(
        seeds, pgens[which], read=lambda path: taken(path, dosage="GT"), peer=peer, same=same_calls, seconds=0.15 * SECONDS
    )  # fmt: skip
    assert counts["read"] and counts["refused"]
    pgens[which].write_bytes(data)
    counts = fuzz(seeds, pgens[which], seconds=0.15 * SECONDS)
    assert counts["read"] and counts["refused"]


@pytest.mark.parametrize("suffix", [".pvar", ".psam", ".pvar.zst"])
def test_mutants_of_the_lists_of_a_pgen(pgens, suffix):
    path = pgens[1].with_suffix(suffix)
    whole = pgens[1].with_suffix(suffix.removesuffix(".zst"))
    text = whole.read_bytes()
    if suffix == ".pvar.zst":
        whole.unlink()
        seeds = Seeds([zstandard.compress(text), zstandard.compress(text[:99]) + zstandard.compress(text[99:])])
    else:
        seeds = Seeds(
            [text, text.replace(b"\n", b"\r\n")],
            words=(*LINES, b"##INFO=<ID=R2", b"R2=", b"PASS", b"#CHROM", b"FORMAT"),
        )
    counts = fuzz(seeds, path, read=lambda _: taken(pgens[1], info=("R2",)), seconds=0.15 * SECONDS)
    assert counts["refused"] and (counts["read"] or suffix == ".pvar.zst")
