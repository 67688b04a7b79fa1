"""Inflating BGZF blocks: against zlib, on sound streams of every kind and on damaged ones."""

import zlib

import numba
import numpy as np
import pytest
from oracles import inflate as oracle
from oracles import inflate_tables as tables_oracle

from genassoc.kernels import ready
from genassoc.kernels.text import inflate as kernels
from genassoc.kernels.text import inflate_tables as tables
from genassoc.kernels.text import vector_bytes

CANARY = 0xA5


def as_bytes(data: bytes) -> np.ndarray:
    array = np.frombuffer(data, dtype=np.uint8)
    array.flags.writeable = False
    return array


def inflated(stream: bytes, size: int, before: bytes = b"", behind: bytes = b"12345678") -> bytes | None:
    """What the kernel makes of a stream between other bytes; None where it refuses. Nothing behind its room is touched."""
    first = 5
    out = np.full(first + size + kernels.SLACK + 64, CANARY, dtype=np.uint8)
    data = as_bytes(before + stream + behind)
    sound = kernels.inflate(data, len(before), len(before) + len(stream), out, first, size, kernels.working_room())
    assert (out[:first] == CANARY).all() and (out[first + size + kernels.SLACK :] == CANARY).all()
    return out[first : first + size].tobytes() if sound else None


