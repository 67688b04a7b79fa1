"""Blocks of BGZF: where they lie, and the checksum of several."""

import numpy as np
import pytest
from oracles import bgzf as oracle

from genassoc.formats.bgzf import EOF_BLOCK
from genassoc.formats.bgzf_writer import BgzfWriter
from genassoc.kernels.text import bgzf


def blocks_of(tmp_path, texts):
    """A BGZF file, a block a text."""
    data = b""
    for number, text in enumerate(texts):
        path = tmp_path / f"{number}.gz"
        with path.open("wb") as file:
            writer = BgzfWriter(file)
            writer.write(text)
            writer.close()
        content = path.read_bytes()
        data += content[: len(content) - len(EOF_BLOCK)] or content
    return data


def found(data, begin, n):
    ends, sizes = np.zeros(n, np.int64), np.zeros(n, np.int64)
    k = bgzf.find_blocks(np.frombuffer(data, np.uint8), begin, ends, sizes)
    return ends[:k].tolist(), sizes[:k].tolist()


@pytest.mark.kernel
def test_blocks_are_found_and_their_checksums_joined(tmp_path):
    texts = [b"a", b"abc" * 50, b"x" * 7, b"y" * 7, b"", b"0/1\t" * 30]
    data = blocks_of(tmp_path, texts)
    assert found(data, 0, 9) == oracle.find_blocks(data, 0, 9)
    ends, sizes = found(data, 0, 9)
    assert sizes == [len(text) for text in texts]
    assert found(data, ends[0], 2) == oracle.find_blocks(data, ends[0], 2)
    for cut in range(len(data)):
        assert found(data[:cut], 0, 9) == oracle.find_blocks(data[:cut], 0, 9)
    for at in range(ends[1]):  # other headers, false lengths
        other = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert found(other, 0, 9) == oracle.find_blocks(other, 0, 9)
    array = np.frombuffer(data, np.uint8)
    for n in range(len(texts) + 1):
        joined = bgzf.joined_checksum(array, np.array(ends[:n], np.int64), np.array(sizes[:n], np.int64))
        assert joined == oracle.joined_checksum(texts[:n])
