"""A formula of covariates as a syntax tree, and the terms that it stands for. Nothing here is ever evaluated as Python.

The words are Wilkinson's and Rogers' (1973), as R has them: ``+`` joins terms, ``:`` is their product, ``a*b`` is
``a + b + a:b``, ``(a + b)**2`` are all products of up to two, ``-`` takes a term away. What stands inside a function is
arithmetic. `genassoc.data.phenotypes.formula_parser` makes the tree; `genassoc.data.phenotypes.formula_columns` lays its columns out for a run, and
`genassoc.refit.covariates`, which shares this file and nothing else with it, for audit and explanation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias, TypeGuard

from genassoc.errors import PhenotypeError

ELEMENTWISE = ("log", "log2", "log10", "exp", "sqrt", "abs", "square")
CENTRED = ("center", "scale", "standardize")
BASES = ("poly", "bs", "ns", "cr")
FUNCTIONS = ("C", "I", *ELEMENTWISE, *CENTRED, *BASES)

MAX_LENGTH = 20_000  # characters; a thousand covariates of ordinary names
MAX_DEPTH = 40  # brackets, powers and signs within one another
MAX_TERMS = 1_000  # after * and ** are written out
MAX_WORK = 200_000  # products formed while terms are written out
MAX_FACTORS = 8  # factors of a term: a product of more is no sensible covariate
MAX_POWER = 8
MAX_COLUMNS = 2_000
MAX_LEVELS = 1_000  # a categorical covariate with more is an identifier; its columns would not fit in memory


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    name: str


@dataclass(frozen=True)
class Number:
    """A number: in arithmetic, or the 0 and 1 of a formula."""

    value: float


@dataclass(frozen=True)
class Call:
    """A function of the closed list: of arithmetic, or of a column (C).

    Attributes
    ----------
    function : str
        One of `FUNCTIONS`.
    argument : Node
    options : tuple of (str, value)
        ``ref`` of C; ``degree``, ``raw``, ``df``, ``knots`` of bases. Only those that were given.
    """

    function: str
    argument: "Node"
    options: tuple[tuple[str, "float | str | bool | tuple[float, ...]"], ...] = ()

    def option(self, name: str) -> "float | str | bool | tuple[float, ...] | None":
        """The value of an option, or None."""
        return dict(self.options).get(name)


@dataclass(frozen=True)
class Sum:
    """Parts, each with its sign: terms that join and that are taken away, or numbers added and subtracted."""

    parts: tuple[tuple[int, "Node"], ...]


@dataclass(frozen=True)
class Product:
    """A product in arithmetic: parts that multiply ("*") or divide ("/"); the first multiplies."""

    parts: tuple[tuple[str, "Node"], ...]


@dataclass(frozen=True)
class Power:
    """A power in arithmetic."""

    base: "Node"
    exponent: "Node"


@dataclass(frozen=True)
class Crossing:
    """a * b in a formula: the parts and all their products."""

    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Interaction:
    """a : b in a formula: the product of the parts."""

    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Raised:
    """(a + b) ** n in a formula: all products of up to n of its terms."""

    base: "Node"
    exponent: int


Node: TypeAlias = Column | Number | Call | Sum | Product | Power | Crossing | Interaction | Raised
Factor: TypeAlias = Column | Call
Term: TypeAlias = tuple[Factor, ...]  # without a factor: the intercept


@dataclass(frozen=True)
class Formula:
    """A formula that has been understood.

    Attributes
    ----------
    text : str
        As it was given.
    tree : Node
    terms : tuple of Term
        Without the intercept, those of fewer factors first, else in the order of the text.
    refuses_intercept : bool
        Whether it says 0 or - 1.
    """

    text: str
    tree: Node
    terms: tuple[Term, ...]
    refuses_intercept: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that the formula uses, sorted."""
        return tuple(sorted({name for term in self.terms for factor in term for name in columns_of(factor)}))

    @property
    def categories(self) -> frozenset[str]:
        """Columns that are used in C() and nowhere else."""
        factors = [factor for term in self.terms for factor in term]
        coded = {name for factor in factors if _is_coded(factor) for name in columns_of(factor)}
        return frozenset(coded - {name for factor in factors if not _is_coded(factor) for name in columns_of(factor)})

    def holds_in_other_terms(self, column: str) -> str | None:
        """The first term that a column is in other than by itself, as text, or None."""
        for term in self.terms:
            if any(column in columns_of(factor) for factor in term) and not _is_alone(term, column):
                return text_of_term(term)
        return None


def _is_alone(term: Term, column: str) -> bool:
    """Whether a term is the column itself, as it is or as categories."""
    if len(term) != 1:
        return False
    factor = term[0]
    return factor == Column(column) or (_is_coded(factor) and factor.argument == Column(column))


