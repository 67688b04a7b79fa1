"""Whether the tools found the same structure: components, kinship, sets of pruned variants, predictions, mixed models."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from agreement import PRINTED, Agreement, read

import genassoc as ga
from genassoc.verbs.stores import whole_store

STRUCTURE = (
    2  # components that three populations make; those after them are noise, in which randomised methods need not agree
)
KING = 1e-5  # PLINK 2 prints six digits of numbers up to 0.5
CHECKED = 2000  # variants of each set whose pairs are looked at
ROUNDING = 1e-4  # PLINK 2 compares r2 with a bound raised by a little, ours in float32 or integers


def subspace_cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Cosine of the greatest angle between the column spaces of two matrices (N, k)."""
    q, r = (np.linalg.qr(matrix - matrix.mean(axis=0))[0] for matrix in (one, other))
    return float(np.linalg.svd(q.T @ r, compute_uv=False).min())


def compare_components(ours_path: Path, theirs_path: Path) -> Agreement:
    """Scores against PLINK 2's ``.eigenvec``."""
    theirs = read(theirs_path).rename({"IID": "sample_id"})
    columns = [name for name in theirs.columns if name.startswith("PC")]
    ours = read(ours_path).select("sample_id", *columns)
    both = ours.join(
        theirs.select("sample_id", *(pl.col(name).cast(pl.Float64).alias(f"{name}_theirs") for name in columns)),
        on="sample_id",
    )
    if both.height != theirs.height:
        return Agreement(f"{both.height:,} samples in common of {theirs.height:,}", False)
    a, b = both.select(columns).to_numpy(), both.select(f"{name}_theirs" for name in columns).to_numpy()
    first, every = subspace_cosine(a[:, :STRUCTURE], b[:, :STRUCTURE]), subspace_cosine(a, b)
    angle = np.degrees(np.arccos(min(1.0, first)))
    return Agreement(
        f"{both.height:,} samples, angle between the first {STRUCTURE} components {angle:.2f} degrees (bar 1), cosine of all {len(columns)}: {every:.3f}; "
        "both are randomised, and components after those of the populations are noise",
        angle < 1.0,
    )


def compare_kinship(ours_path: Path, theirs_path: Path) -> Agreement:
    """Pairs above the bound against PLINK 2's ``.kin0``."""
    theirs = read(theirs_path)
    first, second = (next(name for name in theirs.columns if name.lstrip("#") == wanted) for wanted in ("IID1", "IID2"))

    def keyed(table: pl.DataFrame, one: str, other: str, value: str) -> pl.DataFrame:
        return table.select(
            a=pl.min_horizontal(pl.col(one, other).cast(pl.String)), b=pl.max_horizontal(pl.col(one, other).cast(pl.String)), value=pl.col(value).cast(pl.Float64)
        )  # fmt: skip

    ours = keyed(read(ours_path), "sample_id_1", "sample_id_2", "kinship")
    both = ours.join(
        keyed(theirs, first, second, "KINSHIP"), on=["a", "b"], how="full", suffix="_theirs", coalesce=True
    )
    alone = both.filter(pl.col("value").is_null() | pl.col("value_theirs").is_null())
    paired = both.drop_nulls()
    if paired.height == 0:
        return Agreement("no pair in common", False)
    worst = float((paired["value"] - paired["value_theirs"]).abs().max())  # type: ignore[arg-type]
    return Agreement(
        f"{paired.height:,} pairs above the bound, {alone.height} in one alone, largest difference {worst:.1e} (bar {KING:.0e}); PLINK 2 prints six digits",
        alone.height == 0 and worst <= KING,
    )


def largest_r2(store: Path, rsids: list[str], window: int) -> float:
    """The largest r2 among pairs of listed variants of the first chromosome not further apart than ``window``, by dense numpy."""
    cohort = whole_store(ga.open_store(store))
    table = ga.open_store(store).variants(0, cohort.n_variants).with_row_index()
    chosen = table.filter(pl.col("rsid").is_in(rsids), pl.col("chromosome") == table["chromosome"][0]).head(CHECKED)
    codes = np.concatenate([cohort.read(int(v), int(v) + 1).codes() for v in chosen["index"]]).astype(np.float64)
    seen = codes != 3
    calls = np.where(seen, codes, 0.0)
    M = seen.astype(np.float64)
    # of complete pairs
    n, sx, sxx, sxy = M @ M.T, calls @ M.T, (calls * calls) @ M.T, calls @ calls.T
    with np.errstate(invalid="ignore", divide="ignore"):
        r2 = (n * sxy - sx * sx.T) ** 2 / ((n * sxx - sx**2) * (n * sxx.T - sx.T**2))
    at = chosen["base_pair_location"].to_numpy()
    near = (np.abs(at[:, None] - at) <= window) & ~np.eye(len(at), dtype=bool)
    return float(np.nanmax(np.where(near, r2, 0.0)))


