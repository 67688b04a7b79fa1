"""Traits of simulated families: what is inherited, what families and populations share besides, and the rest.

Every share is of the variance among the samples drawn, not of what is expected: it is exact but for chance correlations of the parts.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from genassoc.shapes import Array, Float64Array, Int64Array
from genassoc.simulate.genotypes import X_NUMBER, Y_NUMBER, Sites, generator
from genassoc.simulate.inheritance import FamilyGenotypes

TRAIT_KINDS = ("quantitative", "binary", "time_to_event")
_GUMBEL_SD = np.pi / np.sqrt(6.0)  # of the logarithm of a time under a hazard of 1


@dataclass(frozen=True, kw_only=True)
class SimulatedTrait:
    """How a trait of simulated families comes about.

    Attributes
    ----------
    kind : {"quantitative", "binary", "time_to_event"}
    h2 : float
        Share of the variance that variants explain: of the trait, of the liability, or of the logarithm of the time.
    n_causal : int or None
        Variants with an effect; None: all that may have one (infinitesimal).
    chromosomes : tuple of str or None
        Where these lie; None: on all autosomes. All others carry no effect: tests on them are of the null hypothesis.
    frequency_power : float
        Effects of one ALT have a variance in proportion to ``(2 p (1 - p)) ** frequency_power``: at -1 all variants explain the same.
    min_frequency : float
        Rarer variants have no effect.
    stratification : float
        Share of the variance that differences between populations make which no variant explains.
    shared_environment : float
        Share of the variance that members of a family have in common and no variant explains.
    cases : float
        Of a binary trait: share of the samples who are cases, those with the greatest liability.
    censored : float
        Of a time to event: share of the samples whose follow-up ends first.
    missing : float
        Share of the values that are missing at random.
    """

    kind: str = "quantitative"
    h2: float = 0.3
    n_causal: int | None = None
    chromosomes: tuple[str, ...] | None = None
    frequency_power: float = -1.0
    min_frequency: float = 0.01
    stratification: float = 0.0
    shared_environment: float = 0.0
    cases: float = 0.5
    censored: float = 0.9
    missing: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.chromosomes, str):
            raise ValueError(f"chromosomes is {self.chromosomes!r}; it must be a tuple of names.")
        if self.kind not in TRAIT_KINDS:
            raise ValueError(f"kind is {self.kind!r}; it must be one of {TRAIT_KINDS}.")
        parts = (self.h2, self.stratification, self.shared_environment)
        if not (min(parts) >= 0.0 and sum(parts) <= 1.0):  # so NaN is refused too
            raise ValueError(
                f"h2, stratification and shared_environment are {parts}; none may be below 0, their sum not above 1."
            )
        for name in ("cases", "censored", "missing"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 0 and below 1.")
        if self.n_causal is not None and self.n_causal < 1:
            raise ValueError(f"n_causal is {self.n_causal}; it must be 1 or more, or None for all variants.")


def draw_family_traits(
    seed: int,
    traits: Mapping[str, SimulatedTrait],
    sample_ids: tuple[str, ...],
    variants: pl.DataFrame,
    genotypes: FamilyGenotypes,
    ancestry: Float64Array,
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Phenotypes, effects of variants, and genetic values: see `genassoc.simulate.families.SimulatedFamilies`."""
    columns = [column for name, trait in traits.items() for column in _columns(name, trait)]
    if clash := sorted(
        {column for column in columns if columns.count(column) > 1} | ({"IID", "sex", "age"} & set(columns))
    ):
        raise ValueError(f"traits would make the columns {clash} twice; name them otherwise.")
    rng = generator(seed, "family traits")
    pedigree = genotypes.pedigree
    N = len(sample_ids)
    same = pedigree.first_of_person
    table: dict[str, object] = {
        "IID": list(sample_ids),
        "sex": pedigree.sex[pedigree.genome],
        "age": np.clip(np.rint(rng.normal(58.0, 9.0, N)), 30, 85).astype(np.int64)[same],
    }
    drawn = [
        _draw_effects(generator(seed, "family traits", k), trait, name, genotypes.sites)
        for k, (name, trait) in enumerate(traits.items(), start=1)
    ]
    values, sizes = _genetic_values(genotypes, drawn, list(traits.values()))
    causal: list[pl.DataFrame] = []
    for k, (name, trait) in enumerate(traits.items()):
        own = generator(seed, "family traits", 1000 + k)
        genetic, scale = _to_share(values[:, k], trait.h2)
        family = own.normal(size=len(pedigree.kinds))[pedigree.family[pedigree.genome]]
        level = ancestry @ own.permutation(np.linspace(-1.0, 1.0, ancestry.shape[1]))
        shared = _to_share(family, trait.shared_environment)[0] + _to_share(level, trait.stratification)[0]
        rest = max(0.0, 1.0 - trait.h2 - trait.shared_environment - trait.stratification)
        table |= _outcome(own, name, trait, genetic, shared, rest, same)
        values[:, k] = genetic
        effects = np.concatenate([size[:, k] for size in sizes]) * scale
        planted = np.flatnonzero(effects)
        where = variants[planted].select("variant_id", "rsid", "chromosome", "base_pair_location")
        causal.append(where.select(pl.lit(name).alias("trait"), pl.all(), pl.Series("effect", effects[planted])))
    genetic_values = pl.DataFrame({"IID": list(sample_ids), **{name: values[:, k] for k, name in enumerate(traits)}})
    schema = {"trait": pl.String, "variant_id": pl.String, "rsid": pl.String, "chromosome": pl.String}
    empty = pl.DataFrame(schema=schema | {"base_pair_location": pl.Int64, "effect": pl.Float64})
    return pl.DataFrame(table), pl.concat([empty, *causal]), genetic_values