def _is_coded(factor: Factor) -> TypeGuard[Call]:
    return isinstance(factor, Call) and factor.function == "C"


def columns_of(node: Node) -> Iterator[str]:
    """Names of the columns in a part of a tree."""
    if isinstance(node, Column):
        yield node.name
    elif isinstance(node, Call):
        yield from columns_of(node.argument)
    elif isinstance(node, Power):
        yield from columns_of(node.base)
        yield from columns_of(node.exponent)
    elif isinstance(node, Raised):
        yield from columns_of(node.base)
    elif isinstance(node, Sum | Product):
        for _, part in node.parts:
            yield from columns_of(part)
    elif isinstance(node, Crossing | Interaction):
        for part in node.parts:
            yield from columns_of(part)


# Texts --------------------------------------------------------------------------------------------------


def is_plain(name: str) -> bool:
    """Whether a name is read as one name without backticks, whatever the table's columns are."""
    return name.replace(".", "_").isidentifier() and name != "."


def quoted(name: str) -> str:
    """A column's name as a formula has it, in backticks; a backtick in it is doubled."""
    return "`" + name.replace("`", "``") + "`"


def text_of(node: Node, level: int = 0) -> str:
    """A part of a tree as text, with the brackets that it needs: level 0 sum, 1 product, 2 sign, 3 power."""
    if isinstance(node, Column):
        return node.name if is_plain(node.name) else quoted(node.name)
    if isinstance(node, Number):
        return f"{node.value:.0f}" if node.value.is_integer() and abs(node.value) < 1e15 else repr(node.value)
    if isinstance(node, Call):
        # the first option of a basis needs no name
        first = {"poly": "degree"}.get(node.function)
        given = [
            _option_text(value) if name == first else f"{name}={_option_text(value)}" for name, value in node.options
        ]
        return f"{node.function}({', '.join([text_of(node.argument), *given])})"
    if isinstance(node, Power):
        return _bracketed(f"{text_of(node.base, 4)} ** {text_of(node.exponent, 3)}", 3, level)
    if isinstance(node, Raised):
        return _bracketed(f"{text_of(node.base, 4)} ** {node.exponent}", 3, level)
    if isinstance(node, Sum):
        return _sum_text(node, level)
    if isinstance(node, Product):
        rest = "".join(f" {sign} {text_of(part, 2)}" for sign, part in node.parts[1:])
        return _bracketed(text_of(node.parts[0][1], 1) + rest, 1, level)
    sign = " * " if isinstance(node, Crossing) else ":"
    return _bracketed(sign.join(text_of(part, 2) for part in node.parts), 1, level)


def _sum_text(node: Sum, level: int) -> str:
    (sign, first), *others = node.parts
    text = ("-" if sign < 0 else "") + text_of(first, 2 if sign < 0 else 0)
    for sign, part in others:
        text += f" {'+' if sign > 0 else '-'} {text_of(part, 1)}"
    return _bracketed(text, 2 if not others else 0, level)


def _bracketed(text: str, inner: int, level: int) -> str:
    return f"({text})" if inner < level else text


def _option_text(value: "float | str | bool | tuple[float, ...]") -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_option_text(one) for one in value)}]"
    if isinstance(value, bool | str):
        return repr(value)
    return text_of(Number(value))


def text_of_term(term: Term) -> str:
    """A term as the names of its columns begin: factors joined by ":"; a column by itself as it is called."""
    return ":".join(name_of(factor) for factor in term) or "1"


def name_of(factor: Factor) -> str:
    """A factor's name in the names of columns."""
    return factor.name if isinstance(factor, Column) else text_of(factor)


# Terms --------------------------------------------------------------------------------------------------

_Numbers: TypeAlias = tuple[int, ...]  # a term: its factors by number, as they come
_Terms: TypeAlias = dict[frozenset[int], _Numbers]


def terms_of(tree: Node) -> tuple[tuple[Term, ...], bool]:
    """The terms of a formula's tree without the intercept, and whether it refuses the intercept.

    Raises
    ------
    PhenotypeError
        A term that is taken away is not there; a product or a power of a term with itself says nothing; there are too many.
    """
    expansion = _Expansion()
    found = expansion.of(tree)
    terms = [expansion.term(numbers) for numbers in found.values() if numbers]
    return tuple(sorted(terms, key=len)), _intercept(tree) is False


def _intercept(tree: Node) -> bool | None:
    """Whether the outermost sums keep the intercept: True, False, or None where they do not mention it. The last mention decides."""
    if isinstance(tree, Number):
        return tree.value == 1.0
    if not isinstance(tree, Sum):
        return None
    kept = None
    for sign, part in tree.parts:
        inner = _intercept(part)
        kept = kept if inner is None else inner == (sign > 0)
    return kept


