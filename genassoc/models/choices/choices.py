"""What every model of association lets one choose beside its outcome: genotypes, an interaction, weights, the variance.

Combinations that are not available are declared in one table: `ABSENT` names them, each with the reason in words. Nothing else
refuses a combination of these choices.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, NamedTuple

from genassoc.models.choices import checks

GeneticModel = Literal["additive", "dominant", "recessive", "hetonly", "genotypic"]
GENETIC_MODELS: tuple[str, ...] = ("additive", "dominant", "recessive", "hetonly", "genotypic")
Variance = Literal["auto", "model", "robust", "hc0"]
VARIANCES: tuple[Variance, ...] = ("auto", "model", "robust", "hc0")


class Absence(NamedTuple):
    """Choices that do not go together, where ``of`` names the models (empty: all), and why in words.

    ``together`` names choices, or values such as ``test=score``; also "sandwich" (weights or a sandwich variance) and
    "weighted" (weights or HC0). The words may quote a choice, as ``{like!r}``; ``{sandwich}`` stands for the choice that needs the sandwich.
    """

    together: tuple[str, ...]
    words: str
    of: tuple[str, ...] = ()


_ONE_COLUMN = "{sandwich} is of one column of genotypes: leave genetic_model='genotypic' out"
_NOT_CHI_SQUARED = (
    "with {sandwich} rows are tested by Wald tests: sandwich variances belong to the estimate, and weighted likelihood ratios are not "
    "chi-squared. Leave test out"
)
_NO_CORRECTION = (
    "with {sandwich} there is no correction: likelihood ratios, Firth's and the saddlepoint are of likelihoods. Leave "
    "correction={correction!r} out"
)
_GENOTYPIC = "genetic_model='genotypic' is screened and then tested by likelihood ratios (the default), or by test='wald': leave test='score' and correction='spa' out"
_NO_SCORE = "{refit} is fitted wherever p may be small, for which there is no score test: leave test='score' and correction='spa' out"
_MATCHED = "matched sets have their conditional likelihood, which goes with no {refit}: leave one of them out"
_MIXED = "the mixed model tests one column of genotypes with the model's own variance: it does not have {what}"
ABSENT: tuple[Absence, ...] = (
    Absence(("genetic_model=genotypic", "like=regenie"), "like='regenie': REGENIE has no genotypic test; leave one of the two out"),
    Absence(
        ("genetic_model=genotypic", "interaction"),
        "interaction is with one column of genotypes: choose genetic_model='additive', 'dominant', 'recessive' or 'hetonly'",
    ),
    Absence(("matched", "interaction"), _MATCHED),
    Absence(("matched", "sandwich"), _MATCHED),
    Absence(("matched", "genetic_model=genotypic"), "matched is of one column of genotypes: leave genetic_model='genotypic' out"),
    Absence(("matched", "like"), "matched: neither PLINK 2 nor REGENIE has it; leave like={like!r} out"),
    Absence(
        ("weights", "variance=model"),
        "weights are sampling weights, which need a sandwich variance: the model's would take a weight of 10 for ten samples. "
        "Leave variance='model' out",
    ),
    Absence(("sandwich", "genetic_model=genotypic"), _ONE_COLUMN),
    Absence(("weighted", "like"), "{sandwich}: neither PLINK 2 nor REGENIE has it; leave like={like!r} out"),
    Absence(("sandwich", "test=score"), _NOT_CHI_SQUARED),
    Absence(("sandwich", "test=lrt"), _NOT_CHI_SQUARED),
    *(
        Absence(("sandwich", f"correction={name}"), _NO_CORRECTION)
        for name in ("firth", "firth_approx", "firth_fallback", "spa", "lrt")
    ),
    Absence(
        ("sandwich", "dispersion=poisson"),
        "{sandwich}: a sandwich variance takes no dispersion, the residuals say it; leave dispersion out",
    ),
    Absence(("interaction", "test=score"), _NO_SCORE),
    Absence(("interaction", "correction=spa"), _NO_SCORE),
    Absence(
        ("interaction", "correction=firth_approx"),
        "{refit} goes with correction='auto', 'firth' or None, not {correction!r}",
        of=("Logistic",),
    ),
    *(
        Absence(
            (name, "like=regenie"),
            "{refit}: REGENIE's rules for binary traits are not reproduced; leave like='regenie' out",
            of=("Logistic",),
        )
        for name in ("interaction", "sandwich")
    ),
    Absence(("genetic_model=genotypic", "missing=mean"), "genetic_model='genotypic' is of complete genotypes: leave missing='mean' out"),
    *(
        Absence(
            ("alleles=joint", name),
            f"alleles='joint' tests the copies of each allele of a record: leave {name.replace('genetic_model=', 'genetic_model ')} out",
        )
        for name in ("interaction", *(f"genetic_model={name}" for name in GENETIC_MODELS[1:]))
    ),
    Absence(("alleles=joint", "matched"), "matched is of one column of genotypes: leave alleles='joint' out"),
    Absence(("alleles=joint", "like"), "alleles='joint': neither PLINK 2 nor REGENIE tests alleles at once; leave like={like!r} out"),
    Absence(("alleles=joint", "baseline"), "alleles='joint' with a baseline is not there: take the change as a trait of its own"),
    *(
        Absence((name,), _MIXED.format(what=what), of=("LinearMixed",))
        for name, what in (
            ("interaction", "interactions"),
            ("sandwich", "sampling weights and sandwich variances"),
            ("genetic_model=genotypic", "the genotypic model"),
            ("alleles=joint", "several alleles at once"),
        )
    ),
    Absence(("genetic_model=genotypic", "test=score"), _GENOTYPIC),
    Absence(("genetic_model=genotypic", "correction=spa"), _GENOTYPIC),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Choices that all models inherit.

    A model inherits them, calls `check_choices` in its ``__post_init__`` after its own checks, and decorates its ``block`` with
    `genassoc.models.scan.genetic_models.by_genetic_model`; all else is done around it.

    Parameters
    ----------
    genetic_model : {"additive", "dominant", "recessive", "hetonly", "genotypic"}
        What of ALT is tested: each copy; carrying one at all; carrying two; being heterozygous; or both degrees of
        freedom at once (rows "add", "domdev" and "geno_2df").
    alleles : {"separate", "joint"}
        A row for each ALT of a multi-allelic record; or, of such records alone, one row for all their ALTs at once: a test of as many
        degrees of freedom, by likelihood ratio, F or Wald. See docs/models/genetic_models.md.
    male_x_dosage : {2, 1}
        What one ALT of a male on X outside the pseudo-autosomal regions counts: as two of a female (one X of hers is
        inactive), or as one.
    condition_on : sequence of str
        Variants, by rsid or variant_id, whose ALT copies join the covariates.
    interaction : str, optional
        A covariate E of two values (an arm) or a number. Rows "add" (the effect at E = 0), "add:E" (its change for
        E + 1), "joint_2df" (any effect), and for a two-valued E the effect in each arm, "add|E=" and the value.
    case_value : mapping of str to str, or str
        Trait (or event, or arm of an interaction) -> the value of it that is the case (the event; what is 1). A text is of
        all traits. Needed where two values do not say it (`genassoc.data.phenotypes.case_words`); it wins over what they say.
    variance : {"auto", "model", "robust", "hc0"}
        The model's (what "auto" means, unless ``like`` or ``weights`` say else), or HC3 (MacKinnon & White 1985; of Cox's
        likelihood Lin's and Wei's), which holds where the model's own does not, at the cost of a second pass over the samples of
        every row; or Huber's and White's without the leverages of HC3, which finds too much where carriers are few.
    weights : str, optional
        Column of sampling weights, one over the chance of being sampled: Wald tests of every row, whatever the defaults of
        ``test`` and ``correction`` are. Variances are then HC3's unless "hc0" is asked for: those of the model would take a
        weight of 10 for ten samples. See docs/models/weights.md.
    """

    variances: ClassVar[tuple[Variance, ...]] = VARIANCES

    genetic_model: GeneticModel = "additive"
    alleles: Literal["separate", "joint"] = "separate"
    male_x_dosage: Literal[1, 2] = 2
    condition_on: tuple[str, ...] = ()
    interaction: str | None = None
    case_value: Any = ()
    variance: Variance = "auto"
    weights: str | None = None

    def check_choices(self) -> None:
        """Put the choices in their plain form, and refuse what does not go together.

        Raises
        ------
        ValueError
        """
        checks.choice(self.genetic_model, "genetic_model", GENETIC_MODELS)
        checks.choice(self.alleles, "alleles", ("separate", "joint"))
        if isinstance(self.male_x_dosage, bool) or self.male_x_dosage not in (1, 2):
            raise ValueError(
                f"male_x_dosage is 2 (males 0 or 2 on X, the default) or 1 (males 0 or 1), not {self.male_x_dosage!r}"
            )
        object.__setattr__(self, "condition_on", checks.names(self.condition_on, "condition_on"))
        if len(set(self.condition_on)) < len(self.condition_on):
            raise ValueError(f"condition_on names a variant twice: {', '.join(self.condition_on)}")
        self._check_interaction()
        self._check_case_value()
        checks.choice(self.variance, "variance", self.variances)
        if self.weights is not None:
            checks.column(self.weights, "weights", " of sampling weights")
        made = set(self._made())
        for absence in ABSENT:
            if made.issuperset(absence.together) and (not absence.of or type(self).__name__ in absence.of):
                raise ValueError(absence.words.format(**vars(self), sandwich=self._asks, refit=self._refit))

    def _check_interaction(self) -> None:
        E: Any = self.interaction
        if E is None:
            return
        if not isinstance(E, str) or not E.strip():
            raise ValueError(f"interaction is the name of a covariate such as interaction='arm', not {E!r}")
        if E in (getattr(self, "traits", ()) or ()):
            raise ValueError(f"interaction='{E}' is a trait of the model: name a covariate")

    def _check_case_value(self) -> None:
        outcome = getattr(self, "outcome", "")
        traits = tuple(getattr(self, "traits", ()) or ()) if outcome in ("binary", "survival") else ()
        pairs = checks.pairs(self.case_value, "case_value", traits)
        usable = [*traits, *([self.interaction] if self.interaction else [])]
        for name, _ in pairs:
            if name not in usable and not any(":" in trait for trait in traits):
                known = ", ".join(map(repr, usable)) or "nothing: it has no binary trait and no interaction"
                raise ValueError(f"case_value names '{name}', but in this model it can only be given for {known}")
        object.__setattr__(self, "case_value", pairs)

    def _made(self) -> Iterator[str]:
        """The choices that are not the defaults, as `Absence` names them."""
        for choice in fields(self):
            value = getattr(self, choice.name)
            if value != choice.default:
                yield choice.name
                if isinstance(value, str):
                    yield f"{choice.name}={value}"
        if self.is_sandwich:
            yield "sandwich"
        if self.is_weighted:
            yield "weighted"

    @property
    def _asks(self) -> str:
        """The choice that asks for a sandwich variance, in words."""
        return "weights" if self.weights is not None else f"variance={self.variance!r}"

    @property
    def _refit(self) -> str:
        """The choice for which every row is fitted, in words."""
        return "interaction" if self.interaction is not None else self._asks

    @property
    def imputes(self) -> bool:
        """Whether missing calls take the mean."""
        return getattr(self, "missing", "complete") == "mean"

    @property
    def is_sandwich(self) -> bool:
        """Whether variances are sandwiches."""
        return self.weights is not None or self.variance in ("robust", "hc0")

    @property
    def is_weighted(self) -> bool:
        """Whether there are weights, or the variance that goes with weights of 1."""
        return self.weights is not None or self.variance == "hc0"

    @property
    def refits(self) -> bool:
        """Whether rows need the genotypes of every sample, or two columns of them."""
        return self.interaction is not None or self.is_sandwich

    @property
    def fits_every_row(self) -> bool:
        """Whether rows are fitted one by one, by `genassoc.models.scan.wald`."""
        return self.refits or self.genetic_model == "genotypic" or self.alleles == "joint"

    @property
    def rows_per_trait(self) -> int:
        """Rows of results a variant and trait: up to five of an interaction, three of the genotypic model."""
        if self.interaction is not None:
            return 5
        return 3 if self.genetic_model == "genotypic" else 1
