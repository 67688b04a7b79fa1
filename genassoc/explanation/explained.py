"""What is known of one association that was refitted: what words and pictures are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from genassoc.data.disclosure import Policy, Withheld
from genassoc.explanation.absolute import Absolute
from genassoc.explanation.groups import Groups, genotype_names, groups_of
from genassoc.refit.row_data import RowData
from genassoc.shapes import Array


@dataclass(frozen=True, eq=False, kw_only=True)
class Located:
    """One association with its samples: what is drawn of it.

    Attributes
    ----------
    row : mapping
        The row of the results.
    choices : mapping
        Of the model.
    data : RowData
        The samples with the trait and all covariates, those without a call too.
    by : str or None
        The column that the samples are divided by.
    arms : array (n,) or None
        Its value of each sample.
    notes : tuple of str
        What was found on the way: other rows that the name fits, a variant that is there twice.
    effects : DataFrame or None
        Of a model with an interaction: every test of the variant, the effect in each arm among them.
    policy : Policy or None
        By which it leaves; nothing is drawn of a single sample then.
    """

    row: Mapping[str, Any]
    choices: Mapping[str, Any]
    data: RowData
    by: str | None = None
    arms: Array | None = None
    notes: tuple[str, ...] = ()
    effects: pl.DataFrame | None = None
    policy: Policy | None = None

    @property
    def title(self) -> str:
        """Variant and trait."""
        names = self.row["variant_id"] + (f" ({self.row['rsid']})" if self.row.get("rsid") else "")
        return f"{names} and {self.row['trait']}"

    @property
    def genotypes(self) -> tuple[str, str, str]:
        """Names of the genotypes with 0, 1 and 2 copies of ALT."""
        return genotype_names(str(self.row["other_allele"]), str(self.row["effect_allele"]))

    @cached_property
    def groups(self) -> Groups:
        """What samples are counted and drawn by: genotypes, or levels of a predictor."""
        return groups_of(self.data, self.row)


@dataclass(frozen=True, eq=False, kw_only=True)
class Explained(Located):
    """One association, refitted in full; of what it is made are fields of `Located`.

    Attributes
    ----------
    table : DataFrame
        Every applicable test: ``test``, ``method``, ``made_the_row``; our ``beta``, ``standard_error``,
        ``neg_log_10_p_value``; ``reference`` (the program), ``reference_...`` the same of it, null where no other program
        has the test; ``difference_beta`` and ``difference_standard_error`` in units of the reference's standard error,
        ``difference_neg_log_10_p_value``.
    counts : DataFrame
        Samples and outcomes by genotype, and by arm with ``by``; see `genassoc.explanation.counts.count_table`.
    fit : object
        statsmodels' results of the full model; ``fit.summary()`` shows every covariate.
    reproduced : bool
        Whether the model, run again on this variant alone, gives the row of the results to the last digit.
    absolute : Absolute or None
        Of a binary trait and a two-valued E: risks by genotype and arm, numbers needed to treat (``absolute.table``) and
        ``absolute.reri``; see `genassoc.stats.absolute`.
    withheld : Withheld or None
        Under a policy, what was withheld.
    """

    table: pl.DataFrame
    counts: pl.DataFrame
    fit: Any
    reproduced: bool
    absolute: Absolute | None = None
    withheld: Withheld | None = None
