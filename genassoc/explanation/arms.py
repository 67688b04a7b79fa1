"""The arms that counts and pictures are divided by: a column's values, or the thirds of a number."""

import numpy as np

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.phenotypes.codings import text_of
from genassoc.errors import GenassocError
from genassoc.refit.row_data import RowData
from genassoc.shapes import Array, Float64Array

_MOST = 6
_THIRDS = ("lowest third", "middle third", "upper third")  # in the order of the alphabet, as arms are shown


def arms_of(cohort: Cohort, by: str, data: RowData) -> Array:
    """Each sample's arm as text, (n,) str objects: its value in the column ``by``, or the third of an interaction's number.

    Raises
    ------
    GenassocError
        The column has more than six values.
    """
    (name,) = cohort.phenotypes.resolve([by], "column to divide by")
    modifier = data.modifier
    values = text_of(cohort.phenotypes, name, cohort.rows[data.samples]).fill_null("missing")
    if modifier is not None and modifier.name == name and values.n_unique() > _MOST:
        return thirds(modifier.values)
    if values.n_unique() > _MOST:
        raise GenassocError(
            f"by='{by}': the column has {values.n_unique()} values; a few arms are meant, at most {_MOST}."
        )
    return np.array(values.to_list(), dtype=object)


def thirds(values: Float64Array) -> Array:
    """The third that each value (n,) lies in, with its bounds; fewer where values are few."""
    low, high = (float(cut) for cut in np.quantile(values, [1 / 3, 2 / 3], method="lower"))
    which = (values > low).astype(np.int64) + (values > high)
    names = (f"{_THIRDS[0]} (to {low:.4g})", f"{_THIRDS[1]} (to {high:.4g})", f"{_THIRDS[2]} (above {high:.4g})")
    return np.array([names[third] for third in which], dtype=object)
