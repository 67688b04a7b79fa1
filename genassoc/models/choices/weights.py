"""Sampling weights of models whose only sandwich variance is theirs: counts and ordered levels."""

from dataclasses import dataclass
from typing import Literal

from genassoc.models.choices import checks


@dataclass(frozen=True, kw_only=True)
class WeightChoices:
    """Sampling weights, that models inherit.

    Parameters
    ----------
    weights : str, optional
        Column of sampling weights, one over the chance of being sampled: Wald tests of every row with sandwich variances,
        whatever ``test``'s and ``correction``'s defaults are; see docs/models/weights.md.
    variance : {"auto", "robust", "hc0"}
        With ``weights``: residuals over 1 less their leverage, and t ("auto", "robust"); or Huber's, White's and Binder's,
        which finds too much where carriers are few ("hc0").
    """

    weights: str | None = None
    variance: Literal["auto", "robust", "hc0"] = "auto"

    @property
    def is_weighted(self) -> bool:
        """Whether there are weights."""
        return self.weights is not None

    def check_weights(self, unfit: tuple[str, ...]) -> None:
        """Refuse what is no name of a column, or does not go with weights; ``unfit`` are corrections.

        Raises
        ------
        ValueError
        """
        if self.variance == "model":
            raise ValueError(
                "variance='model' is what this model has without weights: leave it out. With sampling weights variances are "
                "sandwiches: the model's would take a weight of 10 for ten samples"
            )
        checks.choice(self.variance, "variance", ("auto", "robust", "hc0"))
        if self.weights is None:
            if self.variance != "auto":
                raise ValueError(
                    f"variance={self.variance!r} is of sampling weights here: name their column, weights='w' (of ones, where "
                    "all samples weigh the same)"
                )
            return
        checks.column(self.weights, "weights", " of sampling weights")
        test, correction = getattr(self, "test", None), getattr(self, "correction", None)
        if test == "lrt":
            raise ValueError(
                "weights are tested by Wald tests: sandwich variances belong to the estimate, and weighted likelihood ratios are "
                "not chi-squared. Leave test out"
            )
        if correction in unfit:
            raise ValueError(
                f"weights have no correction: likelihood ratios and the saddlepoint are of likelihoods. Leave "
                f"correction={correction!r} out"
            )
        if getattr(self, "dispersion", "quasi") != "quasi":
            raise ValueError(
                "weights: a sandwich variance takes no dispersion, the residuals say it; leave dispersion out"
            )
