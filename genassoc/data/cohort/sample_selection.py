"""Which samples an expression over the phenotypes keeps."""

import polars as pl

from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.errors import PhenotypeError
from genassoc.shapes import BoolArray


def samples_where(table: pl.DataFrame, choice: pl.Expr, phenotypes: Phenotypes) -> tuple[BoolArray, BoolArray]:
    """Where an expression over the phenotypes holds, and where a missing value hides it; (N,) each."""
    for name in choice.meta.root_names():
        if name not in table.columns:
            phenotypes.resolve([name], "column of keep_samples")
    try:
        result = table.select(choice.alias("keep"))["keep"]
    except pl.exceptions.PolarsError as error:
        raise PhenotypeError(
            f"{phenotypes.source}: keep_samples({choice}) cannot be evaluated: {error}. A column is text if "
            "one of its "
            "values is not a number"
        ) from None
    if result.dtype not in (pl.Boolean, pl.Null) or len(result) != table.height:
        raise PhenotypeError(
            f"keep_samples({choice}) gives {len(result)} values of {result.dtype}, not true or false for each sample"
        )
    return result.cast(pl.Boolean).fill_null(False).to_numpy(), result.is_null().to_numpy()
