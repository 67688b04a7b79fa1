"""A row of results in plain words: effect, interval, what p means, which test made it, and what to be careful about."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from genassoc.explanation.explained import Explained
from genassoc.explanation.words_cautions import always, cautions
from genassoc.explanation.words_interaction import difference, in_arms, in_risks, where
from genassoc.explanation.words_sampling import of_sampling
from genassoc.refit.row_data import RowData
from genassoc.refit.tested_columns import is_of_set, plain_test

GENOME_WIDE = 5e-8
_PER = {
    "add": "each additional copy of {allele}",
    "dom": "carrying {allele} at all (dominant)",
    "rec": "carrying two copies of {allele} (recessive)",
    "hetonly": "being heterozygous",
    "domdev": "being heterozygous, beyond what one copy of {allele} adds,",
}
METHODS = {
    "t": "the t test of linear regression, exact on the samples of this row",
    "f": "the F test of both degrees of freedom, exact on the samples of this row",
    "t_hc3": "the t test of linear regression with HC3 variances, which allow for residuals that vary more in some than in others",
    "f_hc3": "the F test of both degrees of freedom with HC3 variances",
    "wald_hc3": "a Wald test of the maximum likelihood estimate with HC3 variances",
    "t_hc0": "the t test of linear regression with Huber's and White's variances (HC0)",
    "wald_hc0": "a Wald test of the maximum likelihood estimate with Huber's and White's variances (HC0)",
    "wald_robust": "a Wald test of the maximum likelihood estimate with the variance of Lin and Wei",
    "score": "a score test, whose beta is one step of the fit from no effect: it overshoots where effects are large",
    "score_approx": "a score test whose covariates were corrected for missing calls by one step (for Cox: screened with a "
    "bound of the information); its beta is one step of the fit",
    "wald": "a Wald test of the maximum likelihood estimate",
    "lrt": "a likelihood ratio test",
    "lrt_f": "a likelihood ratio test, whose p is of the F distribution that it has in a model without relatives, because samples are few",
    "firth": "Firth's penalised likelihood ratio test, which stays finite where all carriers have one outcome",
    "firth_approx": "Firth's penalised likelihood ratio test, the covariates' effects held where they are without it",
    "spa": "a saddlepoint approximation of the score's tail; beta and p are of different fits",
    "dosage_law": "the law of the outcome with the dosages as they are, because carriers or events are few; beta is of another fit than p",
    "exact": "an exact conditional test, because carriers or events are few; beta is of another fit than p (Firth's, or the likelihood's)",
}  # fmt: skip


def in_words(explained: Explained) -> str:
    """Paragraphs about an `genassoc.explanation.explained.Explained`: the effect, the test, the check, what to be careful about."""
    row, data = explained.row, explained.data
    if explained.withheld:
        return _as_it_leaves(explained)
    parts = [
        _effect(row, data),
        *_of_interaction(explained),
        _tail(row, data),
        _method(explained),
        of_sampling(row, data, explained.choices),
        cautions(explained),
    ]
    return "\n\n".join(part for part in parts if part)


def _as_it_leaves(explained: Explained) -> str:
    """The same under a policy that withholds something: no word that counts people."""
    row, data, withheld = explained.row, explained.data, explained.withheld
    assert withheld is not None
    effect = "" if row.get("withheld") or row["n"] is None else _effect(row, data, lacking=False)
    listed = "Withheld: " + "; ".join(withheld.lines()) + "."
    parts = [effect, *_of_interaction(explained), _tail(row, data), _method(explained), listed, always(data)]
    return "\n\n".join(part for part in parts if part)


def _of_interaction(explained: Explained) -> list[str]:
    """The effect in each arm, and risks."""
    row, modifier = explained.row, explained.data.modifier
    if modifier is None or explained.effects is None:
        return []
    found = [in_arms(explained.effects, explained.data.about, modifier)]
    if explained.absolute is not None:
        found.append(in_risks(explained.absolute, row["trait"], modifier.name))
    return found


def _effect(row: Mapping[str, Any], data: RowData, lacking: bool = True) -> str:
    """Who was analysed, and the effect; ``lacking``: also how many have no call."""
    allele = row["effect_allele"] if data.predictor is None else data.predictor
    n, n_lacking = int(row["n"]), data.n_missing if lacking else 0
    who = f"In {n:,} samples"
    if data.about.among and lacking:
        with_event = int(data.y[~np.isnan(data.copies)].sum())
        who += f" ({data.about.among.format(n=f'{with_event:,}')})"
    if n_lacking:
        who += f"; {n_lacking:,} more have no {'call' if data.predictor is None else 'value'} and " + (
            "count the mean" if n > data.n - n_lacking else "are left out"
        )
    if row["beta"] is None:
        if row["test"] == "joint_2df" and row["neg_log_10_p_value"] is not None and data.modifier is not None:
            return f"{who}. Any effect of {allele} is tested, whatever {data.modifier.name}: there is one p and no single effect."
        if is_of_set(str(row["test"])) and row["neg_log_10_p_value"] is not None:
            return f"{who}. The alleles {allele} are tested together: there is one p and no single effect."
        if row["test"] == "geno_2df" and row["neg_log_10_p_value"] is not None:
            return f"{who}. Both genotypes with {allele} are compared with none together: there is one p and no single effect."
        return f"{who}. There is no estimate: code '{row['code']}'."
    per = _PER.get(plain_test(row["test"]), f"test {row['test']} of {{allele}}").format(allele=allele)
    per = per if data.predictor is None else f"each additional unit of {allele}"
    frequency = row.get("effect_allele_frequency")
    share = "" if frequency is None else f" {allele} (ALT) has a frequency of {frequency:.4g} here."
    if data.modifier is not None and str(row["test"]).endswith(":E"):
        return f"{who}, {difference(row, data.about, data.modifier, per)}, with the other covariates held fixed.{share}"
    at = "" if data.modifier is None else f"{where(row, data.modifier)}, "
    return f"{who}, {at}{_associated(row, data, per)}, with the other covariates held fixed.{share}"


def _associated(row: Mapping[str, Any], data: RowData, per: str) -> str:
    """How the trait differs with the variant."""
    trait, unit = row["trait"], data.about.scale.format(trait=row["trait"])
    beta, low, high = row["beta"], row.get("ci_lower"), row.get("ci_upper")
    direction = "higher" if beta > 0 else "lower"
    if data.about.ratio is None:
        interval = f" (95 % interval {low:.4g} to {high:.4g})" if low is not None and high is not None else ""
        return f"{per} is associated with a {direction} {trait}: the difference is {beta:.4g}{interval} in {unit}, as analysed"
    e = np.exp
    interval = f" (95 % interval {e(low):.4g} to {e(high):.4g})" if low is not None and high is not None else ""
    return f"{per} is associated with {data.about.a_ratio} of {e(beta):.4g}{interval} for {trait} (beta {beta:.4g}, {unit})"


def _tail(row: Mapping[str, Any], data: RowData) -> str:
    differs = data.modifier is not None and str(row["test"]).endswith(":E")
    what = "variant" if data.predictor is None else "predictor"
    none, is_none = f"the {what} had no effect", f"the {what} has no effect"
    if differs and data.modifier is not None:
        E = data.modifier.name
        none, is_none = f"the {what}'s effect did not depend on {E}", f"the {what}'s effect does not depend on {E}"
    logp = row["neg_log_10_p_value"]
    if logp is None:
        return ""
    p = f"p = {10**-logp:.2g}" if logp < 300 else f"p = 10^-{logp:.1f}"
    if logp >= 1:
        odds = f"about one such study in {10**logp:,.0f}" if logp < 9 else f"one such study in 10^{logp:.0f}"
    else:
        odds = f"{100 * 10**-logp:.0f} of 100 such studies"
    wide = (
        "It is below 5e-8, the usual threshold for one genome-wide scan of a single trait."
        if logp > -np.log10(GENOME_WIDE)
        else "It is above 5e-8, the usual threshold for a genome-wide scan: among a million variants without any effect, some have a p as small as this."
    )
    if data.predictor is not None:
        wide = "It is the p of one test; to allow for the number of predictors tested, see ga.adjust."
    return (
        f"{p} (-log10 p {logp:.2f}): if the model held and {none}, {odds} would show an association at least "
        f"as strong by chance. It is not the chance that {is_none}. {wide}"
    )


def _method(explained: Explained) -> str:
    row, table = explained.row, explained.table
    what = "variant" if explained.data.predictor is None else "predictor"
    if row["method"] is None:
        return ""
    said = f"The row was made by {METHODS.get(row['method'], row['method'])}."
    said += (
        f" The model run again on this {what} alone gives the same row."
        if explained.reproduced
        else f" THE MODEL RUN AGAIN ON THIS {what.upper()} GIVES ANOTHER ROW than the results hold: the file was changed, or computed by "
        "another version."
    )
    made = table.filter("made_the_row")
    if made.height and made["reference"][0] is not None:
        beta, logp = made["difference_beta"][0], made["difference_neg_log_10_p_value"][0]
        differs = ["it is the same row"] if beta is None and logp is None else []
        differs += [] if beta is None else [f"beta differs by {abs(beta):.1e} standard errors"]
        differs += [] if logp is None else [f"-log10 p by {abs(logp):.1e}"]
        said += f" Against {made['reference'][0]}: {', '.join(differs)}."
    elif made.height:
        said += " No other program at hand has this very test."
    others = table.filter(~table["made_the_row"] & table["neg_log_10_p_value"].is_not_null())
    if others.height:
        shown = ", ".join(f"{m} {p:.2f}" for m, p in others.select("method", "neg_log_10_p_value").iter_rows())
        said += f" Other tests give -log10 p: {shown}."
    return said
