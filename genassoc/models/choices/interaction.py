"""What models of association let one choose of an interaction with a covariate, and of the variance."""

from dataclasses import dataclass
from typing import Any, Literal

from genassoc.models.choices import checks

Variance = Literal["auto", "model", "robust", "hc0"]


@dataclass(frozen=True, kw_only=True)
class CaseValueChoices:
    """Which of two values is the case, that models inherit.

    Parameters
    ----------
    case_value : mapping of str to str, or str
        Trait (or event, or arm of an interaction) -> the value of it that is the case (the event; what is 1). A text is of
        all traits. Needed where two values do not say it (`genassoc.data.phenotypes.case_words`); it wins over what they say.
    """

    case_value: Any = ()

    def check_case_value(self) -> None:
        """Put the choice in its plain form, pairs of column and value.

        Raises
        ------
        ValueError
            It is no mapping of columns that the model uses to values.
        """
        traits = (
            tuple(getattr(self, "traits", ()) or ()) if getattr(self, "outcome", "") in ("binary", "survival") else ()
        )
        arm = getattr(self, "interaction", None)
        pairs = checks.pairs(self.case_value, "case_value", traits)
        usable = [*traits, *([arm] if arm else [])]
        for name, _ in pairs:
            if name not in usable and not any(":" in trait for trait in traits):
                known = ", ".join(map(repr, usable)) or "nothing: it has no binary trait and no interaction"
                raise ValueError(f"case_value names '{name}', but in this model it can only be given for {known}")
        object.__setattr__(self, "case_value", pairs)


@dataclass(frozen=True, kw_only=True)
class InteractionChoices(CaseValueChoices):
    """An interaction with a covariate E, that models inherit.

    Parameters
    ----------
    interaction : str, optional
        A covariate E of two values (an arm) or a number. Rows "add" (the effect at E = 0), "add:E" (its change for
        E + 1), "joint_2df" (any effect), and for a two-valued E the effect in each arm, "add|E=" and the value.
    """

    interaction: str | None = None

    def check_interaction(self) -> None:
        """Refuse what is no name of a covariate, or does not go with the other choices.

        Raises
        ------
        ValueError
        """
        E: Any = self.interaction
        if E is None:
            self.check_case_value()
            return
        if not isinstance(E, str) or not E.strip():
            raise ValueError(f"interaction is the name of a covariate such as interaction='arm', not {E!r}")
        if getattr(self, "genetic_model", "additive") == "genotypic":
            raise ValueError(
                "interaction is with one column of genotypes: choose genetic_model='additive', 'dominant', 'recessive' or "
                "'hetonly'"
            )
        if E in (getattr(self, "traits", ()) or ()):
            raise ValueError(f"interaction='{E}' is a trait of the model: name a covariate")
        self.check_case_value()


@dataclass(frozen=True, kw_only=True)
class VarianceChoices(InteractionChoices):
    """`InteractionChoices`, and the variance of the estimates.

    Parameters
    ----------
    variance : {"auto", "model", "robust", "hc0"}
        The model's (what "auto" means, unless ``like`` or ``weights`` say else), or HC3 (MacKinnon & White 1985), which holds
        where the residual variance differs between samples, at the cost of a second pass over the samples of every row; or
        Huber's and White's without the leverages of HC3, which finds too much where carriers are few.
    weights : str, optional
        Column of sampling weights, one over the chance of being sampled. Variances are then HC3's unless "hc0" is asked
        for: those of the model would take a weight of 10 for ten samples.
    """

    variance: Variance = "auto"
    weights: str | None = None

    def check_variance(self) -> None:
        """Refuse what is no variance, or does not go with the other choices.

        Raises
        ------
        ValueError
        """
        checks.choice(self.variance, "variance", ("auto", "model", "robust", "hc0"))
        if self.weights is not None:
            checks.column(self.weights, "weights", " of sampling weights")
        if self.is_weighted:
            self._check_weighted()
        if self.variance == "robust" and getattr(self, "genetic_model", "additive") == "genotypic":
            raise ValueError("variance='robust' is of one column of genotypes: leave genetic_model='genotypic' out")

    def _check_weighted(self) -> None:
        """Refuse what tests of sampling weights (and of "hc0") do not have."""
        what = "variance='hc0'" if self.weights is None else "weights"
        if self.variance == "model":
            raise ValueError(
                "weights are sampling weights, which need a sandwich variance: the model's would take a weight of 10 for ten "
                "samples. Leave variance='model' out"
            )
        if getattr(self, "genetic_model", "additive") == "genotypic":
            raise ValueError(f"{what} is of one column of genotypes: leave genetic_model='genotypic' out")
        like = getattr(self, "like", None)
        if like is not None:
            raise ValueError(f"{what}: neither PLINK 2 nor REGENIE has it; leave like={like!r} out")
        if getattr(self, "test", "auto") in ("score", "lrt"):
            raise ValueError(
                f"{what} is tested by Wald tests: sandwich variances belong to the estimate, and weighted likelihood ratios are "
                "not chi-squared. Leave test out"
            )
        if getattr(self, "correction", None) not in ("auto", None):
            raise ValueError(
                f"{what} has no correction: Firth's and the saddlepoint are of likelihoods. Leave correction out"
            )

    @property
    def is_weighted(self) -> bool:
        """Whether rows are fitted by `genassoc.models.scan.weighted`."""
        return self.weights is not None or self.variance == "hc0"

    @property
    def refits(self) -> bool:
        """Whether rows need the genotypes of every sample, or two columns of them."""
        return self.interaction is not None or self.variance == "robust" or self.is_weighted
