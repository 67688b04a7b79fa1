"""What is tested of each set of variants: frozen choices, never data."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from genassoc.errors import PlanError
from genassoc.models.choices import checks
from genassoc.shapes import Float64Array

COLUMN = "column"  # of weights: the first that the sets have
TESTS = ("burden", "skat", "skato", "acatv", "acato")
BURDENS = ("sum", "max", "collapse")
# What else people call them, in lower case and without blanks, dashes and underscores.
_ALSO = {
    "skatorho": "skato", "optimal": "skato", "skatoptimal": "skato", "acat": "acatv", "omnibus": "acato", "cauchy": "acato",
    "vt": "", "sumtest": "burden",
}  # fmt: skip
_BURDENS_ALSO = {
    "weightedsum": "sum",
    "count": "sum",
    "madsenbrowning": "sum",
    "cmc": "collapse",
    "carrier": "collapse",
    "maximum": "max",
}
_BETA = re.compile(r"beta\(([^,()]+),([^,()]+)\)")


def _plain(word: str) -> str:
    """A word as it is compared: lower case, without blanks, dashes and underscores."""
    return re.sub(r"[\s_-]", "", word.lower())


def _listed(value: object) -> list[object]:
    """Several values of a choice; a text is split at commas that stand outside brackets."""
    if isinstance(value, str):
        return [word.strip() for word in re.split(r",(?![^(]*\))", value) if word.strip()]
    return list(value) if isinstance(value, Sequence) else [value]


@dataclass(frozen=True, kw_only=True)
class SetChoices:
    """What is tested of each set.

    Parameters
    ----------
    tests : sequence of str, optional
        Of "burden", "skat", "skato", "acatv" and "acato" (Cauchy combination of all other p of a set and trait); all five by default,
        and "burden" alone where the model has an interaction.
    weights : str
        Of variants: "beta(1,25)" (the density at the minor allele frequency), "beta(a,b)", "none", or the name of a column of weights of
        the sets ("column": the first of them).
    max_maf : float or sequence of float
        Bins of frequency: each has the variants whose minor allele frequency among the cohort's samples is at most that.
    singletons : bool
        A bin more, of variants of which the cohort has one minor allele.
    burden : {"sum", "max", "collapse"}
        The column that is tested: the weighted sum of minor alleles; the most of any variant (0, 1, 2); whether any is carried (0, 1).
    collapse_below : int
        In "skat", "skato" and "acatv" the variants of a mask with at most so many minor alleles in the cohort are one variant, of which a
        sample has the most that it has of any (as SAIGE-GENE+ does); 0: never.
    calibrated : bool
        "skat" and "skato" by exact laws where few events are expected, and with variances that agree with calibrated p of single variants; no:
        the laws of normal scores, as R's SKAT has them, which find too much where cases or carriers are few.
    leave_one_out : bool
        Rows without one of the variants, for each: of "burden" and "skat", as "burden:without" and "skat:without".

    Raises
    ------
    ValueError
        A choice has a value that is not allowed.
    """

    tests: tuple[str, ...] | None = None
    weights: str = "beta(1,25)"
    max_maf: tuple[float, ...] = (0.001, 0.01)
    singletons: bool = False
    burden: str = "sum"
    collapse_below: int = 10
    calibrated: bool = True
    leave_one_out: bool = False

    def __post_init__(self) -> None:
        if self.tests is not None:
            object.__setattr__(self, "tests", _tests(self.tests))
        word = _plain(str(self.burden))
        burden = _BURDENS_ALSO.get(word, word)
        checks.choice(burden, "burden", BURDENS)
        object.__setattr__(self, "burden", burden)
        object.__setattr__(self, "weights", _weights(self.weights))
        object.__setattr__(self, "max_maf", _bins(self.max_maf))
        object.__setattr__(self, "singletons", checks.flag(self.singletons, "singletons"))
        object.__setattr__(self, "calibrated", checks.flag(self.calibrated, "calibrated"))
        object.__setattr__(self, "leave_one_out", checks.flag(self.leave_one_out, "leave_one_out"))
        checks.number(self.collapse_below, "collapse_below", "a count of alleles", 0)
        if not self.max_maf and not self.singletons:
            raise ValueError(
                "max_maf is empty: give the largest minor allele frequency, such as 0.01, or singletons=True"
            )

    def for_model(self, model: object) -> "SetChoices":
        """The same with ``tests`` as a model has them.

        Raises
        ------
        ValueError
            A test is none of the model's.
        """
        interaction = getattr(model, "interaction", None)
        if self.tests is None:
            tests = ("burden",) if interaction is not None else TESTS
            return SetChoices(**{**self.__dict__, "tests": tests})
        others = [test for test in self.tests if test != "burden"]
        if interaction is not None and others:
            raise ValueError(
                f"tests {', '.join(others)} have no interaction with {interaction}: their variants would each need an effect by arm, which rare "
                "variants do not show. Test the burden (its rows are 'burden', 'burden:E', ...), or leave interaction out"
            )
        return self

    @property
    def beta_shape(self) -> tuple[float, float] | None:
        """The two parameters of the weights' density; None where the weights are others."""
        found = _BETA.fullmatch(self.weights)
        return None if found is None else (float(found[1]), float(found[2]))

    @property
    def weighs_by_column(self) -> bool:
        """Whether weights are those of a column of the sets, and neither made of frequencies nor all 1."""
        return self.weights != "none" and self.beta_shape is None

    @property
    def n_bins(self) -> int:
        """Bins of frequency of each mask."""
        return len(self.max_maf) + self.singletons

    def rows_per_set(self, n_masks: int, n_traits: int, of_burden: int = 1) -> int:
        """Rows of results of a set, those without a variant left out; a burden has ``of_burden`` a trait."""
        tests = self.tests or TESTS
        of_masks = n_masks * self.n_bins * sum(of_burden if test == "burden" else test != "acato" for test in tests)
        return n_traits * (of_masks + ("acato" in tests))


