"""The models by the name they have in gwas.toml and on the command line. One line a model."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from importlib import import_module
from typing import Any

_PLACES = {
    "linear": "genassoc.models.linear.model.Linear",
    "logistic": "genassoc.models.logistic.model.Logistic",
    "cox": "genassoc.models.cox.model.Cox",
    "ordinal": "genassoc.models.ordinal.model.Ordinal",
    "poisson": "genassoc.models.poisson.model.Poisson",
    "mixed": "genassoc.models.mixed.model.LinearMixed",
    "negative_binomial": "genassoc.models.negative_binomial.model.NegativeBinomial",
}


# Other names that are understood: that of the type, as those of others are spelled.
_ALSO = {"linear_mixed": "mixed", "linear-mixed": "mixed"}


class _Models(Mapping[str, Any]):
    """Name -> model; imported when asked for: finding the compiled kernels of every model would slow every start."""

    def __getitem__(self, name: str) -> Any:
        module, _, model = _PLACES[_ALSO.get(name, name)].rpartition(".")
        return getattr(import_module(module), model)

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


MODELS: Mapping[str, Any] = _Models()


def choices_of(kind: str) -> list[str]:
    """Names of a model's own choices, as ``[model]`` in gwas.toml may set them."""
    return [choice.name for choice in fields(MODELS[kind])]


def kind_of(model: object) -> str:
    """The name of a model's type in the registry; of a type that is not in it, its own in lower case."""
    name = type(model).__name__
    return next((kind for kind, place in _PLACES.items() if place.rpartition(".")[2] == name), name.lower())
