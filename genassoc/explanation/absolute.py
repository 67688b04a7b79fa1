"""An interaction of a binary trait on the scale of risks: by genotype and arm, numbers needed to treat, RERI."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from genassoc.explanation.references import binomial, hc3_of_glm
from genassoc.refit.row_data import RowData
from genassoc.stats.absolute import AbsoluteEffects, Estimate, absolute_effects
from genassoc.stats.linalg import independent_columns


@dataclass(frozen=True)
class Absolute:
    """Risks of one variant by genotype and arm.

    Attributes
    ----------
    effects : AbsoluteEffects
    genotypes : tuple of str
        Names of the genotypes in ``effects.arms``.
    arms : (str, str)
        Untreated (the lower value of E) and treated.
    fewest : tuple of int
        Samples of each genotype in the arm that has fewer of them.
    """

    effects: AbsoluteEffects
    genotypes: tuple[str, ...]
    arms: tuple[str, str]
    fewest: tuple[int, ...]

    @property
    def table(self) -> pl.DataFrame:
        """One row a genotype: risk in each arm, their difference, number needed to treat, each with its 95 % interval.

        Intervals of risks are cut at 0 and 1.

        The interval of ``number_needed`` is all outside ``lower`` to ``upper``, infinity included, where
        ``through_infinity``: the difference may be none.
        """
        rows = []
        for name, arm in zip(self.genotypes, self.effects.arms):
            row: dict[str, Any] = {"genotype": name}
            for label, estimate in (
                (f"risk_{self.arms[0]}", arm.untreated),
                (f"risk_{self.arms[1]}", arm.treated),
                ("risk_difference", arm.difference),
            ):
                low, high = estimate.ci_lower, estimate.ci_upper
                if label != "risk_difference":
                    low, high = max(low, 0.0), min(high, 1.0)
                row |= {label: estimate.value, f"{label}_lower": low, f"{label}_upper": high}
            need = arm.number_needed
            row |= {
                "number_needed": need.value,
                "number_needed_lower": need.ci_lower,
                "number_needed_upper": need.ci_upper,
                "through_infinity": need.through_infinity,
            }
            rows.append(row)
        return pl.DataFrame(rows)

    @property
    def shown(self) -> pl.DataFrame:
        """The table with each interval beside its number, as text."""

        def with_interval(name: str, scale: float, digits: str) -> pl.Expr:
            columns = [name, f"{name}_lower", f"{name}_upper"]
            values = pl.concat_list(columns).map_elements(
                lambda v: f"{v[0] * scale:{digits}} ({v[1] * scale:{digits}} to {v[2] * scale:{digits}})", pl.String
            )
            return values.alias(name)

        needed = with_interval("number_needed", 1.0, ".3g")
        unknown = pl.lit("none: the difference may be 0")
        return self.table.select(
            "genotype",
            *(with_interval(f"risk_{arm}", 100.0, ".2f").alias(f"risk % {arm}") for arm in self.arms),
            with_interval("risk_difference", 100.0, ".2f").alias("difference %"),
            pl.when("through_infinity").then(unknown).otherwise(needed).alias("number needed to treat"),
        )

    @property
    def reri(self) -> Estimate:
        """Relative excess risk due to interaction of one copy and the arm."""
        return self.effects.reri


def absolute_of(data: RowData, choices: Mapping[str, Any], names: tuple[str, ...]) -> Absolute | str | None:
    """Risks by genotype and arm of a row; why they cannot be given; or None where the model has no such thing.

    Parameters
    ----------
    data : RowData
        The samples with a call.
    choices : mapping
    names : tuple of str
        Of the genotypes with 0, 1 and 2 copies of ALT.
    """
    modifier = data.modifier
    if not data.about.risks or modifier is None or not modifier.arms:
        return None
    if data.predictor is not None:
        return "risks by arm are given of genotypes, not of predictors"
    moved = None if data.formula is None else data.formula.holds_in_other_terms(modifier.name)
    if moved is not None:
        return f"risks by arm are not given: {modifier.name} is in the covariate {moved} too"
    # E itself first after the constant: of columns that say the same, the first is kept.
    X = np.column_stack([data.X[:, 0], modifier.values, data.X[:, 1:]])
    kept = independent_columns(X)
    covariates = np.array([data.covariates[0], modifier.name, *data.covariates[1:]])[kept]
    laid_out = replace(data, X=X[:, kept], covariates=tuple(covariates.tolist()))
    fit = binomial(laid_out, "add:E", choices).fit
    if fit is None or not _has_maximum(fit):
        return "risks by arm are not given: the likelihood has no maximum, as where nobody in an arm has the outcome"
    covariance = hc3_of_glm(fit) if choices.get("variance") == "robust" else np.asarray(fit.cov_params())
    design = np.asarray(fit.model.exog)
    P = design.shape[1]
    expected = bool((data.G[:, 0] % 1.0 > 0.0).any())  # of dosages
    copies = np.array([0.0, 1.0, 2.0]) if expected or _mean_imputed(data) else np.unique(data.G[:, 0])
    (low, _), (high, _) = modifier.arms
    values = (modifier.arms[0][1], modifier.arms[1][1])
    effects = absolute_effects(
        np.asarray(fit.params), covariance, design, g=P - 2, e=1, ge=P - 1, genotypes=copies.tolist(), arms=values
    )
    called = np.rint(data.G[:, 0]) if expected else data.G[:, 0]
    fewest = [min(int(((called == value) & (modifier.values == at)).sum()) for at in values) for value in copies]
    return Absolute(effects, tuple(_name(value, choices, names) for value in copies), (low, high), tuple(fewest))


def _has_maximum(fit: Any) -> bool:
    errors = np.asarray(fit.bse)
    return bool(fit.converged) and bool(np.isfinite(errors).all()) and float(errors[[1, -2, -1]].max()) < 100


def _mean_imputed(data: RowData) -> bool:
    return bool((np.isnan(data.copies) & ~np.isnan(data.G[:, 0])).any())


def _name(value: float, choices: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """What a value of g stands for."""
    model = choices.get("genetic_model", "additive")
    if model == "additive":
        return names[int(value)] if value in (0.0, 1.0, 2.0) else f"{value:g} copies"
    yes = {"dominant": "carrier", "recessive": "two copies", "hetonly": "heterozygous"}[str(model)]
    return yes if value == 1.0 else f"not {yes}"