def deflated(text: bytes, level: int = 6, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> bytes:
    deflater = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    return deflater.compress(text) + deflater.flush()


def block(text: bytes, level: int = 6) -> bytes:
    """A BGZF block."""
    stream = deflated(text, level)
    size = (len(stream) + 25).to_bytes(2, "little")
    trailer = zlib.crc32(text).to_bytes(4, "little") + len(text).to_bytes(4, "little")
    return b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + size + stream + trailer


@pytest.mark.kernel
def test_vectors_of_bytes_are_their_plain_twins():
    ready()

    @numba.njit
    def word_at(data, at):
        return vector_bytes.word_at(data, at)

    @numba.njit
    def moved(data, word):
        vector_bytes.copy_step(data, 3, 40)
        vector_bytes.copy_word(data, 1, 90)
        vector_bytes.fill_step(data, 101, word)

    data = np.random.default_rng(1).integers(0, 256, 140, dtype=np.uint8)
    for at in (0, 3, 132):
        assert int(word_at(data, at)) == int.from_bytes(data[at : at + 8].tobytes(), "little")
        assert int(vector_bytes.word_at(data, at)) == int(word_at(data, at))
    word = np.uint64(0x0102030405060708)
    compiled, plain = data.copy(), data.copy()
    moved(compiled, word)
    vector_bytes.copy_step(plain, 3, 40)
    vector_bytes.copy_word(plain, 1, 90)
    vector_bytes.fill_step(plain, 101, word)
    assert compiled.tobytes() == plain.tobytes() != data.tobytes()
    assert plain[40:72].tobytes() == data[3:35].tobytes()
    assert plain[101:133].tobytes() == bytes(range(8, 0, -1)) * 4


def random_lengths(rng: np.random.Generator, n: int, longest: int) -> list[int]:
    """Code lengths of a complete code: leaves of a tree that is split at random."""
    leaves = [0]
    while len(leaves) < n:
        k = int(rng.integers(len(leaves)))
        if leaves[k] < longest:
            leaves[k] += 1
            leaves.append(leaves[k])
    spread = [0] * (n + 9)
    for place, length in zip(rng.permutation(n + 9)[:n].tolist(), leaves):
        spread[place] = length
    return spread


@pytest.mark.kernel
@pytest.mark.parametrize("lengths", [[], [0, 1], [1, 1], [1, 2], [1, 1, 1], [2, 2, 2, 1, 1], [0, 0, 2]])
def test_small_codes(lengths):
    check_table(tables.DISTANCES, lengths)


@pytest.mark.kernel
@pytest.mark.parametrize(("kind", "n", "longest"), [(0, 10, 7), (1, 2, 15), (1, 40, 15), (2, 21, 15), (2, 9, 8)])
def test_random_codes(kind, n, longest):
    rng = np.random.default_rng(n)
    for _ in range(3):
        check_table(kind, random_lengths(rng, n, longest))


def check_table(kind, lengths):
    """Every code, followed by any bits, leads to its symbol."""
    found, work, room = kernels.working_room()
    found[:] = tables.SPECIAL
    work[2 : 2 + len(lengths)] = lengths
    width = tables.build_table(kind, work, 2, len(lengths), found, room)
    codes = tables_oracle.build_table(lengths)
    if codes is None:
        assert width == -1
        return
    table = found[tables.TABLE_BEGINS[kind] :]
    for symbol, code in codes.items():
        for behind in ("0" * 15, "1" * 15, "01" * 8):
            bits = int((code + behind)[15::-1], 2)
            entry = int(table[bits & ((1 << width) - 1)])
            used = 0
            if not entry & tables.LITERAL and entry & tables.LINK:
                used = width
                second = (bits >> width) & ((1 << (tables.LONGEST - tables.FIRST_BITS[kind])) - 1)
                entry = int(table[(entry >> 16) + second])
            plain = int(tables.ENTRIES[kind, symbol])
            assert used + ((entry >> 8) & 15) == len(code)
            assert entry & ~0xFFF == plain & ~0xFFF and (entry & 63) == (plain & 63) + len(code) - used
    if len(codes) < 2:
        assert all(int(entry) & tables.SPECIAL for entry in table[len(codes) : 2])


TEXTS = {
    "nothing": b"",
    "one byte": b"x",
    "calls": b"0/0\t" * 90 + b"0/1\t1/1\t" + b"0/0\t" * 70 + b"./.\t0/1\n",
    "one letter": b"a" * 600,
    "depths": b"".join(b"0/%d:%d:%d,%d\t" % (i % 2, i % 7, i * i % 31, i % 5) for i in range(60)),
}


@pytest.mark.kernel
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("level", [0, 1, 9])
def test_sound_streams(text, level):
    stream = deflated(text, level)
    assert oracle.inflate(stream, 0, len(stream), len(text)) == text
    assert inflated(stream, len(text)) == text
    # at the very end of the data there are no eight bytes to load
    assert inflated(stream, len(text), before=b"abc", behind=b"") == text


@pytest.mark.kernel
def test_lengths_must_fit():
    text = TEXTS["calls"]
    stream = deflated(text)
    assert inflated(stream, len(text) - 1) is None
    assert inflated(stream, len(text) + 1) is None
    assert inflated(stream[:-1], len(text)) is None
    assert inflated(stream + b"\0", len(text)) is None


@pytest.mark.kernel
def test_blocks_up_to_the_first_bad_one():
    blocks = [block(text) for text in TEXTS.values()]
    data = b"".join(blocks)
    ends = np.cumsum([len(one) for one in blocks])
    size = sum(len(text) for text in TEXTS.values())
    out = np.zeros(3 + size + kernels.SLACK, dtype=np.uint8)
    stops = np.zeros(len(ends), dtype=np.int64)
    assert oracle.inflate_blocks(data, ends) == list(TEXTS.values())
    assert kernels.inflate_blocks(as_bytes(data), ends, out, 3, kernels.working_room(), stops) == len(ends)
    assert out[3 : 3 + size].tobytes() == b"".join(TEXTS.values())
    assert stops.tolist() == (3 + np.cumsum([len(text) for text in TEXTS.values()])).tolist()
    bad = bytearray(data)
    bad[int(ends[2]) + 18] ^= 0x07  # the fourth block's first bits
    n_sound = kernels.inflate_blocks(as_bytes(bytes(bad)), ends, out, 3, kernels.working_room(), stops)
    assert n_sound == len(oracle.inflate_blocks(bytes(bad), ends)) == 3


def test_every_distance_and_length():
    rng = np.random.default_rng(3)
    for distance in [*range(1, 70), 255, 256, 4096, 32768]:
        begin = rng.integers(0, 256, distance, dtype=np.uint8).tobytes()
        lengths = [3, 4, 31, 32, 33, 64, 65, 95, 128, 257, 258, 700]
        text = begin + b"".join((begin * 300)[: rng.choice(lengths)] + bytes([rng.integers(256)]) for _ in range(8))
        text = text[: 2**16]
        assert inflated(deflated(text, 9), len(text)) == text


@pytest.mark.parametrize("strategy", [zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FILTERED])
def test_kinds_of_codes(strategy):
    rng = np.random.default_rng(4)
    for share in (0.001, 0.1, 0.9):
        calls = rng.choice([b"0|0\t", b"0|1\t", b"1|1\t", b".|.\t"], 4000, p=[1 - share, *[share / 3] * 3])
        text = b"".join(calls.tolist())
        assert inflated(deflated(text, 6, strategy), len(text)) == text
    noise = rng.integers(0, 256, 2**16, dtype=np.uint8).tobytes()
    assert inflated(deflated(noise, 6, strategy), len(noise)) == noise
    skewed = (rng.geometric(0.02, 2**16).clip(0, 255)).astype(np.uint8).tobytes()  # codes of up to fifteen bits
    assert inflated(deflated(skewed, 6, strategy), len(skewed)) == skewed


def test_damage_is_never_taken_for_text():
    rng = np.random.default_rng(5)
    text = b"".join(rng.choice([b"0/0\t", b"0/0\t", b"0/1\t", b"./.\t", b"0/0:12:3,4\t"], 900).tolist())
    refused = 0
    for level in (1, 6, 9):
        stream = deflated(text, level)
        for _ in range(700):
            bad = bytearray(stream)
            for at in rng.integers(0, min(len(bad), int(rng.choice([40, len(bad)]))), int(rng.integers(1, 4))):
                bad[at] ^= 1 << int(rng.integers(8))
            expected = oracle.inflate(bytes(bad), 0, len(bad), len(text))
            assert inflated(bytes(bad), len(text)) == expected
            refused += expected is None
    for _ in range(1500):
        noise = rng.integers(0, 256, int(rng.integers(1, 200)), dtype=np.uint8).tobytes()
        size = int(rng.integers(0, 900))
        assert inflated(noise, size) == oracle.inflate(noise, 0, len(noise), size)
    assert refused > 1000
