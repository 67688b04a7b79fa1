"""The words and names of a family, in one description: read by `genassoc.refit` and `genassoc.explanation`, not by scans."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from genassoc.data.phenotypes.design import Kind
from genassoc.models.registry import MODELS

Counts = Literal["values", "shares", "rates", "levels", "followed"]


@dataclass(frozen=True, kw_only=True)
class About:
    """A family in words and names.

    Attributes
    ----------
    outcome : str
        The kind of its traits: "survival", or a `Kind` of `genassoc.data.phenotypes.design`.
    likelihood : str
        Its name in `genassoc.refit.row_data.LIKELIHOODS`, the independent dense twin.
    reference : str
        Its name in `genassoc.explanation.references.REFERENCES`, the same fit by statsmodels.
    counts : str
        What describes the outcome of a group, in tables and pictures: means of values; shares of cases; rates of events in
        an exposure; levels; or rates, and curves, of samples followed over time.
    scale : str
        The unit of beta; "{trait}" stands for the trait's name.
    ratio : str or None
        What exp(beta) is called; None where beta itself is read.
    among : str
        The words in brackets after the number of samples, with "{n}" for the number that have the outcome; may be empty.
    events : str
        What a caution about small numbers counts: "cases", "events"; empty if nothing.
    with_event : str
        The samples that have it.
    either_side : bool
        Samples without the event can be the few.
    risks : bool
        The model says how likely the outcome is: risks by arm are given.
    choices : tuple of str
        Choices that the outcome or the likelihood depends on, beside those that all models share.
    instead : mapping of str to str
        Choices that turn the model into another family: the choice -> that family's folder.
    """

    outcome: Kind | Literal["survival"]
    likelihood: str
    reference: str
    counts: Counts
    scale: str
    ratio: str | None = None
    among: str = ""
    events: str = ""
    with_event: str = ""
    either_side: bool = False
    risks: bool = False
    choices: tuple[str, ...] = ()
    instead: Mapping[str, str] = field(default_factory=dict)

    @property
    def a_ratio(self) -> str:
        """ "an odds ratio"."""
        return f"{'an' if self.ratio and self.ratio[0] in 'aeio' else 'a'} {self.ratio}"


def about_of(choices: Mapping[str, Any]) -> About:
    """The description of the family of a model with these choices, ``kind`` among them.

    Raises
    ------
    KeyError
        There is no such model.
    """
    model: type = MODELS[str(choices.get("kind"))]
    about: About = import_module(f"{model.__module__.rpartition('.')[0]}.about").ABOUT
    for choice, family in about.instead.items():
        if choices.get(choice):
            other: About = import_module(f"genassoc.models.{family}.about").ABOUT
            return other
    return about
