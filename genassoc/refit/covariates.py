"""The covariates of audit and explanation: laid out a second time, by other code than the run's.

Of a formula the syntax tree is shared with `genassoc.data.phenotypes.formula_columns`, and nothing else: terms are written out here as
sets, arithmetic is done sample by sample with Python's floats, every category has a column a level and the columns that say
the same are left to the fits, B-splines come from de Boor's recursion, natural splines from truncated powers, polynomials
from Legendre's. The columns are others than the run's; what they span has to be the same.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from genassoc.data.phenotypes.formula import (
    MAX_COLUMNS,
    MAX_LEVELS,
    Call,
    Column,
    Crossing,
    Formula,
    Interaction,
    Node,
    Number,
    Power,
    Product,
    Raised,
    Sum,
    columns_of,
    text_of,
)
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.errors import PhenotypeError
from genassoc.refit.fits import independent
from genassoc.shapes import BoolArray, Float64Array, Int64Array

_ONE_ARGUMENT: dict[str, Callable[[float], float]] = {
    "log": math.log, "log2": math.log2, "log10": math.log10, "exp": math.exp, "sqrt": math.sqrt, "abs": math.fabs,
    "square": lambda value: value * value, "I": lambda value: value,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class DenseCovariates:
    """Covariates of N samples.

    Attributes
    ----------
    names : tuple of str
        C names, the intercept first.
    X : float64 array (N, C)
        Zero where a covariate is missing. Columns may be combinations of others.
    complete : bool array (N,)
    formula : Formula or None
        Where they were given as one.
    """

    names: tuple[str, ...]
    X: Float64Array
    complete: BoolArray
    formula: Formula | None

    @cached_property
    def basis(self) -> Float64Array:
        """An orthonormal basis (N, rank) of the covariates of complete samples; others have zeros."""
        basis = independent(self.X[self.complete])
        return padded(basis, self.complete)


def padded(rows: Float64Array, at: BoolArray) -> Float64Array:
    """Rows of the samples ``at`` (N,), with zeros for the others."""
    found = np.zeros((at.size, rows.shape[1]))
    found[at] = rows
    return found


@dataclass(frozen=True, eq=False)
class _Part:
    """Columns of one factor or of a product: name, values of all N samples (0 where missing), whether a reference level."""

    name: str
    values: Float64Array
    n_references: int = 0


def dense_covariates(phenotypes: Phenotypes, rows: Int64Array, covariates: Sequence[str] | str) -> DenseCovariates:
    """Covariates, a list or a formula, of some rows (N,) of the phenotypes."""
    formula: Formula | None = None
    if isinstance(covariates, str):
        formula = phenotypes.formula(covariates) if covariates.strip() else None
        used: Iterable[str] = () if formula is None else formula.columns
        terms: Iterable[frozenset[Node]] = [] if formula is None else _terms(formula.tree)
    else:
        used = dict.fromkeys(phenotypes.resolve(covariates, "covariate"))
        terms = [frozenset((Column(name),)) for name in used]
    table = _Table(phenotypes, rows, used, frozenset() if formula is None else formula.categories)
    found = [_Part("intercept", np.ones(rows.size))]
    for term in sorted(terms, key=len):
        found += table.term(term)
    X = np.column_stack([part.values for part in found])
    X[~table.complete] = 0.0
    if not np.isfinite(X).all():
        raise PhenotypeError(f"{phenotypes.source}: the covariates '{covariates}' have values that are not finite")
    return DenseCovariates(tuple(part.name for part in found), X, table.complete, formula)


# Terms as sets ------------------------------------------------------------------------------------------


def _terms(tree: Node) -> list[frozenset[Node]]:
    """Terms but the intercept, in the order of the text."""
    return [term for term in _written_out(tree) if term]


def _written_out(node: Node) -> list[frozenset[Node]]:
    if isinstance(node, Number):
        return [frozenset()] if node.value == 1.0 else []
    if isinstance(node, Sum):
        held: list[frozenset[Node]] = []
        for sign, part in node.parts:
            own = _written_out(part)
            held = held + own if sign > 0 else [term for term in held if term not in own]
        return list(dict.fromkeys(held))
    if isinstance(node, Interaction):
        choices = itertools.product(*(_written_out(part) for part in node.parts))
        return list(dict.fromkeys(frozenset().union(*choice) for choice in choices))
    if isinstance(node, Crossing):
        each: list[frozenset[Node]] = []
        for part in node.parts:
            own = _written_out(part)
            each += own + [first | second for first in each for second in own]
            each = list(dict.fromkeys(each))
        return each
    if isinstance(node, Raised):
        base = _written_out(node.base)
        found: dict[frozenset[Node], None] = dict.fromkeys(base)
        for _ in range(1, node.exponent):
            found.update(dict.fromkeys([first | second for first in found for second in base]))
        return list(found)
    return [frozenset((node,))]


# Columns ------------------------------------------------------------------------------------------------


class _Table:
    """Values of the columns that are used, and the parts of terms made of them."""

    def __init__(self, phenotypes: Phenotypes, rows: Int64Array, used: Iterable[str], as_text: frozenset[str]) -> None:
        self.n, self.source = rows.size, phenotypes.source
        self.n_columns = 0
        self.numbers: dict[str, Float64Array] = {}
        self.words: dict[str, list[str | None]] = {}
        self.complete: BoolArray = np.ones(rows.size, dtype=bool)
        for name in used:
            coded = name in as_text and phenotypes.table[name].dtype == pl.String
            if phenotypes.looks_numeric(name, rows) and not coded:
                self.numbers[name] = phenotypes.numbers(name, rows)
                self.complete &= ~np.isnan(self.numbers[name])
            else:
                self.words[name] = phenotypes.labels(name, rows).to_list()
                self.complete &= np.array([value is not None for value in self.words[name]], dtype=bool)

    def term(self, term: frozenset[Node]) -> list[_Part]:
        """Products of all columns of the factors; those without a reference level first."""
        try:
            made = [self.factor(factor) for factor in sorted(term, key=text_of)]
        except (ArithmeticError, LookupError, ValueError) as error:
            raise PhenotypeError(
                f"{self.source}: {':'.join(map(text_of, term))} cannot be laid out for these samples ({error!r})"
            ) from None
        self.n_columns += math.prod(map(len, made))
        if self.n_columns > 4 * MAX_COLUMNS:
            raise PhenotypeError(f"{self.source}: the covariates make more than {4 * MAX_COLUMNS:,} columns")
        found = [
            _Part(
                ":".join(part.name for part in choice),
                np.prod([part.values for part in choice], axis=0),
                sum(part.n_references for part in choice),
            )
            for choice in itertools.product(*made)
        ]
        return sorted(found, key=lambda part: part.n_references)

    def factor(self, factor: Node) -> list[_Part]:
        if isinstance(factor, Column):
            if factor.name in self.words:
                return self.levels(factor.name, factor.name, None)
            return [_Part(factor.name, np.nan_to_num(self.numbers[factor.name]))]
        assert isinstance(factor, Call)
        if factor.function == "C":
            return self.levels(text_of(factor), next(iter(columns_of(factor))), factor.option("ref"))
        lacks = np.any([np.isnan(self.numbers[name]) for name in columns_of(factor)], axis=0)
        at = np.flatnonzero(~np.broadcast_to(lacks, self.n)).tolist()
        inner = factor.argument if factor.function in ("poly", "bs", "ns", "cr") else factor
        x = self.values(inner, at)
        columns = _curve(factor, x) if inner is not factor else [np.array(x)]
        return [
            _Part(text_of(factor) + (f"[{number}]" if inner is not factor else ""), _spread(values, at, self.n))
            for number, values in enumerate(columns, 1)
        ]

    def levels(self, label: str, column: str, reference: object) -> list[_Part]:
        """A column a level, the reference's (the first, unless named) last."""
        own: Sequence[float | str | None] = (
            self.words[column] if column in self.words else self.numbers[column].tolist()
        )
        present = sorted({value for value, here in zip(own, self.complete) if here})  # type: ignore[type-var]
        if len(present) > MAX_LEVELS:
            raise PhenotypeError(f"{self.source}: {label} has {len(present):,} levels")
        named = present if reference is None else [level for level in present if _same_level(level, reference)]
        first = named[0]
        indicator = {level: np.array([value == level for value in own], dtype=np.float64) for level in present}
        return [
            _Part(f"{label}[{level}]", indicator[level], int(level == first))
            for level in [*(level for level in present if level != first), first]
        ]

    # Arithmetic, a list of floats at a time

    def values(self, node: Node, at: list[int]) -> list[float]:
        """Values of a part of arithmetic for the samples ``at``; NaN where it has none."""
        if isinstance(node, Column):
            return [float(value) for value in self.numbers[node.name][at]]
        if isinstance(node, Number):
            return [node.value] * len(at)
        if isinstance(node, Power):
            pairs = zip(self.values(node.base, at), self.values(node.exponent, at))
            return [_guarded(lambda base, exponent: math.pow(base, exponent), *pair) for pair in pairs]
        if isinstance(node, Sum):
            parts = [(sign, self.values(part, at)) for sign, part in node.parts]
            signed = [values if sign > 0 else [-value for value in values] for sign, values in parts]
            return [math.fsum(together) for together in zip(*signed)]
        if isinstance(node, Product):
            found = [1.0] * len(at)
            for operator, part in node.parts:
                own = self.values(part, at)
                if operator == "*":
                    found = [left * right for left, right in zip(found, own)]
                else:
                    found = [_guarded(lambda left, right: left / right, *pair) for pair in zip(found, own)]
            return found
        assert isinstance(node, Call)
        of = self.values(node.argument, at)
        if node.function in ("center", "scale", "standardize"):
            mean = math.fsum(of) / max(len(of), 1)
            left = [value - mean for value in of]
            spread = math.sqrt(math.fsum(value * value for value in left) / max(len(of) - 1, 1))
            if node.function == "center":
                return left
            if spread <= 1e-12 * max(map(abs, of), default=0.0):
                return [0.0] * len(of)
            return [value / spread for value in left]
        return [_guarded(_ONE_ARGUMENT[node.function], value) for value in of]