def _columns(name: str, trait: SimulatedTrait) -> tuple[str, ...]:
    """The columns that a trait has in the phenotypes."""
    return (f"{name}_time", name) if trait.kind == "time_to_event" else (name,)


def _draw_effects(
    rng: np.random.Generator, trait: SimulatedTrait, name: str, sites: tuple[Sites, ...]
) -> list[Float64Array | None]:
    """Standard normal effects of the causal variants on each chromosome (V,), 0 of all others; None where there are none."""
    names = [chromosome.name for chromosome in sites]
    wanted = trait.chromosomes or tuple(c.name for c in sites if c.number not in (X_NUMBER, Y_NUMBER))
    if unknown := sorted(set(wanted) - set(names)):
        raise ValueError(f"trait {name}: chromosomes has {unknown}; the cohort has {names}.")
    may = [(np.minimum(c.frequency, 1.0 - c.frequency) >= trait.min_frequency) & (c.name in wanted) for c in sites]
    everywhere = np.flatnonzero(np.concatenate(may))
    n = everywhere.size if trait.n_causal is None else trait.n_causal
    if trait.h2 > 0.0 and not 1 <= n <= everywhere.size:
        raise ValueError(
            f"trait {name}: {n} causal variants are wanted, and {everywhere.size} on its chromosomes are frequent enough."
        )
    effects = np.zeros(sum(map(len, may)))
    if trait.h2 > 0.0:
        chosen = everywhere if trait.n_causal is None else rng.choice(everywhere, n, replace=False)
        effects[np.sort(chosen)] = rng.normal(size=n)
    parts = np.split(effects, np.cumsum([len(m) for m in may])[:-1])
    return [part if part.any() else None for part in parts]


def _genetic_values(
    genotypes: FamilyGenotypes, drawn: list[list[Float64Array | None]], traits: list[SimulatedTrait]
) -> tuple[Float64Array, list[Float64Array]]:
    """Sums of effects (N, T), and the effects of one ALT (V, T) of each chromosome; neither is scaled to a share yet."""
    T = len(traits)
    values = np.zeros((genotypes.n_samples, T))
    sizes = []
    powers = np.array([trait.frequency_power for trait in traits])
    for number, sites in enumerate(genotypes.sites):
        effects = np.zeros((len(sites.positions), T))
        for k in range(T):
            part = drawn[k][number]
            effects[:, k] = 0.0 if part is None else part
        if effects.any():
            for rows, codes in genotypes.runs_of(sites):
                some = np.flatnonzero(effects[rows].any(axis=1))
                if some.size == 0:
                    continue
                copies = np.minimum(codes[some], 2).astype(np.float32)
                frequency = copies.mean(axis=1, dtype=np.float64) / 2.0
                spread = 2.0 * frequency * (1.0 - frequency)
                scale = np.where(spread[:, None] > 0.0, np.maximum(spread, 1e-12)[:, None] ** (powers / 2.0), 0.0)
                at = rows.start + some
                effects[at] *= scale
                centred = copies - 2.0 * frequency[:, None].astype(np.float32)
                values += (centred.T @ effects[at].astype(np.float32)).astype(np.float64)
        sizes.append(effects)
    return values, sizes


def _to_share(values: Float64Array, share: float) -> tuple[Float64Array, float]:
    """Values with mean 0 and the variance ``share``, and what they were multiplied with."""
    centred = values - values.mean()
    spread = float(centred.std())
    scale = float(np.sqrt(share)) / spread if spread > 0.0 else 0.0
    return centred * scale, scale


def _outcome(
    rng: np.random.Generator,
    name: str,
    trait: SimulatedTrait,
    genetic: Float64Array,
    shared: Float64Array,
    rest: float,
    same: Int64Array,
) -> dict[str, pl.Series]:
    """The columns of a trait; samples of one person have the same values."""
    N = genetic.size
    systematic = genetic + shared
    gone = (rng.random(N) < trait.missing)[same]
    if trait.kind == "time_to_event":
        # log T = -eta + log E, E exponential: shares are of the variance of log T
        eta = systematic * _GUMBEL_SD / np.sqrt(rest) if rest > 0.0 else systematic
        time = (rng.standard_exponential(N)[same]) * np.exp(-eta)
        entry = rng.uniform(0.5, 1.0, N)[same]  # follow-up ends at this share of its longest
        longest = np.quantile(time / entry, 1.0 - trait.censored)
        event = time <= entry * longest
        years = 10.0 * np.minimum(time, entry * longest) / longest
        columns: dict[str, Array] = dict(
            zip(_columns(name, trait), (np.maximum(years, 1e-6).round(6), event.astype(np.int64)), strict=True)
        )
    else:
        total = systematic + rng.normal(size=N)[same] * np.sqrt(rest)
        columns = {name: total.round(6)}
        if trait.kind == "binary":
            cases = np.zeros(N, dtype=np.int64)
            cases[np.argsort(-total, kind="stable")[: round(trait.cases * N)]] = 1
            columns = {name: cases}
    return {key: pl.Series(key, column).set(pl.Series(gone), None) for key, column in columns.items()}
