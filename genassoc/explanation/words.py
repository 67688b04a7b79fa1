"""A row of results in plain words: effect, interval, what p means, which test made it, and what to be careful about."""

from typing import Any

import numpy as np

from genassoc.data.row_data import RowData
from genassoc.data.tested_columns import plain_test
from genassoc.explanation.words_interaction import difference, in_arms, in_risks, where

GENOME_WIDE = 5e-8
_SCALES = {
    "linear": ("units of {trait}", None),
    "logistic": ("log odds", "odds ratio"),
    "ordinal": ("log odds of a higher level", "odds ratio"),
    "poisson": ("log rate", "rate ratio"),
    "cox": ("log hazard", "hazard ratio"),
}
_PER = {
    "add": "each more copy of {allele}",
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
    "score": "a score test, whose beta is one step of the fit from no effect: it overshoots where effects are large",
    "score_approx": "a score test whose covariates were corrected for missing calls by one step (for Cox: screened with a "
    "bound of the information); its beta is one step of the fit",
    "wald": "a Wald test of the maximum likelihood estimate",
    "lrt": "a likelihood ratio test",
    "firth": "Firth's penalised likelihood ratio test, which stays finite where all carriers have one outcome",
    "firth_approx": "Firth's penalised likelihood ratio test, the covariates' effects held where they are without the variant",
    "spa": "a saddlepoint approximation of the score's tail; beta and p are of different fits",
    "exact": "an exact conditional test, because carriers or cases are few; beta is Firth's, of another fit than p",
}  # fmt: skip


def in_words(explained: Any) -> str:
    """Paragraphs about an `genassoc.explanation.Explanation`: the effect, the test, the check, what to be careful about."""
    row, data = explained.row, explained.data
    parts = [
        _effect(row, data),
        *_of_interaction(explained),
        _tail(row, data),
        _method(explained),
        _cautions(explained),
    ]
    return "\n\n".join(part for part in parts if part)


def _of_interaction(explained: Any) -> list[str]:
    """The effect in each arm, and risks."""
    row, modifier = explained.row, explained.data.modifier
    if modifier is None or explained.effects is None:
        return []
    found = [in_arms(explained.effects, explained.data.kind, modifier)]
    if explained.absolute is not None:
        found.append(in_risks(explained.absolute, row["trait"], modifier.name))
    return found


def _effect(row: Any, data: RowData) -> str:
    allele = row["effect_allele"]
    n, lacking = int(row["n"]), data.n_missing
    who = f"In {n:,} samples"
    if data.kind in ("logistic", "cox", "poisson"):
        cases = int(data.y[~np.isnan(data.copies)].sum())
        what = {
            "logistic": f"{cases:,} of them cases",
            "cox": f"{cases:,} with the event",
            "poisson": f"{cases:,} events",
        }
        who += f" ({what[data.kind]})"
    if lacking:
        who += f"; {lacking:,} more have no call and " + ("count the mean" if n > data.n - lacking else "are left out")
    if row["beta"] is None:
        if row["test"] == "joint_2df" and row["neg_log_10_p_value"] is not None and data.modifier is not None:
            return f"{who}. Any effect of {allele} is tested, whatever {data.modifier.name}: there is one p and no single effect."
        if row["test"] == "geno_2df" and row["neg_log_10_p_value"] is not None:
            return f"{who}. Both genotypes with {allele} are compared with none together: there is one p and no single effect."
        return f"{who}. There is no estimate: code '{row['code']}'."
    per = _PER.get(plain_test(row["test"]), f"test {row['test']} of {{allele}}").format(allele=allele)
    frequency = row.get("effect_allele_frequency")
    share = "" if frequency is None else f" {allele} (ALT) has a frequency of {frequency:.4g} here."
    if data.modifier is not None and str(row["test"]).endswith(":E"):
        return f"{who}, {difference(row, data.kind, data.modifier, per)}, the other covariates held.{share}"
    at = "" if data.modifier is None else f"{where(row, data.modifier)}, "
    return f"{who}, {at}{_goes_with(row, data, per)}, the other covariates held.{share}"


def _goes_with(row: Any, data: RowData, per: str) -> str:
    """What the trait does with the variant."""
    trait, (unit, ratio) = row["trait"], _SCALES[data.kind]
    beta, low, high = row["beta"], row.get("ci_lower"), row.get("ci_upper")
    direction = "higher" if beta > 0 else "lower"
    if ratio is None:
        interval = f" (95 % interval {low:.4g} to {high:.4g})" if low is not None and high is not None else ""
        return (
            f"{per} goes with {trait} {direction} by {abs(beta):.4g}{interval}, {unit.format(trait=trait)} as analysed"
        )
    e = np.exp
    interval = f" (95 % interval {e(low):.4g} to {e(high):.4g})" if low is not None and high is not None else ""
    said = f"{per} goes with {trait} at an {ratio} of {e(beta):.4g}{interval}; beta {beta:.4g} is in {unit}"
    return said.replace("an hazard", "a hazard").replace("an rate", "a rate")


def _tail(row: Any, data: RowData) -> str:
    differs = data.modifier is not None and str(row["test"]).endswith(":E")
    none, is_none = "the variant had no effect", "the variant has no effect"
    if differs and data.modifier is not None:
        E = data.modifier.name
        none, is_none = f"the variant's effect did not depend on {E}", f"the variant's effect does not depend on {E}"
    logp = row["neg_log_10_p_value"]
    if logp is None:
        return ""
    p = f"p = {10**-logp:.2g}" if logp < 300 else f"p = 10^-{logp:.1f}"
    if logp >= 1:
        odds = f"about one such study in {10**logp:,.0f}" if logp < 9 else f"one such study in 10^{logp:.0f}"
    else:
        odds = f"{100 * 10**-logp:.0f} of 100 such studies"
    wide = (
        "It passes 5e-8, the usual bar for one genome-wide scan of a single trait."
        if logp > -np.log10(GENOME_WIDE)
        else "It does not pass 5e-8, the usual bar for a genome-wide scan: among a million variants without any effect some do as well."
    )
    return (
        f"{p} (-log10 p {logp:.2f}): if the model held and {none}, {odds} would show an association at least "
        f"as strong by chance. It is not the chance that {is_none}. {wide}"
    )


