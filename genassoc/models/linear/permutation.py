"""Permuted residuals as more columns of a linear model: Freedman and Lane's permutation of unrelated samples.

Under the null y = X a + e the residuals of y on X are exchangeable, nearly: y* = fitted + permuted residuals, and its t
is that of the permuted residuals themselves, since X is fitted again (Freedman and Lane 1983, J Bus Econ Stat 1:292;
Winkler et al. 2014, NeuroImage 92:381). So a permutation is one more column of residuals of the same pattern.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from genassoc.data.block import Block
from genassoc.models.base import BlockResult
from genassoc.models.linear.additive import fit_group, test_additive
from genassoc.models.linear.model import Linear
from genassoc.models.linear.null import LinearState, NullGroup, NullModel, group_of
from genassoc.models.scan.genetic_models import by_genetic_model
from genassoc.models.scan.sums import minor_is_ref
from genassoc.shapes import Float64Array, Int64Array


@dataclass(frozen=True)
class PermutedState(LinearState):
    """The state of a linear model with permutations of its residuals.

    Attributes
    ----------
    permuted : tuple of NullGroup
        Each group of the model with ``count`` traits for each of its: trait t, permutation b is number t * count + b.
    """

    permuted: tuple[NullGroup, ...] = ()


@dataclass(frozen=True)
class Permuted(Linear):
    """A linear model and permutations ``first`` to ``first + count`` of ``seed``.

    The block's columns are "statistic" (V, T), "statistic_permuted" (V, T * count), "method" and "code".
    """

    seed: int = 0
    first: int = 0
    count: int = 1

    @classmethod
    def of(cls, model: Linear, seed: int, first: int, count: int) -> "Permuted":
        """The permutations of a model."""
        choices = {choice.name: getattr(model, choice.name) for choice in fields(model)}
        return cls(**choices, seed=seed, first=first, count=count)

    def prepare(self, cohort: Any) -> PermutedState:
        """Fit the null models, permute their residuals and residualise these again."""
        state = super().prepare(cohort)
        orders = [sample_keys(self.seed, b, cohort.n_samples) for b in range(self.first, self.first + self.count)]
        place = np.empty(int(cohort.block_width), np.int64)
        place[cohort.block_columns] = np.arange(cohort.n_samples)
        groups = tuple(_permuted(group, orders, place) for group in state.groups)
        own = {name.name: getattr(state, name.name) for name in fields(LinearState)}
        return PermutedState(**own, permuted=groups)

    @by_genetic_model
    def block(self, state: PermutedState, block: Block) -> BlockResult:
        """t of the traits and of their permutations."""
        result = test_additive(self.choices(), state, block)
        columns = {name: result.columns[name] for name in ("statistic", "method", "code")}
        columns["statistic_permuted"] = _permuted_statistics(self, state, block)
        return replace(result, columns=columns)


def sample_keys(seed: int, permutation: int, n_samples: int) -> Float64Array:
    """A random number of each of the cohort's samples (N,): their order is the permutation, in any subset of them."""
    return np.random.default_rng([seed, permutation]).random(n_samples)


def _permuted(group: NullGroup, keys: list[Float64Array], place: Int64Array) -> NullGroup:
    nulls = []
    for null in group.nulls:
        orders = [np.argsort(key[place[null.columns]], kind="stable") for key in keys]
        nulls.append(_permuted_null(null, orders))
    return group_of(nulls, group.columns, nulls[0].Q)


def _permuted_null(null: NullModel, orders: list[Int64Array]) -> NullModel:
    """The null model with the residuals of each trait in each order: permuted among the trait's samples."""
    count = len(orders)
    Q = null.Q[null.columns]
    R = np.zeros((null.Q.shape[0], null.traits.size * count))
    rss = np.zeros(R.shape[1])
    for j in range(null.traits.size):
        residuals = null.R[null.columns, j]
        for b, order in enumerate(orders):
            column = residuals[order]
            for _ in range(2):  # what rounding leaves of the covariates goes the second time
                column = column - Q @ np.linalg.solve(null.gram, Q.T @ column)
            if null.rss[j] > 0:
                R[null.columns, j * count + b] = column
                rss[j * count + b] = column @ column
    traits = (null.traits[:, None] * count + np.arange(count)).ravel()
    return replace(null, traits=traits, R=R, scale=np.ones(traits.size), rss=rss)


def _permuted_statistics(model: Permuted, state: PermutedState, block: Block) -> Float64Array:
    """t (for ``like="regenie"`` its score statistic) of every permutation, (V, T * count)."""
    flipped = minor_is_ref(block, state.cohort_columns, state.cohort_mask)
    out = np.full((block.n_variants, len(state.traits) * model.count), np.nan)
    for group in state.permuted:
        _, fits = fit_group(group, block, flipped, model.imputes)
        t, df = fits.t, fits.df
        if model.like == "regenie":
            t = t * np.sqrt((df + 1) / (df + t * t))
        out[:, group.traits] = t
    return out
