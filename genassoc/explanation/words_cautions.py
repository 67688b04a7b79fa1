"""What to be careful about in a row: few carriers, cases among them, missing calls, tests that disagree."""

import numpy as np

from genassoc.explanation.explained import Explained
from genassoc.refit.row_data import RowData
from genassoc.shapes import BoolArray, Float64Array


def cautions(explained: Explained) -> str:
    """What to be careful about, in one sentence, and what always holds."""
    row, data = explained.row, explained.data
    called = ~np.isnan(data.copies)
    found = list(explained.notes)
    if row["code"] is not None:
        found.append(f"the row has the code '{row['code']}'")
    found += _few(data, called) + _few_in_arms(data, called)
    share = data.n_missing / max(data.n, 1)
    if share > 0.02:
        found.append(f"{100 * share:.1f} % of {_calls(data)} are missing")
    found += _differential(data, called)
    logp = explained.table["neg_log_10_p_value"].drop_nulls().to_list()
    if len(logp) > 1 and max(logp) - min(logp) > max(1.0, 0.25 * max(logp)):
        found.append(
            "the tests disagree by more than a factor of ten or a quarter of -log10 p: trust the exact or Firth's"
        )
    if (
        row["method"] in ("score", "score_approx")
        and row["beta"] is not None
        and data.about.ratio is not None
        and abs(row["beta"]) > 0.5
    ):
        found.append("beta of a score test is one step of the fit, and it is large here: use that of wald or firth")
    return ("Careful: " + "; ".join(found) + ". " if found else "") + always(data)


def always(data: RowData) -> str:
    """What every row assumes."""
    who = "that samples are unrelated"
    if data.about.likelihood == "mixed":
        who = "that the relationships say how alike samples are beside this variant"
    return f"All this assumes {who} and that the covariates account for confounding; an association is not a cause."


def _calls(data: RowData) -> str:
    return "calls" if data.predictor is None else "values"


def _otherwise(data: RowData) -> str:
    return "they may be called differently" if data.predictor is None else "they may be measured differently"


def _carry(data: RowData) -> str:
    """What the samples of `_rarer` do."""
    return "carry the rarer allele" if data.predictor is None else "have another value than the commonest"


def _those(data: RowData, short: bool = False) -> str:
    """Who the samples of `_rarer` are."""
    if data.predictor is not None:
        return "samples of less common values"
    return "carriers" if short else "carriers of the rarer allele"


def _rarer(data: RowData, copies: Float64Array) -> BoolArray:
    """Samples with the rarer allele; of a predictor with another value than the commonest; ``copies`` (n,) of some samples."""
    if data.predictor is not None:
        values, n = np.unique(copies, return_counts=True)
        return np.asarray(copies != values[n.argmax()]) if values.size else np.zeros(0, dtype=bool)
    return np.asarray(
        (2 - copies if copies.size and copies.mean() > 1 else copies) >= 0.5
    )  # of dosages the nearest call


def _few(data: RowData, called: BoolArray) -> list[str]:
    """Few carriers, or few of them with the outcome."""
    y, rarer = data.y[called], _rarer(data, data.copies[called])
    carriers = int(rarer.sum())
    found = [f"only {carriers} samples {_carry(data)}"] if carriers < 20 else []
    if data.about.events:
        with_outcome = int(y[rarer].sum())
        least = min(with_outcome, carriers - with_outcome) if data.about.either_side else with_outcome
        if least < 5:
            found.append(
                f"{with_outcome} of {carriers} {_those(data)} are {data.about.events}: the interval is imprecise"
            )
    if data.about.counts == "values" and y.size > 3 and carriers < 50:
        z = np.abs(y - y.mean()) / y.std()
        if (z[rarer] > 4).any():
            found.append(
                f"one of the {_those(data)} is more than 4 standard deviations from the mean and may carry the association alone"
            )
    return found


def _few_in_arms(data: RowData, called: BoolArray) -> list[str]:
    """Few carriers in an arm, or few of them with the outcome."""
    found: list[str] = []
    modifier = data.modifier
    for name, value in () if modifier is None else modifier.arms:
        assert modifier is not None
        here = called & (modifier.values == value)
        y, carriers = data.y[here], _rarer(data, data.copies[here])
        n, arm = int(carriers.sum()), f"{modifier.name} = {name}"
        if n < 20:
            found.append(f"only {n} samples with {arm} {_carry(data)}")
        if data.about.events:
            cases = int(y[carriers].sum())
            least = min(cases, n - cases) if data.about.either_side else cases
            if least < 10:
                word = data.about.events
                found.append(
                    f"{cases} of the {n} {_those(data, short=True)} with {arm} are {word}: that arm's effect is imprecise"
                )
    return found


def _differential(data: RowData, called: BoolArray) -> list[str]:
    """Calls missing more often in cases or events: chi-squared above 6.63 (p = 0.01)."""
    if not data.about.events or called.all():
        return []
    y, n = data.y, data.n
    missing = n - int(called.sum())
    expected = y.sum() * missing / n
    variance = expected * (1 - missing / n) * (1 - y.mean())
    if variance > 0 and (y[~called].sum() - expected) ** 2 / variance > 6.63:
        word = data.about.with_event
        more = "more" if y[~called].sum() > expected else "less"
        return [
            f"{_calls(data)} are missing {more} often in {word} ({int(y[~called].sum())}, {expected:.1f} expected): {_otherwise(data)}"
        ]
    return []