def _tests(given: object) -> tuple[str, ...]:
    tests = []
    for name in _listed(given):
        word = _plain(str(name))
        test = _ALSO.get(word, word)
        if test not in TESTS:
            raise ValueError(f"tests are {', '.join(TESTS)}, not {name!r}")
        tests.append(test)
    if not tests:
        raise ValueError(f"tests is empty: name some of {', '.join(TESTS)}")
    return tuple(test for test in TESTS if test in tests)


def _weights(given: object) -> str:
    if given is None:
        return "none"
    word = re.sub(r"[\s_]", "", str(given).lower())
    word = {"beta": "beta(1,25)", "equal": "none", "flat": "none", "1": "none", "uniform": "none", "wu": "beta(1,25)",
            "madsen-browning": "beta(0.5,0.5)"}.get(word, word)  # fmt: skip
    found = _BETA.fullmatch(word)
    if found is not None:
        try:
            a, b = float(found[1]), float(found[2])
        except ValueError:
            a = b = -1.0
        if not (0 < a < 1000 and 0 < b < 1000):
            raise ValueError(
                f"weights={given!r}: the two parameters of a beta density are numbers above 0, as in 'beta(1,25)'"
            )
        return f"beta({a:g},{b:g})"
    if word in ("none", COLUMN):
        return word
    if word.startswith("beta") or not word:
        raise ValueError(
            f"weights are 'beta(1,25)', 'beta(a,b)', 'none' or the name of a column of weights of the sets, not {given!r}"
        )
    return str(given).strip()


def _bins(given: object) -> tuple[float, ...]:
    bins = []
    for value in _listed(given):
        try:
            bound = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise ValueError(f"max_maf are frequencies such as 0.01, not {value!r}") from None
        if isinstance(value, bool) or not 0 < bound <= 0.5:
            raise ValueError(f"max_maf is a minor allele frequency, above 0 and at most 0.5, not {value!r}")
        bins.append(bound)
    return tuple(sorted(set(bins)))


@dataclass(frozen=True)
class ChosenSets:
    """The sets of a run and what is tested of them: what a cohort carries along.

    Attributes
    ----------
    matched : MatchedSets
    choices : SetChoices
    source : str
        Where they come from, for people.
    """

    matched: Any = field(repr=False)
    choices: SetChoices
    source: str = ""

    @cached_property
    def weights(self) -> tuple[Float64Array, ...] | None:
        """The weights of each set's members, where they are not made of frequencies.

        Raises
        ------
        GenassocError
            There are no such weights, or some variants have none.
        """
        name = self.choices.weights
        if not self.choices.weighs_by_column:
            return None
        if name == COLUMN:
            names = list(self.matched.weight_columns)
            if not names:
                raise PlanError(
                    "weights='column': the sets have no weights; give them a column of weights, or choose 'beta(1,25)' or 'none'."
                )
            name = names[0]
        return tuple(self.matched.weights_of(name))

    @property
    def digest(self) -> str:
        """Hash of all that decides which variants are in which set, mask and bin, and how they are weighed."""
        return f"{self.matched.digest} {self.choices!r}"
