"""The columns of a formula of covariates, for a run: factors, their codings, and products.

Knots, centres and polynomials come from all samples that have a value of the columns a function is of, whatever else they
lack. Categories are coded against a reference level wherever the other terms leave no room for all levels, so that a
formula spans what it spans in R and no column is there twice (Chambers and Hastie 1992, 2.4.1, by patsy's algorithm).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import combinations, product
from typing import TypeAlias

import numpy as np

from genassoc.data.phenotypes.formula import (
    BASES,
    CENTRED,
    MAX_COLUMNS,
    MAX_LEVELS,
    Call,
    Column,
    Factor,
    Formula,
    Node,
    Number,
    Power,
    Product,
    Sum,
    Term,
    columns_of,
    name_of,
    text_of,
    text_of_term,
)
from genassoc.data.phenotypes.formula_words import shown
from genassoc.data.phenotypes.number_spellings import date_offer, is_date
from genassoc.errors import PhenotypeError
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.function_bases import (
    BasisError,
    b_splines,
    natural_splines,
    orthogonal_polynomials,
    quantile_knots,
)

_LARGEST = 1e100  # squares of larger values are beyond what a double holds

_FUNCTIONS: dict[str, Callable[[Float64Array], Float64Array]] = {
    "log": np.log, "log2": np.log2, "log10": np.log10, "exp": np.exp, "sqrt": np.sqrt, "abs": np.abs, "square": np.square,
    "I": np.asarray,
}  # fmt: skip


@dataclass(frozen=True)
class Samples:
    """The samples whose formula is laid out, for messages.

    Attributes
    ----------
    source : str
        The table.
    where : callable
        Of the number of a sample (0 to N - 1): where it stands, "line 14 (sample HG00097)".
    """

    source: str
    where: Callable[[int], str]


@dataclass(frozen=True, eq=False)
class _Numbers:
    """A factor of one or more columns of numbers (n, k)."""

    labels: tuple[str, ...]
    values: Float64Array


@dataclass(frozen=True, eq=False)
class _Categories:
    """A factor of levels: codes (n,) into labels; the reference is one of them."""

    labels: tuple[str, ...]
    codes: Int64Array
    reference: int

    def columns(self, full: bool) -> list[tuple[str, Float64Array]]:
        """Label and column of all levels, or of all but the reference."""
        return [
            (f"[{label}]", (self.codes == level).astype(np.float64))
            for level, label in enumerate(self.labels)
            if full or level != self.reference
        ]


_Coded: TypeAlias = frozenset[
    tuple[Factor, bool]
]  # factors of categories, each with a flag: whether all its levels have a column


def check_levels(source: str, name: str, levels: Array, n: int) -> None:
    """Refuse a categorical covariate of too many levels.

    Raises
    ------
    PhenotypeError
    """
    if levels.size > MAX_LEVELS or (levels.size > 20 and 2 * levels.size > n):
        raise PhenotypeError(
            f"{source}: the covariate '{name}' is text with {levels.size} different values among {n} samples ('{levels[0]}', "
            f"'{levels[1]}', ...): as categories they would use up the data. Leave it out, or group it into fewer levels"
            f"{f'; {date_offer(str(levels[0]))}' if is_date(str(levels[0])) else ''}"
        )


def formula_columns(
    formula: Formula, values: Mapping[str, Array], complete: BoolArray, samples: Samples
) -> tuple[tuple[str, ...], Float64Array]:
    """Columns of a formula without the intercept.

    Parameters
    ----------
    formula : Formula
    values : mapping
        Of each of its columns the values of the N samples: float64 with NaN, or object array of str with None.
    complete : bool array (N,)
        Samples without a missing value in any of them; n of them.
    samples : Samples

    Returns
    -------
    names : tuple of str
        "site[B]" is the column of level B of site.
    matrix : float64 array (n, len(names))

    Raises
    ------
    PhenotypeError
        A function has no value for a sample (names it), a text is used as a number, or there are too many columns.
    """
    layout = _Layout(formula, values, complete, samples)
    names: list[str] = []
    columns: list[Float64Array] = []
    for term, parts in layout.coded_terms():
        before = len(names)
        for coded in parts:
            for name, column in layout.products(term, coded):
                names.append(name)
                columns.append(column)
        if (
            len(names) == before
        ):  # a product with a category of one level has no column left: it is named among the constant ones
            names.append(text_of_term(term))
            columns.append(np.zeros(int(complete.sum())))
    _check_whole(formula, layout.used)
    for name, column in zip(names, columns):
        _check_values(formula, name, column, complete, samples)
    return tuple(names), np.column_stack(columns) if columns else np.zeros((int(complete.sum()), 0))


def _check_whole(formula: Formula, used: set[str]) -> None:
    """Check that every column that the terms name was read: none is dropped silently."""
    lost = set(formula.columns) - used
    if lost:
        raise PhenotypeError(f"the formula '{shown(formula.text)}' lost {', '.join(sorted(lost))}: please report this")


def _check_values(formula: Formula, name: str, column: Float64Array, complete: BoolArray, samples: Samples) -> None:
    bad = np.flatnonzero(~(np.abs(column) <= _LARGEST))
    if bad.size:
        raise PhenotypeError(
            f"{samples.source}: the formula '{shown(formula.text)}' gives {column[bad[0]]:g} for {shown(name)} of {bad.size:,} "
            f"samples, first in {samples.where(int(np.flatnonzero(complete)[bad[0]]))}; no model can use numbers beyond 1e100"
        )


class _Layout:
    """Factors of one formula, made once each, and their products."""

    def __init__(self, formula: Formula, values: Mapping[str, Array], complete: BoolArray, samples: Samples) -> None:
        self.formula, self.values, self.complete, self.samples = formula, values, complete, samples
        self.used: set[str] = set()
        self.factors: dict[Factor, _Numbers | _Categories] = {}
        for term in formula.terms:
            for factor in term:
                if factor not in self.factors:
                    self.factors[factor] = self.factor(factor)

    # Factors

    def factor(self, factor: Factor) -> _Numbers | _Categories:
        if isinstance(factor, Column):
            self.used.add(factor.name)
            column = self.values[factor.name][self.complete]
            return (
                self.categories(factor.name, column, None)
                if column.dtype == object
                else _Numbers(("",), column[:, None])
            )
        if factor.function == "C":
            (name,) = columns_of(factor)
            self.used.add(name)
            return self.categories(name, self.values[name][self.complete], factor)
        present = np.ones(self.complete.size, dtype=bool)
        for name in columns_of(factor):
            column = self.values[name]
            if column.dtype == object:
                raise PhenotypeError(
                    f"{self.samples.source}: '{name}' is text, but {text_of(factor)} needs numbers. Text can be a covariate by "
                    "itself or in C()"
                )
            present &= ~np.isnan(column)
        if factor.function in BASES:
            x = self.arithmetic(factor.argument, present)
            made = self.basis(factor, x)
            labels = tuple(f"[{i + 1}]" for i in range(made.shape[1]))
        else:
            made, labels = self.arithmetic(factor, present)[:, None], ("",)
        return _Numbers(labels, made[self.complete[present]])

    def categories(self, name: str, column: Array, factor: Call | None) -> _Categories:
        numeric = column.dtype != object
        levels, codes = np.unique(column, return_inverse=True)
        check_levels(self.samples.source, name, levels, column.size)
        labels = tuple(str(level) for level in levels.tolist())
        wanted = None if factor is None else factor.option("ref")
        reference = 0 if wanted is None else self.reference(name, levels, labels, numeric, wanted)
        return _Categories(labels, codes.astype(np.int64), reference)

    def reference(self, name: str, levels: Array, labels: tuple[str, ...], numeric: bool, wanted: object) -> int:
        text = text_of(Number(wanted)) if isinstance(wanted, float) else str(wanted)
        if numeric:
            try:
                matches = np.flatnonzero(levels == float(text))
            except ValueError:
                matches = np.zeros(0, dtype=np.int64)
        else:
            matches = np.flatnonzero(levels == text)
        if matches.size:
            return int(matches[0])
        shown = ", ".join(f"'{label}'" for label in labels[:10]) + (", ..." if len(labels) > 10 else "")
        close = get_close_matches(text, labels, n=2)
        hint = f" Did you mean {' or '.join(repr(label) for label in close)}?" if close else ""
        raise PhenotypeError(
            f"{self.samples.source}: '{name}' has no level '{text}' among the samples with all covariates, so that it cannot be "
            f"the reference.{hint} Its levels: {shown}"
        )

    def basis(self, factor: Call, x: Float64Array) -> Float64Array:
        try:
            return _basis(factor, x)
        except BasisError as error:
            raise PhenotypeError(
                f"{self.samples.source}: {text_of(factor)} cannot be computed from {x.size:,} values: {error}"
            ) from None

    # Arithmetic

    def arithmetic(self, node: Node, present: BoolArray) -> Float64Array:
        """Values (n,) of a part of arithmetic for the samples that are present; all finite."""
        if isinstance(node, Column):
            self.used.add(node.name)
            return np.asarray(self.values[node.name][present])
        if isinstance(node, Number):
            return np.full(int(present.sum()), node.value)
        with np.errstate(all="ignore"):  # values that are not finite are reported below
            if isinstance(node, Sum):
                result = np.zeros(int(present.sum()))
                for sign, part in node.parts:
                    result = result + sign * self.arithmetic(part, present)
            elif isinstance(node, Product):
                result = np.ones(int(present.sum()))
                for operator, part in node.parts:
                    value = self.arithmetic(part, present)
                    result = result * value if operator == "*" else result / value
            elif isinstance(node, Power):
                result = np.power(self.arithmetic(node.base, present), self.arithmetic(node.exponent, present))
            else:
                assert isinstance(node, Call)
                of = self.arithmetic(node.argument, present)
                result = _centred(node.function, of) if node.function in CENTRED else _FUNCTIONS[node.function](of)
        self.check_finite(node, result, present)
        return result

    def check_finite(self, node: Node, result: Float64Array, present: BoolArray) -> None:
        bad = np.flatnonzero(~np.isfinite(result))
        if not bad.size:
            return
        first = int(np.flatnonzero(present)[bad[0]])
        names = dict.fromkeys(columns_of(node))
        its = ", ".join(f"{name} is {float(self.values[name][first]):g}" for name in names)
        raise PhenotypeError(
            f"{self.samples.source}: the formula '{shown(self.formula.text)}' gives {result[bad[0]]:g} for {shown(text_of(node))} of {bad.size:,} "
            f"samples, first in {self.samples.where(first)}, where {its}. genassoc does not leave out such a sample "
            "silently: change the formula, or write NA in the table"
        )

    # Products

    def coded_terms(self) -> list[tuple[Term, list[_Coded]]]:
        """Codings of the categories of each term, without what earlier terms span already."""
        spanned: dict[frozenset[Factor], set[frozenset[Factor]]] = {frozenset(): {frozenset()}}  # the intercept
        codings = []
        total = 0
        for term in self.formula.terms:
            groups = [factor for factor in term if isinstance(self.factors[factor], _Categories)]
            others = frozenset(factor for factor in term if factor not in groups)
            known = spanned.setdefault(others, set())
            subsets = [frozenset(some) for size in range(len(groups) + 1) for some in combinations(groups, size)]
            parts = _absorbed([frozenset((factor, False) for factor in some) for some in subsets if some not in known])
            known.update(subsets)
            total += sum(self.width(others, coded) for coded in parts)
            if total > MAX_COLUMNS:
                raise PhenotypeError(
                    f"{self.samples.source}: the formula '{shown(self.formula.text)}' makes more than {MAX_COLUMNS:,} columns (at "
                    f"{text_of_term(term)}): as covariates they would use up the data. Group categories into fewer levels"
                )
            codings.append((term, parts))
        return codings

    def width(self, others: frozenset[Factor], coded: _Coded) -> int:
        """Columns of a product."""
        n = 1
        for factor in others:
            n *= len(self.factors[factor].labels)
        for factor, full in coded:
            n *= len(self.factors[factor].labels) - (not full)
        return n

    def products(self, term: Term, coded: _Coded) -> list[tuple[str, Float64Array]]:
        """Name and column (n,) of each product of the factors' columns; the first factor's run fastest."""
        full = dict(coded)
        lists = []
        for factor in term:
            made = self.factors[factor]
            if isinstance(made, _Categories):
                if factor not in full:
                    continue
                columns = made.columns(full[factor])
                if len(term) == 1 and not columns:  # one level
                    columns = [("", np.zeros(made.codes.size))]
            else:
                columns = [(label, made.values[:, i]) for i, label in enumerate(made.labels)]
            lists.append([(f"{name_of(factor)}{label}", column) for label, column in columns])
        found = []
        for choice in product(*reversed(lists)):
            name = ":".join(part for part, _ in reversed(choice))
            column = choice[-1][1]
            with np.errstate(over="ignore"):  # reported by the check of the whole column
                for _, other in reversed(choice[:-1]):
                    column = column * other
            found.append((name, column))
        return found


def _absorbed(parts: list[_Coded]) -> list[_Coded]:
    """Join a product without a category and the one with it, coded against its reference, into one of all its levels."""
    found = list(parts)
    while True:
        for i, short in enumerate(found):
            at = next((j for j in range(i + 1, len(found)) if _takes_in(found[j], short)), None)
            if at is not None:
                (extra,) = found[at] - short
                found[at] = short | {(extra[0], True)}
                del found[i]
                break
        else:
            return found


def _takes_in(long: _Coded, short: _Coded) -> bool:
    return len(long) == len(short) + 1 and short <= long and not next(iter(long - short))[1]


def _centred(function: str, x: Float64Array) -> Float64Array:
    centred = x - x.mean() if x.size else x
    if function == "center":
        return centred
    spread = float(np.sqrt(centred @ centred / max(x.size - 1, 1)))
    # a constant is a column of zeros, which is named among the dropped
    return centred / spread if spread > 1e-12 * np.abs(x).max(initial=0.0) else np.zeros(x.size)


def _basis(factor: Call, x: Float64Array) -> Float64Array:
    """Columns (n, k) of poly, bs, ns or cr."""
    if factor.function == "poly":
        degree = int(factor.option("degree") or 1)  # type: ignore[arg-type]
        if factor.option("raw"):
            return np.column_stack([x**power for power in range(1, degree + 1)])
        return orthogonal_polynomials(x, degree)
    given, df = factor.option("knots"), factor.option("df")
    knots: tuple[float, ...] = given if isinstance(given, tuple) else ()
    n_fixed = {"bs": int(factor.option("degree") or 3), "ns": 1, "cr": 2}[factor.function]  # type: ignore[arg-type]
    if isinstance(df, float):
        if df < n_fixed:
            raise BasisError(f"df must be at least {n_fixed}")
        # cr has the constant among its df and puts knots at quantiles of the different values, as mgcv does
        knots = quantile_knots(np.unique(x) if factor.function == "cr" else x, int(df) - n_fixed)
    if factor.function == "bs":
        return b_splines(x, knots, n_fixed)
    straight = natural_splines(x, knots)
    # as in mgcv and formulaic, cr spans the constant too, which matters in a product
    return np.column_stack([straight, np.ones(x.size)]) if factor.function == "cr" else straight