class _Expansion:
    """Writes out the terms of one formula; its work is bounded."""

    def __init__(self) -> None:
        self.numbers: dict[Factor, int] = {}
        self.work = 0

    def term(self, numbers: _Numbers) -> Term:
        factors = list(self.numbers)
        return tuple(factors[number] for number in numbers)

    def text(self, numbers: _Numbers) -> str:
        text = text_of_term(self.term(numbers))
        return text if len(text) <= 100 else f"{text[:97]}..."

    def of(self, node: Node, inside: str = "") -> _Terms:
        """Terms of a part of a formula; ``inside`` is the operator around it."""
        if isinstance(node, Column | Call):
            if next(columns_of(node), None) is None:
                raise PhenotypeError(f"{text_of(node)[:100]} is of no column: a constant, as the intercept is")
            number = self.numbers.setdefault(node, len(self.numbers))
            return {frozenset((number,)): (number,)}
        if isinstance(node, Number):
            if inside:
                raise PhenotypeError(
                    f"{text_of(node)} stands beside '{inside}': 0 and 1 are the intercept, which is added only"
                )
            return {frozenset(): ()} if node.value == 1.0 else {}
        terms: _Terms = {}
        if isinstance(node, Sum):
            for sign, part in node.parts:
                self.join(terms, sign, part, inside)
        elif isinstance(node, Crossing | Interaction):
            sign_ = "*" if isinstance(node, Crossing) else ":"
            terms = self.of(node.parts[0], sign_)
            for part in node.parts[1:]:
                terms = self.crossed(terms, self.of(part, sign_), sign_)
        elif isinstance(node, Raised):
            terms = self.raised(node)
        return terms

    def add(self, terms: _Terms, numbers: _Numbers) -> None:
        terms.setdefault(frozenset(numbers), numbers)
        self.work += 1
        if len(terms) > MAX_TERMS or self.work > MAX_WORK:
            raise PhenotypeError(
                f"it stands for too many terms (more than {MAX_TERMS:,}): name the products that are meant"
            )

    def join(self, found: _Terms, sign: int, part: Node, inside: str) -> None:
        """Add the terms of a part of a sum, or take them away."""
        terms = self.of(part, inside)
        if sign > 0:
            for numbers in terms.values():
                self.add(found, numbers)
            return
        for key, numbers in terms.items():
            if key and key not in found:
                raise PhenotypeError(
                    f"'- {self.text(numbers)}' takes away a term that is not there. A name that holds a '-' stands in backticks; "
                    "a difference of two columns is I(a - b); columns from one to another are a list with a colon, as PC1:PC10"
                )
            found.pop(key, None)

    def crossed(self, left: _Terms, right: _Terms, sign: str) -> _Terms:
        """Products of every term with every other; for ``*`` the terms themselves come first."""
        if len(left) == len(right) == 1:
            (first,), (second,) = left.values(), right.values()
            twice = tuple(number for number in second if number in first)
            if twice:
                raise PhenotypeError(
                    f"{self.text(twice)} is in the product {self.text(first)}{sign}{self.text(second)} twice, and in a formula a "
                    f"factor is in a product once; {self.square(twice)}"
                )
        terms: _Terms = {}
        if sign == "*":
            for numbers in (*left.values(), *right.values()):
                self.add(terms, numbers)
        self.multiply(terms, left, right)
        return terms

    def raised(self, node: Raised) -> _Terms:
        base = self.of(node.base, "**")
        if len(base) == 1 and node.exponent > 1:
            (numbers,) = base.values()
            name = self.text(numbers)
            raise PhenotypeError(
                f"'{name}**{node.exponent}' is {name} in a formula, where powers are of sums of terms; {self.square(numbers)}"
            )
        terms = base
        for _ in range(node.exponent - 1):
            more = dict(terms)
            self.multiply(more, terms, base)
            if len(more) == len(terms):
                break
            terms = more
        return terms

    def multiply(self, into: _Terms, left: _Terms, right: _Terms) -> None:
        for first in left.values():
            for second in right.values():
                numbers = first + tuple(number for number in second if number not in first)
                if len(numbers) > MAX_FACTORS:
                    raise PhenotypeError(f"it holds a product of {len(numbers)} factors; {MAX_FACTORS} are the most")
                self.add(into, numbers)

    def square(self, numbers: _Numbers) -> str:
        (first, *others) = self.term(numbers)
        plain = not others and isinstance(first, Column)
        return f"for its square write {f'I({text_of(first)}**2)' if plain else 'it inside I(), as I(age**2)'}"
