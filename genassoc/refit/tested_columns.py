"""What one test of a row is about: the columns of genotypes that are tested, and those that are held beside the covariates."""

from dataclasses import dataclass

import numpy as np

from genassoc.shapes import BoolArray, Float64Array

JOINT = ("geno_2df", "joint_2df")  # tests of two degrees of freedom
_SET = "alleles_"  # begins the name of a test of several alleles at once


@dataclass(frozen=True, eq=False)
class RowModifier:
    """The covariate E of an interaction in the n samples of a row.

    Attributes
    ----------
    name : str
    values : float64 array (n,)
    arms : tuple of (str, float)
        The values of a two-valued E as in the data, each with its number in ``values``; else empty.
    """

    name: str
    values: Float64Array
    arms: tuple[tuple[str, float], ...]

    def take(self, keep: BoolArray) -> "RowModifier":
        """Some of the samples (bool (n,))."""
        return RowModifier(self.name, self.values[keep], self.arms)

    def value_of(self, arm: str) -> float:
        """The number of an arm.

        Raises
        ------
        KeyError
            There is no such arm.
        """
        return dict(self.arms)[arm]


@dataclass(frozen=True, eq=False)
class TestedColumns:
    """Columns of genotypes of one test.

    Attributes
    ----------
    nuisance : float64 array (n, 0 or 1)
        Fitted beside the covariates.
    tested : float64 array (n, k)
        The coefficient of one column is the test's ``beta``.
    names : tuple of str
        Of the nuisance column, if any, then of the tested ones.
    """

    __test__ = False  # its name is not a test's

    nuisance: Float64Array
    tested: Float64Array
    names: tuple[str, ...]

    @property
    def all_columns(self) -> Float64Array:
        """The nuisance column, if any, then those tested."""
        return np.column_stack([self.nuisance, self.tested])


def is_of_set(test: str) -> bool:
    """Whether a test is of several alleles of one record at once: "alleles_2df"."""
    return test.startswith(_SET)


def plain_test(test: str) -> str:
    """The test of the main effect that a test's name begins with: "add" of "add:E" and of "add|E=drug"."""
    return test.split(":")[0].split("|")[0]


def tested_columns(G: Float64Array, modifier: RowModifier | None, test: str) -> TestedColumns:
    """The columns of a test, of what is tested: G (n, 1), (n, 2) for the genotypic model, or (n, k) of a set of columns.

    An interaction's two columns g and g E span what g and ``g (E - e)`` span, and there the coefficient of g is the effect at
    E = e; so that each of its tests of one degree of freedom is that of one column.
    """
    g = G[:, 0]
    none = np.empty((g.size, 0))
    if is_of_set(test):
        return TestedColumns(none, G, tuple(f"g{number}" for number in range(1, G.shape[1] + 1)))
    if modifier is None:
        if G.shape[1] == 1:
            return TestedColumns(none, G, ("g",))
        if test in JOINT:
            return TestedColumns(none, G, ("g", "het"))
        names = ("het", "g") if test == "add" else ("g", "het")
        own = 0 if test == "add" else 1
        return TestedColumns(G[:, [1 - own]], G[:, [own]], names)
    product, both = g * modifier.values, f"g:{modifier.name}"
    if test == "joint_2df":
        return TestedColumns(none, np.column_stack([g, product]), ("g", both))
    if test.endswith(":E"):
        return TestedColumns(g[:, None], product[:, None], ("g", both))
    if "|E=" not in test:
        return TestedColumns(product[:, None], g[:, None], (both, "g"))
    arm = test.split("|E=", 1)[1]
    shifted = g * (modifier.values - modifier.value_of(arm))
    return TestedColumns(shifted[:, None], g[:, None], (both, f"g|{modifier.name}={arm}"))