def _guarded(function: Callable[..., float], *values: float) -> float:
    """Python raises where numpy says NaN or infinite."""
    try:
        return float(function(*values))
    except (ValueError, ZeroDivisionError, OverflowError):
        return math.nan


def _same_level(level: float | str | None, wanted: object) -> bool:
    try:
        return float(level) == float(wanted)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return level == str(wanted)


def _spread(values: Float64Array, at: list[int], n: int) -> Float64Array:
    column = np.zeros(n)
    column[at] = values
    return column


# Curves -------------------------------------------------------------------------------------------------


def _curve(factor: Call, x: list[float]) -> list[Float64Array]:
    """Columns of poly, bs, ns or cr at all values x (n,)."""
    if factor.option("raw"):
        powers = range(1, int(factor.option("degree") or 1) + 1)  # type: ignore[arg-type]
        return [np.array([math.pow(value, power) for value in x]) for power in powers]
    low, high = min(x), max(x)
    u = np.array([(value - low) / (high - low) for value in x])  # 0 to 1
    if factor.function == "poly":
        degree = int(factor.option("degree") or 1)  # type: ignore[arg-type]
        return [column - column.mean() for column in np.polynomial.legendre.legvander(2.0 * u - 1.0, degree)[:, 1:].T]
    fixed = {"bs": int(factor.option("degree") or 3), "ns": 1, "cr": 2}[factor.function]  # type: ignore[arg-type]
    given, df = factor.option("knots"), factor.option("df")
    inner = list(given) if isinstance(given, tuple) else []
    if isinstance(df, float):
        ranked = sorted(set(x)) if factor.function == "cr" else sorted(x)
        n_knots = int(df) - fixed
        inner = [_quantile(ranked, k / (n_knots + 1)) for k in range(1, n_knots + 1)]
    knots = [(knot - low) / (high - low) for knot in inner]
    if factor.function == "bs":
        return _de_boor(u, knots, fixed)
    return _truncated_powers(u, knots) + ([np.ones(u.size)] if factor.function == "cr" else [])


