"""Phenotypes of a cohort with rare variants: a rare disease and a trial's outcomes, each with genes planted in it.

Genes of the kind "burden" have variants that all do the same; in genes of the kind "skat" half of them do the opposite, so that
their sum says nothing and their scatter all.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from genassoc.shapes import BoolArray, Float64Array, Int64Array
from genassoc.simulate.genotypes import generator

DAMAGING = ("pLoF", "missense")  # categories with an effect


@dataclass(frozen=True)
class Planting:
    """A gene to be planted: of one more damaging allele, ``effect`` on the trait's scale; in those on the drug alone where ``on_drug``."""

    trait: str
    kind: str
    effect: float
    unit: str
    on_drug: bool = False


def plantings(odds_ratio: float) -> tuple[Planting, ...]:
    """What is planted, the disease first: it gets the genes with most carriers."""
    log_odds = float(np.log(odds_ratio))
    return (
        Planting("disease", "burden", log_odds, "log odds"),
        Planting("disease", "burden", log_odds, "log odds"),
        Planting("disease", "skat", log_odds, "log odds"),
        Planting("biomarker", "burden", 0.7, "SD"),
        Planting("biomarker", "skat", 1.0, "SD"),
        Planting("response", "burden", 1.0, "SD", on_drug=True),
        Planting("event", "burden", 1.2, "log hazard"),
        Planting("episodes", "burden", 1.0, "log rate"),
        Planting("grade", "burden", 1.5, "log odds"),
    )


@dataclass(frozen=True)
class GeneEffects:
    """Which variants have effects on which trait, and what they add up to in each sample."""

    truth: pl.DataFrame
    effects: pl.DataFrame
    sums: dict[str, Float64Array]
    on_drug: dict[str, Float64Array]


@dataclass(frozen=True)
class Carried:
    """Alleles as lists: variant v is on ``haplotypes[first[v]:first[v + 1]]`` (2 N of them)."""

    first: Int64Array
    haplotypes: Int64Array
    n_samples: int

    def copies(self, variant: int) -> Float64Array:
        """Copies (N,) of the allele of a variant."""
        own = self.haplotypes[self.first[variant] : self.first[variant + 1]] // 2
        return np.bincount(own, minlength=self.n_samples).astype(np.float64)


