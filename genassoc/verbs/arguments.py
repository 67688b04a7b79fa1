"""Checks of the arguments of public functions. Messages name what was given and what would be right."""

from pathlib import Path

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.store.store import GenotypeStore


def kind_of(value: object) -> str:
    """The type of a value in words, for messages."""
    return value.__name__ if isinstance(value, type) else f"a {type(value).__name__}"


def check_cohort(cohort: object, call: str) -> None:
    """Refuse a value that is no cohort; the message shows how to make one."""
    if isinstance(cohort, Cohort):
        return
    if isinstance(cohort, GenotypeStore | str | Path):
        way = "genassoc.Cohort.align(store, phenotypes) makes one of a store"
    elif hasattr(cohort, "prepare"):
        way = "the cohort comes first, then the model"
    else:
        way = "genassoc.Cohort.align(store, phenotypes) makes one"
    raise TypeError(f"{call}: the first is a Cohort, not {kind_of(cohort)}; {way}")


def check_model(model: object) -> None:
    """Refuse a value that is no model."""
    if isinstance(model, type) or not callable(getattr(model, "prepare", None)):
        raise TypeError(
            f"associate(cohort, model): the model is one such as genassoc.Linear(traits=['ldl']), not {kind_of(model)}"
        )


def check_executor(executor: object) -> None:
    """Refuse a value that is no executor; None stands for the default one."""
    if executor is not None and (isinstance(executor, type) or not callable(getattr(executor, "map", None))):
        hint = f": executor=genassoc.Threads({executor})" if isinstance(executor, int) else ""
        raise TypeError(f"executor is Serial(), Threads(8) or the like, not {kind_of(executor)}{hint}")
