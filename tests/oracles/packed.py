"""Slow obvious twins of `genassoc.kernels.genotypes.packed`, and of `genassoc.kernels.genotypes.mosaic` editing packed rows."""

import numpy as np


def pack(codes, n_bytes):
    """Every row as one long string of bits, the first call last, cut into bytes; padded with 3."""
    packed = np.empty((len(codes), n_bytes), dtype=np.uint8)
    for v, row in enumerate(codes):
        calls = [int(code) for code in row] + [3] * (4 * n_bytes - len(row))
        bits = "".join(f"{code:02b}" for code in reversed(calls))
        packed[v] = list(int(bits, 2).to_bytes(n_bytes, "little"))
    return packed


def unpack(packed, n_samples):
    """Codes (V, n_samples)."""
    codes = np.empty((len(packed), n_samples), dtype=np.uint8)
    for v, row in enumerate(packed):
        bits = f"{int.from_bytes(bytes(row), 'little'):0{8 * len(row)}b}"
        calls = [int(bits[i : i + 2], 2) for i in range(0, len(bits), 2)][::-1]
        codes[v] = calls[:n_samples]
    return codes


def gather(codes, columns):
    """Codes of the samples ``columns``."""
    return np.array([[row[column] for column in columns] for row in codes], dtype=np.uint8).reshape(len(codes), -1)


def decode_rows(codes, flipped, variants, columns):
    """Copies of the minor allele of some variants and samples, NaN where not observed."""
    copies = [np.nan if c == 3 else float(c) for c in range(4)]
    swapped = [2.0, 1.0, 0.0, np.nan]
    return np.array([[(swapped if flipped[v] else copies)[codes[v, i]] for i in columns] for v in variants])


def set_carriers(codes, carriers):
    """Codes where variant v, if it has carriers, is carried by the haplotypes ``carriers[v]`` alone."""
    codes = codes.copy()
    for v, haplotypes in enumerate(carriers):
        if haplotypes:
            codes[v] = 0
            for haplotype in set(haplotypes):
                codes[v, haplotype // 2] += 1
    return codes


def hide_calls(codes, hidden):
    """Codes where the calls (v, i) of ``hidden`` are not observed."""
    codes = codes.copy()
    for v, i in hidden:
        codes[v, i] = 3
    return codes
