"""Phenotypes of a simulated cohort and the effects planted in them.

A statin trial: LDL cholesterol before and after, type 2 diabetes, covariates; `genassoc.simulate.trial` adds events. Numbers are of the size seen in
such trials, but the planted effects are larger than life, so that 2,000 samples find them.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from genassoc.shapes import Array, Float64Array, Int64Array, UInt8Array
from genassoc.simulate.genotypes import Genotypes, generator
from genassoc.simulate.trial import Trial, draw_trial

# Share of a trait's variance (after covariates) that a planted locus explains; 5e-8 takes 1.5 % at N = 2,000.
LDL_SHARES = (0.040, 0.036, 0.034, 0.032, 0.030, 0.028, 0.008, 0.006)
T2D_SHARES = (0.080, 0.080, 0.075, 0.070, 0.015)
RESPONSE_SHARES = (0.040, 0.008)  # of the change; the effect is in the treated arm only
POLYGENIC_SHARE = 0.10  # of LDL's level and of the liability, by many small effects
POLYGENIC_VARIANTS = 300
CASES = 0.15

_LEVEL_SD = 0.70  # of LDL's usual level, mmol/L, after covariates
_VISIT_SD = 0.25  # of one measurement around it
_STATIN_EFFECT = -1.20
_RESPONSE_SD = 0.25  # of the response to statin, beyond the planted variants
_MISSING = {"ldl_before": 0.02, "ldl": 0.03, "t2d": 0.02}


@dataclass(frozen=True)
class _Locus:
    """One planted effect: which trait, what share of it, which variant (its number in the cohort)."""

    trait: str
    share: float
    term: str
    variant: int


def draw_traits(
    seed: int, sample_ids: tuple[str, ...], variants: pl.DataFrame, genotypes: Genotypes
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Phenotypes (one row a sample) and the truth behind them (one row an effect): see `SimulatedCohort`."""
    planting, rng = generator(seed, "planting"), generator(seed, "traits")
    frequency = genotypes.frequency()
    loci = _choose_loci(planting, frequency)
    background = _choose_background(planting, frequency, loci)
    wanted = np.unique(np.concatenate([[locus.variant for locus in loci], background]))
    codes = genotypes.complete_codes(wanted)
    N = len(sample_ids)
    age = np.clip(np.rint(rng.normal(58.0, 9.0, N)), 30, 85)
    sex = rng.integers(1, 3, N)
    treated = rng.permutation(np.arange(N) % 2 == 1)
    effects: dict[_Locus, float] = {}

    def planted(trait: str, sd: float) -> Float64Array:
        """Sum of a trait's planted effects, each explaining its share of the variance ``sd ** 2``."""
        total = np.zeros(N)
        for locus in loci:
            if locus.trait == trait:
                dosage = codes[np.searchsorted(wanted, locus.variant)].astype(np.float64)
                effects[locus] = _effect(planting, locus, dosage, sd)
                total += effects[locus] * (dosage - dosage.mean())
        return total

    def polygenic(sd: float) -> Float64Array:
        """Many small effects that together explain `POLYGENIC_SHARE` of the variance ``sd ** 2``."""
        total = _standardised(planting.normal(size=len(background)) @ _scaled(codes, wanted, background))
        return total * np.sqrt(POLYGENIC_SHARE) * sd

    rest = np.sqrt(1.0 - sum(LDL_SHARES) - POLYGENIC_SHARE)
    level = 3.6 + 0.012 * (age - 58.0) + 0.15 * (sex == 2) + genotypes.ancestry @ [0.0, 0.25, -0.20]
    level = level + planted("ldl", _LEVEL_SD) + polygenic(_LEVEL_SD) + rng.normal(0.0, rest * _LEVEL_SD, N)
    change_sd = np.hypot(np.sqrt(2.0) * _VISIT_SD, _RESPONSE_SD)
    response = _STATIN_EFFECT + planted("ldl_change", change_sd) + rng.normal(0.0, _RESPONSE_SD, N)
    before = level + rng.normal(0.0, _VISIT_SD, N)
    after = level + np.where(treated, response, -0.05) + rng.normal(0.0, _VISIT_SD, N)
    rest = np.sqrt(1.0 - sum(T2D_SHARES) - POLYGENIC_SHARE)
    liability = 0.03 * (age - 58.0) - 0.20 * (sex == 2) + genotypes.ancestry @ [0.0, 0.4, 0.2]
    liability = liability + planted("t2d", 1.0) + polygenic(1.0) + rng.normal(0.0, rest, N)

    phenotypes = pl.DataFrame(
        {
            "IID": list(sample_ids),
            "age": age.astype(np.int64),
            "sex": sex,
            **_components(rng, genotypes.ancestry),
            "statin": np.where(treated, "statin", "placebo").tolist(),
            "ldl_before": np.maximum(before, 0.5).round(3),
            "ldl": np.maximum(after, 0.3).round(3),
            "t2d": _cases(liability),
        }
    )
    trial = draw_trial(seed, genotypes, age, treated, frequency, wanted)
    phenotypes = _with_gaps(rng, phenotypes).hstack(trial.outcomes)
    return phenotypes, _truth(effects, trial, variants)


