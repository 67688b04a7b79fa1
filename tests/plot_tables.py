"""Tables to draw, and what was drawn of them."""

import numpy as np
import polars as pl


def make_results(n=5000, chromosomes=("1", "2", "10", "X"), seed=0, trait="ldl"):
    """A table of results under the null: n variants, positions rising."""
    rng = np.random.default_rng(seed)
    position = np.sort(rng.integers(1, 200_000_000, n))
    return pl.DataFrame(
        {
            "chromosome": np.repeat(chromosomes, -(-n // len(chromosomes)))[:n].tolist(),
            "base_pair_location": position,
            "neg_log_10_p_value": rng.exponential(1 / np.log(10), n),
            "effect_allele_frequency": rng.random(n),
            "rsid": [f"rs{k}" for k in range(n)],
            "variant_id": [f"v{k}" for k in range(n)],
            "trait": [trait] * n,
            "test": ["add"] * n,
            "method": ["score"] * n,
            "code": pl.Series([None] * n, dtype=pl.String),
        }
    )


def with_hits(results, hits):
    """Give rows ``hits`` (row -> -log10 p) their values."""
    values = results["neg_log_10_p_value"].to_numpy().copy()
    values[list(hits)] = list(hits.values())
    return results.with_columns(neg_log_10_p_value=pl.Series(values))


def drawn_points(ax, marker="o"):
    """x and y of all points drawn with a marker, (K, 2)."""
    lines = [line for line in ax.lines if line.get_marker() == marker]
    return np.concatenate([np.column_stack(line.get_data()) for line in lines])


def legend_texts(ax):
    """What the legend says, line by line."""
    return [text.get_text() for text in ax.get_legend().get_texts()]
