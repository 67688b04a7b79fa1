"""What models of association let one choose of an interaction with a covariate, and of the variance."""

from dataclasses import dataclass
from typing import Any, Literal

from genassoc.methods import checks

Variance = Literal["auto", "model", "robust"]


@dataclass(frozen=True, kw_only=True)
class InteractionChoices:
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


@dataclass(frozen=True, kw_only=True)
class VarianceChoices(InteractionChoices):
    """`InteractionChoices`, and the variance of the estimates.

    Parameters
    ----------
    variance : {"auto", "model", "robust"}
        The model's (what "auto" means, unless ``like`` says else), or HC3 (MacKinnon & White 1985), which holds where the
        residual variance differs between samples, at the cost of a second pass over the samples of every row.
    """

    variance: Variance = "auto"

    def check_variance(self) -> None:
        """Refuse what is no variance, or does not go with the other choices.

        Raises
        ------
        ValueError
        """
        checks.choice(self.variance, "variance", ("auto", "model", "robust"))
        if self.variance == "robust" and getattr(self, "genetic_model", "additive") == "genotypic":
            raise ValueError("variance='robust' is of one column of genotypes: leave genetic_model='genotypic' out")

    @property
    def refits(self) -> bool:
        """Whether rows need the genotypes of every sample, or two columns of them."""
        return self.interaction is not None or self.variance == "robust"