def compare_pruned(store: Callable[[], Path], r2: float, window: int) -> Callable[[Path, Path], Agreement]:
    """The same guarantee: among the kept variants no pair within the window is above the bound; the sets themselves may differ."""

    def compare(ours_path: Path, theirs_path: Path) -> Agreement:
        ours, theirs = _listed(ours_path), theirs_path.read_text().split()
        a, b = set(ours), set(theirs)
        worst = [largest_r2(store(), sorted(kept), window) for kept in (a, b)]
        common = len(a & b) / max(1, len(a | b))
        return Agreement(
            f"{len(a):,} kept, {len(b):,} by theirs, {100 * common:.0f} % of both sets together in common; largest r2 left on the first chromosome "
            f"{worst[0]:.4f}, theirs {worst[1]:.4f} (bar {r2:g})",
            worst[0] <= r2 + ROUNDING and 0.8 < len(a) / max(1, len(b)) < 1.25,
        )

    return compare


def _listed(path: Path) -> list[str]:
    """Names of our kept variants: a table with ``rsid``, or one name a line."""
    if path.suffix == ".parquet":
        return read(path)["rsid"].to_list()
    lines = path.read_text().splitlines()
    names = lines[0].lstrip("#").split("\t")
    if "rsid" in names:
        return read(path)["rsid"].to_list()
    return [line.split("\t")[0] for line in lines if line and not line.startswith("#")]


def loco_table(path: Path) -> dict[str, np.ndarray]:
    """Predictions of a `.loco` file: chromosome -> samples in the order of the ids."""
    rows = [line.split() for line in path.read_text().splitlines()]
    order = np.argsort(rows[0][1:])
    return {row[0]: np.array(row[1:], float)[order] for row in rows[1:]}


def compare_predictions(least: float, why: str) -> Callable[[Path, Path], Agreement]:
    """Correlation of predictions that leave a chromosome out, the least over chromosomes; samples are sorted by id in both."""

    def compare(ours_path: Path, theirs_path: Path) -> Agreement:
        ours, theirs = loco_table(ours_path), loco_table(theirs_path)
        shared = [name for name in theirs if name in ours]
        if not shared or any(len(ours[name]) != len(theirs[name]) for name in shared):
            return Agreement("chromosomes or samples differ", False)
        found = [float(np.corrcoef(ours[name], theirs[name])[0, 1]) for name in shared]
        return Agreement(
            f"{len(shared)} chromosomes x {len(ours[shared[0]]):,} samples, correlation {min(found):.4f} to {max(found):.4f} (bar {least:g}); {why}",
            min(found) >= least,
        )

    return compare


def compare_gemma(ours_path: Path, theirs_path: Path) -> Agreement:
    """Our mixed model against GEMMA's ``.assoc.txt``, variants without missing calls and MAF of 1 % and more."""
    ours = read(ours_path).filter(pl.col("missing_rate") < 1e-9, pl.col("code").is_null())
    theirs = read(theirs_path).rename({"rs": "rsid", "beta": "their_beta", "se": "their_se"})
    both = ours.join(theirs.with_columns(pl.col("their_beta", "their_se", "p_wald").cast(pl.Float64)), on="rsid")
    both = both.filter(pl.min_horizontal("effect_allele_frequency", 1 - pl.col("effect_allele_frequency")) >= 0.01)
    if both.height == 0:
        return Agreement("no row in common", False)
    sign = np.where(both["allele1"] == both["effect_allele"], 1.0, -1.0)
    se = both["their_se"].to_numpy()
    beta = np.abs(both["beta"].to_numpy() - sign * both["their_beta"].to_numpy()) / se
    logp = -np.log10(both["p_wald"].to_numpy())
    apart = np.abs(both["neg_log_10_p_value"].to_numpy() - logp) / np.maximum(1, logp)
    # GEMMA prints seven digits and stops its search for lambda at a relative step of 1e-5
    bar = 1e-3
    worst = {name: float(np.quantile(found, 0.999)) for name, found in (("beta (in SE)", beta), ("-log10 p", apart))}
    words = ", ".join(f"{name} {found:.1e}" for name, found in worst.items())
    return Agreement(
        f"{both.height:,} rows, 99.9 % quantile: {words} (bar {bar + PRINTED:.0e}); its own kinship for both",
        max(worst.values()) <= bar + PRINTED,
    )
