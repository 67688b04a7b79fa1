"""Burden and SKAT of genes as people write them with numpy: PLINK's BED, dense genotypes of a gene, linear regression.

    python benchmarks/gene_cost_plain.py FOLDER TRAIT,... COVARIATE,... MAX_MAF OUT.tsv

The p of SKAT is Liu's, by the first four moments. Independent of genassoc, whose statistics it checks.
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl
from scipy import special, stats

# Copies of ALT (PLINK's A1) of the two bits 00, 01, 10, 11: two, missing, one, none.
_COPIES = np.array([2.0, np.nan, 1.0, 0.0])


def liu(q: np.ndarray, eigenvalues: np.ndarray) -> np.ndarray:
    """P(sum lambda chi2 >= q) by moments (Liu, Tang and Zhang 2009)."""
    c1, c2, c3, c4 = (float((eigenvalues**k).sum()) for k in (1, 2, 3, 4))
    s1, s2 = c3 / c2**1.5, c4 / c2**2
    if s1**2 > s2:
        a = 1.0 / (s1 - np.sqrt(s1**2 - s2))
        delta = s1 * a**3 - a**2
        freedom = a**2 - 2.0 * delta
    else:
        a, delta = 1.0 / s1, 0.0
        freedom = 1.0 / s1**2
    scaled = (q - c1) / np.sqrt(2.0 * c2) * np.sqrt(2.0) * a + freedom + delta
    return stats.ncx2.sf(scaled, freedom, delta) if delta > 0 else special.chdtrc(freedom, np.maximum(scaled, 0.0))


def main(folder: Path, traits: list[str], covariates: list[str], max_maf: float, out: Path) -> None:
    """Test every gene for every trait and write a table."""
    table = pl.read_csv(folder / "phenotypes.tsv", separator="\t")
    N = table.height
    X = np.column_stack([np.ones(N), table.select(covariates).to_numpy()])
    Q_X, _ = np.linalg.qr(X)
    Y = table.select(traits).to_numpy().astype(float)
    residual = Y - Q_X @ (Q_X.T @ Y)
    variance = (residual**2).sum(axis=0) / (N - X.shape[1])
    bim = [line.split() for line in (folder / "cohort.bim").read_text().splitlines()]
    row_of = {f"{chrom}_{pos}_{ref}_{alt}": v for v, (chrom, _, _, pos, alt, ref) in enumerate(bim)}
    bed = np.memmap(folder / "cohort.bed", dtype=np.uint8, mode="r", offset=3).reshape(len(bim), -1)
    lines = []
    for line in (folder / "sets.txt").read_text().splitlines():
        gene, _, _, ids = line.split()
        own = np.array(sorted(row_of[name] for name in ids.split(",")))
        bits = (bed[own][:, :, None] >> np.array([0, 2, 4, 6], dtype=np.uint8)) & 3
        G = _COPIES[bits.reshape(own.size, -1)[:, :N]]
        G = np.where(np.nanmean(G, axis=1, keepdims=True) > 1.0, 2.0 - G, G)
        frequency = np.nanmean(G, axis=1) / 2.0
        rare = (frequency > 0) & (frequency <= max_maf)
        if not rare.any():
            continue
        G, frequency = G[rare], frequency[rare]
        G = np.where(np.isnan(G), 2.0 * frequency[:, None], G)
        G = G * (25.0 * (1.0 - frequency) ** 24)[:, None]  # Beta(1, 25) as weights
        U = G @ residual
        GX = G @ Q_X
        V = G @ G.T - GX @ GX.T
        eigenvalues = np.linalg.eigvalsh(V)
        eigenvalues = eigenvalues[eigenvalues > eigenvalues.max() * 1e-10]
        Q = (U**2).sum(axis=0) / variance**2
        p_skat = liu(Q * variance, eigenvalues)
        z = U.sum(axis=0) / np.sqrt(V.sum() * variance)
        p_burden = stats.chi2.sf(z**2, 1)
        for t, trait in enumerate(traits):
            lines.append(
                (
                    gene,
                    trait,
                    int(rare.sum()),
                    Q[t],
                    -np.log10(max(p_skat[t], 1e-300)),
                    -np.log10(max(p_burden[t], 1e-300)),
                )
            )
    names = ["set_id", "trait", "n_variants", "statistic", "neg_log_10_p_value", "neg_log_10_p_burden"]
    pl.DataFrame(lines, schema=names, orient="row").write_csv(out, separator="\t")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3].split(","), float(sys.argv[4]), Path(sys.argv[5]))
