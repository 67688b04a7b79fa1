"""Calls of four bytes and the masks they are read with, against their slow twins."""

import numba
import numpy as np
import pytest
from oracles import vcf_fixed as oracle

from genassoc.kernels import ready
from genassoc.kernels.text import vcf_calls, vcf_fixed, vector_text
from genassoc.shapes import packed_bytes

pytestmark = pytest.mark.kernel
ready()


@numba.njit
def call_masks(text, at, top, wanted):
    return vector_text.call_masks(text, at, top, wanted)


@numba.njit
def field_masks(text, at):
    return vector_text.field_masks(text, at)


@numba.njit
def counted(mask):
    return vector_text.trailing_zeros(mask), vector_text.ones(mask)


def as_bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("latin-1"), dtype=np.uint8)


def test_masks_are_those_of_the_plain_twins():
    rng = np.random.default_rng(1)
    for text in (np.arange(256, dtype=np.uint8), rng.choice(as_bytes("0/1|.\t:29,+-"), 400)):
        for at in (0, 1, 63, 130, len(text) - 64):
            for top, wanted in ((1, 1), (3, 2), (9, 9)):
                masks = call_masks(text, at, np.uint8(top), np.uint8(wanted))
                assert tuple(masks) == vector_text.call_masks(text, at, np.uint8(top), np.uint8(wanted))
            assert tuple(field_masks(text, at)) == vector_text.field_masks(text, at)


@pytest.mark.parametrize("mask", [0, 1, 2**63, 2**64 - 1, 0x00F0_0000_0100_0000])
def test_bits_are_counted(mask):
    zeros = len(f"{mask:064b}") - len(f"{mask:064b}".rstrip("0"))
    assert counted(np.uint64(mask)) == (zeros, f"{mask:b}".count("1"))


def test_two_bits_of_four():
    rng = np.random.default_rng(2)
    for bits in rng.integers(0, 2**64, 50, dtype=np.uint64).tolist():
        bits &= 0x3333333333333333
        assert int(vcf_fixed.two_bits_of_four(np.uint64(bits))) == oracle.two_bits_of_four(bits)


def pack_fixed(text: str, at: int, n: int, n_alternates: int, k: int) -> tuple[bytes | None, int]:
    row = np.zeros(packed_bytes(n), dtype=np.uint8)
    sound, n_half = vcf_fixed.pack_fixed(as_bytes(text), at, n, n_alternates, k, row)
    return (row.tobytes(), n_half) if sound else (None, 0)


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 18, 31, 32, 33, 49, 64, 65, 100])
@pytest.mark.parametrize("n_alternates", [1, 3, 9])
def test_fixed_calls_are_packed(n, n_alternates):
    rng = np.random.default_rng(n)
    alleles = [*map(str, range(n_alternates + 1)), "."]
    calls = ["".join((rng.choice(alleles), rng.choice(["/", "|"]), rng.choice(alleles))) for _ in range(n)]
    text = "GT\t" + "\t".join(calls) + "\n"
    for k in (1, n_alternates):
        got = pack_fixed(text, 3, n, n_alternates, k)
        assert got == oracle.pack_fixed(text, 3, n, n_alternates, k, packed_bytes(n))
        assert got[0] is not None


@pytest.mark.parametrize("n", [16, 17, 40])
def test_every_unsound_byte_is_seen(n):
    calls = "\t".join(["0/1"] * n) + "\n"
    for at in range(len(calls) - 1):
        for bad in "2:x\n/0":
            text = calls[:at] + bad + calls[at + 1 :]
            wanted = oracle.pack_fixed(text, 0, n, 1, 1, packed_bytes(n))
            assert pack_fixed(text, 0, n, 1, 1) == wanted, (at, bad)


@pytest.mark.parametrize("length", [0, 1, 5, 62, 63, 64, 65, 130, 200])
def test_end_of_plain(length):
    rng = np.random.default_rng(length)
    for after in ("\tx", "/0", "e5", "\r\n", ";"):
        plain = "".join(rng.choice(list("0123456789+-.,::::"), length))
        for more in ("", "\t0/0" * 40):
            text = as_bytes("0/1:" + plain + after + more + "\n")
            assert vcf_calls.end_of_plain(text, 4) == (4 + length, plain.count(":"))
