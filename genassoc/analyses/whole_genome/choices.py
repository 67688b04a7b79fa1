"""What one chooses of a whole-genome regression."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

PRIORS: tuple[str, ...] = ("ridge", "mixture")
OUTCOME_NAMES: tuple[str, ...] = (
    "quantitative",
    "binary",
    "survival",
)  # of `genassoc.analyses.whole_genome.outcomes.OUTCOMES`
# Shares of the variance that the genotypes explain, of which each gives a penalty M (1 - h2) / h2 (REGENIE's five).
H2_GRID = (0.01, 0.25, 0.5, 0.75, 0.99)
LEAST_BLOCK = 10  # of the ridge: a block gives level 1 five predictions, which condense no fewer variants
MOST_BLOCK = 10_000
MOST_FOLDS = 100


@dataclass(frozen=True, kw_only=True)
class WholeGenomeRegression:
    """Whole-genome regression of traits: predictions from all variants, for each chromosome without its own.

    Parameters
    ----------
    traits : sequence of str
        Each once. Each is fitted on its own samples; a trait that cannot be fitted leaves the others as they are.
    covariates : sequence of str, or str
        Names (ranges such as ``"PC1:PC10"`` allowed), or a Wilkinson formula: those of the model that the predictions enter.
    outcome : {"quantitative", "binary", "survival"}
        What the traits are. Of "survival" they are the columns of events, as in `Cox`, and ``time`` names their times.
    prior : {"ridge", "mixture"}
        What is assumed of the effects. "ridge": all variants have one, as REGENIE's step 1 assumes. "mixture": few variants have large
        effects and the others small ones, as BOLT-LMM and LDAK-KVIK assume; docs/structure/mixture.md says when to choose it.
    block_size : int
        Variants of a block, which never holds two chromosomes; at least 10 of the ridge. Small blocks are many, and of many blocks in few
        samples the r2 of the summary is too good (`WholeGenomePredictions`).
    folds : int, "loocv" or "auto"
        Into how many groups of samples predictions are cross-validated; "loocv": each sample is predicted from all others. "auto":
        5, but "loocv" for a binary trait with fewer than 50 cases or controls.
    fold_order : {"random", "store"}
        Samples are dealt to folds at random (by ``seed``; cases evenly); or folds are runs of samples in the order
        of the cohort, as REGENIE's.
    seed : int
    rank_normalise : bool
        Of quantitative traits: normal scores of the ranks, as in `Linear`.
    case_value : mapping of str to str, or str
        The value of a binary trait that is the case, as in `Logistic`.
    exact_above : float
        A trait that more than this share of the samples lack has Gram matrices of its own samples alone. Of others a missing value
        takes the trait's mean while blocks are fitted, as in REGENIE, which shares the work of all traits. (The mixture leaves these
        samples out exactly, whatever their share.)
    time : str or sequence of str
        Of "survival": the column of the time of the event or of censoring; one for each trait, or one for all.
    entry, strata, cause
        Of "survival", as in `Cox`.
    """

    traits: tuple[str, ...]
    covariates: tuple[str, ...] | str = ()
    outcome: str = "quantitative"
    prior: str = "ridge"
    block_size: int = 1000
    folds: int | str = "auto"
    fold_order: Literal["random", "store"] = "random"
    seed: int = 1
    rank_normalise: bool = False
    case_value: Any = ()
    exact_above: float = 0.1
    time: tuple[str, ...] | str = ()
    entry: str | None = None
    strata: tuple[str, ...] | str = ()
    cause: str | int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "traits", _names(self.traits, "traits"))
        if not self.traits:
            raise ValueError("WholeGenomeRegression needs at least one trait: WholeGenomeRegression(traits=['ldl'])")
        if twice := [name for name, n in Counter(self.traits).items() if n > 1]:
            raise ValueError(f"traits names {', '.join(map(repr, twice))} twice: name each trait once")
        if not isinstance(self.covariates, str):
            object.__setattr__(self, "covariates", _names(self.covariates, "covariates"))
        object.__setattr__(self, "case_value", _pairs(self.case_value, self.traits))
        _one_of(self.outcome, "outcome", OUTCOME_NAMES)
        _one_of(self.prior, "prior", PRIORS)
        self._check_times()
        _one_of(self.fold_order, "fold_order", ("random", "store"))
        least, why = (LEAST_BLOCK, ", which gives five predictions") if self.prior == "ridge" else (1, "")
        _whole(self.block_size, "block_size", f"the number of variants of a block{why}", least, MOST_BLOCK)
        _whole(self.seed, "seed", "what the folds are drawn from", 0, 2**63 - 1)
        if self.folds not in ("auto", "loocv"):
            _whole(self.folds, "folds", "'auto', 'loocv' or the number of groups of samples", 2, MOST_FOLDS)
        if not isinstance(self.rank_normalise, bool):
            raise ValueError(f"rank_normalise is true or false, not {self.rank_normalise!r}")
        if self.rank_normalise and self.outcome != "quantitative":
            raise ValueError("rank_normalise is of quantitative traits: leave it out")
        if self.case_value and self.outcome == "quantitative":
            raise ValueError("case_value is of binary traits: leave it out, or choose outcome='binary'")
        if isinstance(self.exact_above, bool) or not isinstance(self.exact_above, int | float):
            raise ValueError(f"exact_above is a share from 0 to 1, not {self.exact_above!r}")
        if not 0.0 <= self.exact_above <= 1.0:
            raise ValueError(f"exact_above is a share from 0 to 1, not {self.exact_above!r}")

    def _check_times(self) -> None:
        """Refuse what only times to an event have, where there are none; and times that do not fit the events."""
        for field in ("time", "strata"):
            object.__setattr__(self, field, _names(getattr(self, field), field))
        if self.outcome != "survival":
            given = [name for name in ("time", "entry", "strata", "cause") if getattr(self, name) not in ((), None)]
            if given:
                raise ValueError(
                    f"{', '.join(given)}: of times to an event; leave it out, or choose outcome='survival'"
                )
        elif not self.time:
            raise ValueError(
                "outcome='survival' needs the column of times: WholeGenomeRegression(traits=['death'], time='days', outcome='survival'); the "
                "trait is the column of the event"
            )


def _names(value: object, field: str) -> tuple[str, ...]:
    """Names of columns; a single text is one name."""
    found = (value,) if isinstance(value, str) else value
    if not isinstance(found, Iterable) or isinstance(found, bytes | Mapping):
        raise ValueError(f"{field} is a list of names such as {field}=['age'], not {value!r}")
    names = tuple(found)
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError(f"{field} is a list of names, each a text, not {value!r}")
    return names


def _pairs(value: object, traits: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Pairs of a trait and the value of its cases; a single value is of every trait."""
    if value is None or value == ():
        return ()
    if isinstance(value, str | int | float):
        value = dict.fromkeys(traits, value)
    try:
        return tuple((str(name), str(said).strip()) for name, said in dict(cast("Any", value)).items())
    except (TypeError, ValueError):
        raise ValueError(
            f"case_value is a mapping of traits to values, case_value={{'t2d': 'malade'}}, not {value!r}"
        ) from None


def _one_of(value: object, field: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{field} is one of {', '.join(map(repr, allowed))}, not {value!r}")


def _whole(value: object, field: str, meaning: str, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{field} is {meaning}, a whole number from {low:,} to {high:,}, not {value!r}")
