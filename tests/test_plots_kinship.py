"""The plot of kinship against IBS0: what is drawn of few pairs and of a million, and what is said."""

import numpy as np
import polars as pl
import pytest
from plot_tables import legend_texts

from genassoc.errors import GenassocError
from genassoc.plots import kinship, save_figure

KIN = pl.DataFrame(
    {
        "ibs0": [0.0, 0.001, 0.02, 0.05, 0.08, 0.08],
        "kinship": [0.5, 0.25, 0.24, 0.12, 0.01, None],
        "kinship_adjusted": [0.5, 0.25, 0.26, 0.13, 0.0, 0.02],
        "relationship": ["duplicate", "parent_offspring", "full_siblings", "second_degree", "unrelated", "unrelated"],
    }
)


def points_of(ax):
    return np.concatenate([collection.get_offsets() for collection in ax.collections])


def test_all_pairs_of_a_small_table_are_drawn_and_named(tmp_path):
    ax = kinship(KIN, column="kinship", title="Relatives")
    points = points_of(ax)
    assert sorted(map(tuple, points.tolist())) == sorted(KIN.head(5).select("ibs0", "kinship").rows())
    assert legend_texts(ax) == [
        "duplicate or twins: 1",
        "parent and offspring: 1",
        "full siblings: 1",
        "second degree: 1",
        "unrelated: 1",
    ]
    assert "1 pairs without a kinship not drawn" in [text.get_text() for text in ax.texts]
    assert save_figure(ax, tmp_path / "k.png").stat().st_size > 10_000
    adjusted = kinship(KIN)
    assert "adjusted" in adjusted.get_ylabel() and len(points_of(adjusted)) == 6


def test_of_a_million_unrelated_pairs_one_a_pixel_is_drawn_and_every_relative():
    rng = np.random.default_rng(0)
    n = 1_000_000
    many = pl.DataFrame(
        {"ibs0": rng.normal(0.08, 0.004, n), "kinship": rng.normal(0, 0.01, n), "relationship": ["unrelated"] * n}
    )
    ax = kinship(pl.concat([many, KIN.drop("kinship_adjusted").head(4)]))
    assert 1000 < len(points_of(ax)) < 120_000
    assert "unrelated: 1,000,000" in legend_texts(ax)
    assert (points_of(ax)[:, 1] > 0.1).sum() == 4


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(GenassocError, match="lacks ibs0"):
        kinship(KIN.drop("ibs0"))
    with pytest.raises(GenassocError, match="none of 6 pairs has a kinship"):
        kinship(KIN.with_columns(kinship=pl.lit(None, pl.Float64)), column="kinship")