def _choose_loci(rng: np.random.Generator, frequency: Float64Array) -> list[_Locus]:
    """Spread the loci over the genome, each at a variant of the frequency wanted, in shuffled windows."""
    wanted = [("ldl", share, "main") for share in LDL_SHARES]
    wanted += [("t2d", share, "main") for share in T2D_SHARES]
    wanted += [("ldl_change", share, "interaction") for share in RESPONSE_SHARES]
    minor = np.minimum(frequency, 1.0 - frequency)
    edges = np.linspace(0, len(frequency), len(wanted) + 1).astype(int)
    loci = []
    for (trait, share, term), window in zip(wanted, rng.permutation(len(wanted)), strict=True):
        inside = np.arange(edges[window], edges[window + 1])
        middle = inside[len(inside) // 4 : max(len(inside) - len(inside) // 4, 1)]
        target = rng.uniform(0.12, 0.45)
        variant = middle[np.argmin(np.abs(minor[middle] - target))]
        if frequency[variant] > 0.0:  # in a toy cohort a window may hold recent mutations only
            loci.append(_Locus(trait, share, term, int(variant)))
    return loci


def _choose_background(rng: np.random.Generator, frequency: Float64Array, loci: list[_Locus]) -> Int64Array:
    """Common variants for the polygenic background, none of them planted."""
    common = np.flatnonzero((frequency > 0.05) & (frequency < 0.95))
    common = np.setdiff1d(common, [locus.variant for locus in loci])
    return np.sort(rng.choice(common, min(POLYGENIC_VARIANTS, len(common)), replace=False))


def _effect(rng: np.random.Generator, locus: _Locus, dosage: Float64Array, sd: float) -> float:
    """Effect of one ALT, of either sign, that explains the locus's share of the variance ``sd ** 2``."""
    spread = dosage.std()
    size = sd * np.sqrt(locus.share) / spread if spread > 0.0 else 0.0
    if locus.term == "interaction":
        size *= 2.0  # the product of a genotype with an arm of one half has half the genotype's spread
    return float(np.round(rng.choice([-1.0, 1.0]) * size, 3))


def _scaled(codes: UInt8Array, wanted: Int64Array, background: Int64Array) -> Float64Array:
    """Genotypes (K, N) of the background, each with mean 0 and variance 1."""
    rows = codes[np.searchsorted(wanted, background)].astype(np.float64)
    rows -= rows.mean(axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(rows.std(axis=1, keepdims=True), 0.05))


def _standardised(values: Float64Array) -> Float64Array:
    centred = values - values.mean()
    spread = centred.std()
    return np.asarray(centred / spread if spread > 0.0 else centred)


def _components(rng: np.random.Generator, ancestry: Float64Array) -> dict[str, Array]:
    """PC1 to PC4 as a PCA would show them: two axes of the true ancestry, and noise."""
    first = _standardised(ancestry[:, 0])
    second = _standardised(ancestry[:, 1] - ancestry[:, 2])
    second = _standardised(second - first * (first @ second) / len(first))
    noise = rng.normal(size=(4, len(first)))
    axes = [first + 0.1 * noise[0], second + 0.1 * noise[1], noise[2], noise[3]]
    return {f"PC{k}": axis.round(4) for k, axis in enumerate(axes, start=1)}


def _cases(liability: Float64Array) -> Int64Array:
    """1 for the `CASES` with the greatest liability."""
    cases = np.zeros(len(liability), dtype=np.int64)
    cases[np.argsort(-liability, kind="stable")[: round(CASES * len(liability))]] = 1
    return cases


def _with_gaps(rng: np.random.Generator, phenotypes: pl.DataFrame) -> pl.DataFrame:
    """Make some values missing at random; the change needs both of its values."""
    gaps = {name: rng.random(phenotypes.height) < rate for name, rate in _MISSING.items()}
    kept = [pl.when(~pl.Series(name, gap)).then(pl.col(name)).alias(name) for name, gap in gaps.items()]
    complete = phenotypes.with_columns(kept).with_columns(ldl_change=(pl.col("ldl") - pl.col("ldl_before")).round(3))
    order = [name for name in complete.columns if name not in ("ldl_change", "t2d")]
    return complete.select(*order, "ldl_change", "t2d")


def _truth(effects: dict[_Locus, float], trial: Trial, variants: pl.DataFrame) -> pl.DataFrame:
    """One row an effect. What changes LDL on statin changes LDL at the trial's end: listed for both."""
    units = {"ldl": "mmol/L", "ldl_change": "mmol/L", "t2d": "SD of liability"}
    rows = [(locus.trait, locus.variant, effect, units[locus.trait], locus.term) for locus, effect in effects.items()]
    changed = [row for row in rows if row[0] == "ldl_change"]
    rows += [("ldl", *row[1:]) for row in changed]
    rows += [(*effect, "interaction") for effect in trial.effects]
    where = variants[[variant for _, variant, _, _, _ in rows]]
    return where.select(
        pl.Series("trait", [trait for trait, *_ in rows], dtype=pl.String),
        "variant_id",
        "rsid",
        "chromosome",
        "base_pair_location",
        pl.Series("effect", [effect for _, _, effect, _, _ in rows], dtype=pl.Float64),
        pl.Series("unit", [unit for *_, unit, _ in rows], dtype=pl.String),
        pl.Series("term", [term for *_, term in rows], dtype=pl.String),
    ).sort("trait", "term", pl.col("effect").abs(), descending=[False, True, True])
