"""Alternatives for the product of packed genotypes with a thin matrix: what decided the layout.

    python benchmarks/product_kernel.py [--variants 4096] [--samples 10000] [--repeats 7]

One thread; the alternatives take turns; medians of CPU seconds.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from numba import njit
from threadpoolctl import threadpool_limits

from genassoc.data.block import GenotypeBlock
from genassoc.kernels.genotypes.product import product

VALUES = np.array([0, 1, 2, 0], np.float32)
SECTION = "## The product kernel"


@njit(nogil=True, fastmath={"contract"})
def decode_and_multiply(packed, M, out):
    """The obvious loop: decode a tile of four variants to float32, then multiply and add, 4 x K at a time."""
    V, B = packed.shape
    K = M.shape[1]
    g = np.empty((1024, 4), np.float32)
    acc = np.empty((4, K), np.float32)
    for v0 in range(0, V, 4):
        for r in range(4):
            for k in range(K):
                out[v0 + r, k] = 0.0
        for s0 in range(0, 4 * B, 1024):
            n = min(1024, 4 * B - s0)
            for i in range(n):
                s = s0 + i
                for r in range(4):
                    code = (packed[v0 + r, s >> 2] >> (2 * (s & 3))) & 3
                    g[i, r] = code if code < 3 else 0
            acc[:] = 0
            for i in range(n):
                for r in range(4):
                    for k in range(K):
                        acc[r, k] += g[i, r] * M[s0 + i, k]
            for r in range(4):
                for k in range(K):
                    out[v0 + r, k] += acc[r, k]


@njit(nogil=True)
def decode(packed, table, G):
    """Calls as float32, a byte at a time through a table."""
    for v in range(packed.shape[0]):
        for b in range(packed.shape[1]):
            for j in range(4):
                G[v, 4 * b + j] = table[packed[v, b], j]


@njit(nogil=True)
def byte_tables_without_vectors(packed, M, out):
    """Our algorithm with plain inner loops: numba's vectorisers leave them scalar."""
    V, B = packed.shape
    table = np.empty((4, 256, 16), np.float32)
    total = np.empty((V, 16), np.float32)
    for c0 in range(0, M.shape[1], 16):
        for v in range(V):
            for k in range(16):
                total[v, k] = 0.0
        for b0 in range(0, B, 4):
            for g in range(4):
                for byte in range(256):
                    for k in range(16):
                        x = np.float32(0)
                        for j in range(4):
                            code = (byte >> (2 * j)) & 3
                            if code != 3:
                                x += np.float32(code) * M[4 * (b0 + g) + j, c0 + k]
                        table[g, byte, k] = x
            for v in range(V):
                a, b, c, d = packed[v, b0], packed[v, b0 + 1], packed[v, b0 + 2], packed[v, b0 + 3]
                for k in range(16):
                    total[v, k] += (table[0, a, k] + table[1, b, k]) + (table[2, c, k] + table[3, d, k])
        for v in range(V):
            for k in range(16):
                out[v, c0 + k] = total[v, k]


def alternatives(packed, M) -> dict[str, Callable[[], np.ndarray]]:
    """Name -> a run that returns (V, K)."""
    V, B = packed.shape
    K = M.shape[1]
    flipped, every = np.zeros(V, bool), np.arange(V)
    out = np.empty((V, K))
    table = VALUES[(np.arange(256)[:, None] >> (2 * np.arange(4))) & 3]
    G = np.empty((V, 4 * B), np.float32)

    def ours():
        product(packed.view(np.uint64), flipped, every, M.ravel(), VALUES, out)
        return out

    def loop():
        decode_and_multiply(packed, M, out)
        return out

    def scalar():
        byte_tables_without_vectors(packed, M, out)
        return out

    def blas():
        decode(packed, table, G)
        return G @ M

    return {
        "byte tables, 16-lane vectors (ours)": ours,
        "byte tables, plain loops": scalar,
        "decode, then OpenBLAS sgemm": blas,
        "decode, then a plain loop": loop,
    }


def measure(V: int, N: int, K: int, repeats: int) -> list[str]:
    """Rows of the table for one K."""
    rng = np.random.default_rng(0)
    codes = rng.choice(4, size=(V, N), p=[0.55, 0.3, 0.145, 0.005]).astype(np.uint8)
    packed = GenotypeBlock.from_codes(codes).packed
    M = np.zeros((4 * packed.shape[1], K), np.float32)
    M[:N] = rng.standard_normal((N, K))
    exact = VALUES[codes].astype(np.float64) @ M[:N].astype(np.float64)
    scale = np.sqrt((exact**2).mean())
    runs = alternatives(packed, M)
    errors = {name: np.abs(run() - exact).max() / scale for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.process_time()
            run()
            seconds[name].append(time.process_time() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    ours = next(iter(medians.values()))
    return [
        f"| {K} | {name} | {median:.4f} | {V * N / median / 1e9:.2f} | {median / ours:.1f} | {errors[name]:.1e} |"
        for name, median in medians.items()
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=int, default=4096)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=7)
    chosen = parser.parse_args()
    lines = [
        SECTION,
        "",
        f"`python benchmarks/product_kernel.py --variants {chosen.variants} --samples {chosen.samples} "
        f"--repeats {chosen.repeats}`",
        "",
        f"{chosen.variants:,} variants x {chosen.samples:,} samples, one thread, medians of {chosen.repeats} alternating",
        "runs. Error: largest deviation from float64 over the root mean square of the product.",
        "",
        "| K | alternative | CPU s | billion genotypes / s | times ours | error |",
        "|---|---|---|---|---|---|",
    ]
    with threadpool_limits(1):
        for K in (16, 64):
            lines += measure(chosen.variants, chosen.samples, K, chosen.repeats)
    text = "\n".join(lines) + "\n"
    print(text)


if __name__ == "__main__":
    main()
