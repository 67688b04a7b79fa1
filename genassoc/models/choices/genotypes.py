"""What every model of association lets one choose of the genotypes: genetic model, males' X, conditioning."""

from dataclasses import dataclass
from typing import Literal

from genassoc.models.choices import checks

GeneticModel = Literal["additive", "dominant", "recessive", "hetonly", "genotypic"]
GENETIC_MODELS: tuple[str, ...] = ("additive", "dominant", "recessive", "hetonly", "genotypic")


@dataclass(frozen=True, kw_only=True)
class GenotypeChoices:
    """Choices of the genotypes, that models inherit.

    A model inherits them, calls `check_genotype_choices` in its ``__post_init__``, and decorates its ``block`` with
    `genassoc.models.scan.genetic_models.by_genetic_model`; all else is done around it.

    Parameters
    ----------
    genetic_model : {"additive", "dominant", "recessive", "hetonly", "genotypic"}
        What of ALT is tested: each copy; carrying one at all; carrying two; being heterozygous; or both degrees of
        freedom at once (rows "add", "domdev" and "geno_2df").
    male_x_dosage : {2, 1}
        What one ALT of a male on X outside the pseudo-autosomal regions counts: as two of a female (one X of hers is
        inactive), or as one.
    condition_on : sequence of str
        Variants, by rsid or variant_id, whose ALT copies join the covariates.
    """

    genetic_model: GeneticModel = "additive"
    male_x_dosage: Literal[1, 2] = 2
    condition_on: tuple[str, ...] = ()

    def check_genotype_choices(self, allowed: tuple[str, ...] = GENETIC_MODELS) -> None:
        """Put the choices in their plain form.

        Raises
        ------
        ValueError
            One of them is not what it can be, or the model has no such genetic model.
        """
        checks.choice(self.genetic_model, "genetic_model", allowed)
        if isinstance(self.male_x_dosage, bool) or self.male_x_dosage not in (1, 2):
            raise ValueError(
                f"male_x_dosage is 2 (males 0 or 2 on X, the default) or 1 (males 0 or 1), not {self.male_x_dosage!r}"
            )
        object.__setattr__(self, "condition_on", checks.names(self.condition_on, "condition_on"))
        if len(set(self.condition_on)) < len(self.condition_on):
            raise ValueError(f"condition_on names a variant twice: {', '.join(self.condition_on)}")
        if self.genetic_model == "genotypic" and getattr(self, "like", None) == "regenie":
            raise ValueError("like='regenie': REGENIE has no genotypic test; leave one of the two out")

    @property
    def imputes(self) -> bool:
        """Whether missing calls take the mean."""
        return getattr(self, "missing", "complete") == "mean"

    @property
    def rows_per_trait(self) -> int:
        """Rows of results a variant and trait."""
        return 3 if self.genetic_model == "genotypic" else 1