def _quantile(ranked: list[float], share: float) -> float:
    """Between the two values that a share falls between, linearly (R's type 7)."""
    place = share * (len(ranked) - 1)
    below = min(math.floor(place), len(ranked) - 2)
    return ranked[below] + (place - below) * (ranked[below + 1] - ranked[below])


def _de_boor(u: Float64Array, knots: list[float], degree: int) -> list[Float64Array]:
    """B-splines on [0, 1] (de Boor 1978, IX (14)) but the first."""
    t = [0.0] * (degree + 1) + knots + [1.0] * (degree + 1)
    last = len(t) - degree - 2
    basis = [
        ((u >= a) & ((u < b) | ((k == last) & (u == b)))).astype(np.float64)
        for k, (a, b) in enumerate(itertools.pairwise(t))
    ]
    for p in range(1, degree + 1):
        above = []
        for k in range(len(basis) - 1):
            rise, fall = t[k + p] - t[k], t[k + p + 1] - t[k + 1]
            left = (u - t[k]) / rise * basis[k] if rise > 0 else 0.0 * u
            right = (t[k + p + 1] - u) / fall * basis[k + 1] if fall > 0 else 0.0 * u
            above.append(left + right)
        basis = above
    return basis[1:]


def _truncated_powers(u: Float64Array, knots: list[float]) -> list[Float64Array]:
    """Natural cubic splines on [0, 1] (Hastie, Tibshirani and Friedman 2009, 5.4)."""
    xi = [0.0, *knots, 1.0]

    def d(k: int) -> Float64Array:
        cubes = np.maximum(u - xi[k], 0.0) ** 3 - np.maximum(u - 1.0, 0.0) ** 3
        return np.asarray(cubes / (1.0 - xi[k]))

    return [u] + [d(k) - d(len(xi) - 2) for k in range(len(xi) - 2)]
