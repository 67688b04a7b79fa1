"""The null models of a fitted model, as tests of sets of variants take them."""

from genassoc.models.scan.set_null import SetNull as SetNull
from genassoc.models.scan.set_null import no_set_null


def set_nulls(state: object) -> tuple[SetNull, ...]:
    """What the null models of a fitted model say of sets of variants, in the order of their first traits.

    Parameters
    ----------
    state : state of a model
        Of a chromosome: `genassoc.models.scan.genome.ScanState.of`. Made once for all sets of it.

    Raises
    ------
    PhenotypeError
        The model's rows are no score tests of one null: an interaction, sandwich variances, sampling weights, matched sets, relationships.
    """
    ask = getattr(state, "set_nulls", None)
    if ask is None:
        raise no_set_null(type(state).__name__.removesuffix("State"))
    return tuple(ask())