def plant(
    rng: np.random.Generator,
    variants: pl.DataFrame,
    members: dict[str, Int64Array],
    carried: Carried,
    odds_ratio: float | None,
) -> GeneEffects:
    """Choose genes and draw the effects of their damaging variants; none where ``odds_ratio`` is None.

    Parameters
    ----------
    rng : Generator
    variants : DataFrame
        With ``variant_id``, of all genes.
    members : dict of str to int64 array
        Damaging, rare variants of each gene that may be chosen.
    carried : Carried
    odds_ratio : float or None
    """
    counts = np.diff(carried.first)
    wanted = plantings(odds_ratio) if odds_ratio is not None else ()
    by_count = sorted(members, key=lambda gene: (-int(counts[members[gene]].sum()), gene))
    pool = by_count[: max(len(wanted), len(by_count) // 4)]
    wanted = wanted[: len(pool)]
    chosen = [pool[k] for k in sorted(rng.permutation(len(pool))[: len(wanted)].tolist())]
    sums: dict[str, Float64Array] = {}
    on_drug: dict[str, Float64Array] = {}
    truth, effects = [], []
    for planting, gene in zip(wanted, chosen, strict=True):
        own = members[gene]
        size = np.full(own.size, planting.effect)
        if planting.kind == "skat":
            # Signs alternate from the most frequent variant down, so that both directions have carriers.
            size[np.argsort(-counts[own], kind="stable")[1::2]] *= -1.0
        target = on_drug if planting.on_drug else sums
        total = target.setdefault(planting.trait, np.zeros(carried.n_samples))
        carriers = np.zeros(carried.n_samples)
        for variant, one in zip(own.tolist(), size.tolist(), strict=True):
            copies = carried.copies(variant)
            total += one * copies
            carriers += copies
            effects.append((planting.trait, gene, variants["variant_id"][variant], round(one, 4)))
        term = "interaction" if planting.on_drug else "main"
        n_carriers = int((carriers > 0).sum())
        truth.append(
            (planting.trait, gene, planting.kind, term, round(planting.effect, 4), planting.unit, own.size, n_carriers)
        )
    names = ["trait", "set_id", "kind", "term", "effect", "unit", "n_variants", "n_carriers"]
    kinds = [pl.String] * 4 + [pl.Float64, pl.String, pl.Int64, pl.Int64]
    return GeneEffects(
        pl.DataFrame(truth, schema=dict(zip(names, kinds, strict=True)), orient="row"),
        pl.DataFrame(
            effects,
            schema={"trait": pl.String, "set_id": pl.String, "variant_id": pl.String, "effect": pl.Float64},
            orient="row",
        ),
        sums,
        on_drug,
    )


@dataclass(frozen=True)
class People:
    """Who the N samples are: sex (1 male, 2 female), population (0 or 1), age and arm."""

    sex: Int64Array
    population: Int64Array
    age: Float64Array
    treated: BoolArray


def draw_people(rng: np.random.Generator, n_samples: int, second: float) -> People:
    """Draw them; ``second`` is the share of the smaller population."""
    return People(
        rng.integers(1, 3, n_samples),
        (rng.random(n_samples) < second).astype(np.int64),
        rng.normal(55.0, 10.0, n_samples).round(1),
        rng.permutation(n_samples) < n_samples // 2,
    )


def draw_phenotypes(
    seed: int, sample_ids: tuple[str, ...], people: People, effects: GeneEffects, n_cases: int
) -> pl.DataFrame:
    """One row a sample; the disease has exactly ``n_cases`` cases, by a logistic model."""
    rng = generator(seed, "gene traits", 1)
    N = len(sample_ids)
    age, male, other = (people.age - 55.0) / 10.0, people.sex == 1, people.population == 1

    def genetic(trait: str) -> Float64Array:
        none = np.zeros(N)
        return effects.sums.get(trait, none) + np.where(people.treated, effects.on_drug.get(trait, none), 0.0)

    # The greatest liabilities are cases: with logistic noise that is a logistic model, and the number is exact.
    liability = 0.3 * age + 0.2 * male + 0.4 * other + genetic("disease") + rng.logistic(size=N)
    disease = np.zeros(N, dtype=np.int64)
    disease[np.argsort(-liability, kind="stable")[:n_cases]] = 1
    biomarker = 0.3 * age - 0.2 * male + 0.3 * other + genetic("biomarker") + rng.normal(size=N)
    response = -0.8 * people.treated + 0.1 * age + genetic("response") + rng.normal(size=N)
    hazard = 0.05 * np.exp(0.3 * age - 0.3 * people.treated + genetic("event"))
    event, end = rng.exponential(1.0, N) / hazard, rng.uniform(3.0, 6.0, N)
    years = np.maximum(np.minimum(event, end), 0.001).round(3)
    rate = 0.4 * years * np.exp(0.2 * age - 0.2 * people.treated + genetic("episodes"))
    episodes = rng.poisson(rate * rng.gamma(1.0, 1.0, N))
    toxicity = 0.2 * age + 0.5 * people.treated + genetic("grade") + rng.logistic(size=N)
    grade = np.searchsorted(np.array([1.5, 2.7, 3.9]), toxicity)
    return pl.DataFrame(
        {
            "IID": sample_ids,
            "age": people.age,
            "sex": people.sex,
            "PC1": (other + 0.05 * rng.normal(size=N)).round(4),
            "PC2": rng.normal(size=N).round(4),
            "arm": np.where(people.treated, "drug", "placebo").tolist(),
            "disease": disease,
            "biomarker": biomarker.round(4),
            "response": response.round(4),
            "years": years,
            "event": (event <= end).astype(np.int64),
            "episodes": episodes,
            "grade": grade,
        }
    )