def _method(explained: Any) -> str:
    row, table = explained.row, explained.table
    if row["method"] is None:
        return ""
    said = f"The row was made by {METHODS.get(row['method'], row['method'])}."
    said += (
        " The model run again on this variant alone gives the same row."
        if explained.reproduced
        else " THE MODEL RUN AGAIN ON THIS VARIANT GIVES ANOTHER ROW than the results hold: the file was changed, or computed by "
        "another version."
    )
    made = table.filter("made_the_row")
    if made.height and made["reference"][0] is not None:
        beta, logp = made["difference_beta"][0], made["difference_neg_log_10_p_value"][0]
        differs = [] if beta is None else [f"beta differs by {abs(beta):.1e} standard errors"]
        differs += [] if logp is None else [f"-log10 p by {abs(logp):.1e}"]
        said += f" Against {made['reference'][0]}: {', '.join(differs)}."
    elif made.height:
        said += " No other program at hand has this very test."
    others = table.filter(~table["made_the_row"] & table["neg_log_10_p_value"].is_not_null())
    if others.height:
        shown = ", ".join(f"{m} {p:.2f}" for m, p in others.select("method", "neg_log_10_p_value").iter_rows())
        said += f" Other tests give -log10 p: {shown}."
    return said


def _cautions(explained: Any) -> str:
    row, data = explained.row, explained.data
    called = ~np.isnan(data.copies)
    found = list(explained.notes)
    if row["code"] is not None:
        found.append(f"the row has the code '{row['code']}'")
    found += _few(data, called) + _few_in_arms(data, called)
    share = data.n_missing / max(data.n, 1)
    if share > 0.02:
        found.append(f"{100 * share:.1f} % of calls are missing")
    found += _differential(data, called)
    p = explained.table["neg_log_10_p_value"].drop_nulls()
    if len(p) > 1 and float(p.max()) - float(p.min()) > max(1.0, 0.25 * float(p.max())):
        found.append(
            "the tests disagree by more than a factor of ten or a quarter of -log10 p: trust the exact or Firth's"
        )
    if (
        row["method"] in ("score", "score_approx")
        and row["beta"] is not None
        and data.kind != "linear"
        and abs(row["beta"]) > 0.5
    ):
        found.append("beta of a score test is one step and large here: take that of wald or firth")
    always = "Samples are taken to be unrelated and the covariates to be enough; an association is not a cause."
    return ("Careful: " + "; ".join(found) + ". " if found else "") + always


def _few(data: RowData, called: Any) -> list[str]:
    """Few carriers, or few of them with the outcome."""
    copies, y = data.copies[called], data.y[called]
    minor = 2 - copies if copies.mean() > 1 else copies
    carriers = int((minor > 0).sum())
    found = [f"only {carriers} samples carry the rarer allele"] if carriers < 20 else []
    if data.kind in ("logistic", "cox"):
        with_outcome = int(y[minor > 0].sum())
        word = "cases" if data.kind == "logistic" else "events"
        least = min(with_outcome, carriers - with_outcome) if data.kind == "logistic" else with_outcome
        if least < 5:
            found.append(f"{with_outcome} of {carriers} carriers of the rarer allele are {word}: the interval is rough")
    if data.kind == "linear" and y.size > 3 and carriers < 50:
        z = np.abs(y - y.mean()) / y.std()
        if (z[minor > 0] > 4).any():
            found.append(
                "a carrier is more than 4 standard deviations from the mean and may carry the association alone"
            )
    return found


def _few_in_arms(data: RowData, called: Any) -> list[str]:
    """Few carriers in an arm, or few of them with the outcome."""
    found: list[str] = []
    modifier = data.modifier
    for name, value in () if modifier is None else modifier.arms:
        assert modifier is not None
        here = called & (modifier.values == value)
        copies, y = data.copies[here], data.y[here]
        carriers = (2 - copies if copies.size and copies.mean() > 1 else copies) > 0
        n, arm = int(carriers.sum()), f"{modifier.name} = {name}"
        if n < 20:
            found.append(f"only {n} samples with {arm} carry the rarer allele")
        if data.kind in ("logistic", "cox"):
            cases = int(y[carriers].sum())
            least = min(cases, n - cases) if data.kind == "logistic" else cases
            if least < 10:
                word = "cases" if data.kind == "logistic" else "events"
                found.append(f"{cases} of the {n} carriers with {arm} are {word}: that arm's effect is rough")
    return found


def _differential(data: RowData, called: Any) -> list[str]:
    """Calls missing more often in cases or events: chi-squared above 6.63 (p = 0.01)."""
    if data.kind not in ("logistic", "cox") or called.all():
        return []
    y, n = data.y, data.n
    missing = n - int(called.sum())
    expected = y.sum() * missing / n
    variance = expected * (1 - missing / n) * (1 - y.mean())
    if variance > 0 and (y[~called].sum() - expected) ** 2 / variance > 6.63:
        word = "cases" if data.kind == "logistic" else "samples with the event"
        more = "more" if y[~called].sum() > expected else "less"
        return [
            f"calls are missing {more} often in {word} ({int(y[~called].sum())}, {expected:.1f} expected): they may be called otherwise"
        ]
    return []
