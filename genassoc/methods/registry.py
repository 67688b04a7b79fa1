"""The models by the name they have in gwas.toml and on the command line. One line a model."""

from dataclasses import fields
from typing import Any

from genassoc.methods.cox import Cox
from genassoc.methods.linear import Linear
from genassoc.methods.logistic import Logistic
from genassoc.methods.ordinal import Ordinal
from genassoc.methods.poisson import Poisson

MODELS: dict[str, Any] = {
    "linear": Linear,
    "logistic": Logistic,
    "ordinal": Ordinal,
    "poisson": Poisson,
    "cox": Cox,
}


def choices_of(kind: str) -> list[str]:
    """Names of a model's own choices, as ``[model]`` in gwas.toml may set them."""
    return [choice.name for choice in fields(MODELS[kind])]
