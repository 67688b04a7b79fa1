"""The parser of formulas of covariates: from words to a syntax tree.

A parser by recursive descent over a closed grammar; docs/cohort.md has its table. What is not in it is refused by name. No
text is ever evaluated.
"""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import pairwise

from genassoc.data.phenotypes.columns import RANGE
from genassoc.data.phenotypes.formula import (
    BASES,
    FUNCTIONS,
    MAX_DEPTH,
    MAX_LENGTH,
    MAX_POWER,
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
    Term,
    quoted,
    terms_of,
)
from genassoc.data.phenotypes.formula_words import ALLOWED, Token, shown, tokens_of
from genassoc.errors import PhenotypeError

_INSTEAD = {
    "np.log": "log", "np.log2": "log2", "np.log10": "log10", "np.exp": "exp", "np.sqrt": "sqrt", "np.abs": "abs",
    "np.square": "square", "ln": "log", "factor": "C", "as.factor": "C", "cs": "cr or ns", "rcs": "ns", "s": "ns",
    "Q": "backticks, `a name`", "offset": "Poisson's exposure=, or the model's own choice", "relevel": "C(x, ref='B')",
    "log1p": "log(x + 1)", "expm1": "I(exp(x) - 1)", "pow": "I(x**2)", "exp2": "I(2**x)", "exp10": "I(10**x)",
}  # fmt: skip
_OPTIONS = {
    "poly": ("degree", "raw"),
    "bs": ("df", "degree", "knots"),
    "ns": ("df", "knots"),
    "cr": ("df", "knots"),
}
_LARGEST = {"degree": 20, "df": 100}
_TREATMENT = ("Treatment", "contr.treatment", "treatment")
_REFERENCE = ("ref", "reference", "base")
_TRUTH = {"True": True, "TRUE": True, "T": True, "False": False, "FALSE": False, "F": False}


def parse_formula(text: str, columns: Sequence[str]) -> Formula:
    """Understand a formula of covariates.

    Parameters
    ----------
    text : str
        Its right-hand side; a ``~`` before it is allowed.
    columns : sequence of str
        Names of the table's columns. They are needed to recognise names with blanks, hyphens or brackets; whether each name of
        the formula is a column is checked later.

    Raises
    ------
    PhenotypeError
        It is not in the grammar (says what is, and where), stands for too much, or holds what looks like a range of columns.
    """
    if len(text) > MAX_LENGTH:
        raise PhenotypeError(f"a formula of {len(text):,} characters is too long; at most {MAX_LENGTH:,} are allowed")
    try:
        tree = _Parser(tokens_of(text, columns, _is_formula), text, frozenset(columns)).formula()
        terms, refuses_intercept = terms_of(tree)
    except PhenotypeError as error:
        raise PhenotypeError(f"the formula '{shown(text)}' cannot be understood{_hint(text)}: {error}") from None
    _check_ranges(text, terms)
    return Formula(text, tree, terms, refuses_intercept)


def _is_formula(tokens: list[Token], text: str) -> bool:
    try:
        _Parser(tokens, text).formula()
    except PhenotypeError:
        return False
    return True


def _hint(text: str) -> str:
    opened, closed = text.count("("), text.count(")")
    if opened != closed:
        return f": it has {opened} '(' and {closed} ')'; brackets must come in pairs"
    return ""


def _check_ranges(text: str, terms: tuple[Term, ...]) -> None:
    """Refuse a product that reads as a range of columns, where neither column is there by itself."""
    alone = {term[0] for term in terms if len(term) == 1}
    for term in terms:
        if len(term) != 2 or not all(isinstance(factor, Column) for factor in term) or alone.intersection(term):
            continue
        first, last = (str(getattr(factor, "name", "")) for factor in term)
        match = RANGE.fullmatch(f"{first}:{last}")
        if match is None or int(match["first"]) == int(match["last"]):
            continue
        n = abs(int(match["last"]) - int(match["first"])) + 1
        prefix, low = match["prefix"], min(int(match["first"]), int(match["last"]))
        written = [f"{prefix}{low + i}" for i in range(n)] if n <= 4 else [first, f"{prefix}{low + 1}", "...", last]
        raise PhenotypeError(
            f"in the formula '{shown(text)}', '{first}:{last}' is the product of two columns. For the columns from {first} to "
            f'{last}, give a list: covariates=["{first}:{last}"], or write {" + ".join(written)} in a formula; for the product, '
            f"write {first}*{last} or I({first}*{last})"
        )


# Sentences ----------------------------------------------------------------------------------------------


class _Parser:
    """Recursive descent over the tokens of one formula."""

    def __init__(self, tokens: list[Token], text: str, columns: frozenset[str] = frozenset()) -> None:
        self.tokens, self.text, self.columns, self.at, self.depth = tokens, text, columns, 0, 0

    @property
    def now(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        token = self.now
        self.at += token.kind != "end"
        return token

    def takes(self, kind: str) -> bool:
        if self.now.kind != kind:
            return False
        self.take()
        return True

    def needs(self, kind: str, where: str) -> None:
        if not self.takes(kind):
            raise self.unexpected(f"'{kind}' {where} is missing")

    def unexpected(self, problem: str) -> PhenotypeError:
        token = self.now
        if token.kind == "end":
            return PhenotypeError(f"{problem}; the formula ends too early")
        return PhenotypeError(
            f"{problem}, at '{shown(self.text[token.start : token.start + 20])}' (character {token.start + 1})"
        )

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise PhenotypeError(f"its brackets, powers and signs go more than {MAX_DEPTH} deep")

    # A formula

    def formula(self) -> Node:
        self.takes("~")
        if self.now.kind == "end":
            raise PhenotypeError("it is empty; without covariates leave it out, or write 1")
        tree = self.sum()
        if self.now.kind == "end":
            return tree
        if self.now.kind == "~":
            raise PhenotypeError("it has a left side before '~'; give only the covariates, such as 'age + C(site)'")
        if self.now.kind == ",":
            raise PhenotypeError("it has a comma: give several covariates as a list, or join them with +")
        raise self.beside()

    def beside(self) -> PhenotypeError:
        token, before = self.now, self.tokens[self.at - 1]
        if token.kind == "/":
            return PhenotypeError("'/' is not allowed: write a + a:b for nested terms, I(a/b) for a quotient")
        if token.kind in ("name", "number", "text") and before.kind in ("name", "number"):
            both = self.text[before.start : token.stop]
            return PhenotypeError(
                f"'{shown(before.value)}' and '{shown(token.value)}' have no operator between them; if the name of a column contains "
                f"the blank, write it in backticks: {quoted(shown(both.strip('`')))}"
            )
        if token.kind == "(" and before.kind == "name":
            return PhenotypeError(f"'{before.value}' is not a function that is allowed here. {ALLOWED}")
        return self.unexpected("an operator or the end is expected")

    def sum(self) -> Node:
        sign = self.sign()
        parts = [(sign, self.crossing())]
        while self.now.kind in ("+", "-"):
            sign = self.sign()
            parts.append((sign, self.crossing()))
        return parts[0][1] if len(parts) == 1 and parts[0][0] > 0 else Sum(tuple(parts))

    def sign(self) -> int:
        """The sign of a part: +, - or none."""
        if self.takes("-"):
            return -1
        self.takes("+")
        return 1

    def crossing(self) -> Node:
        parts = [self.interaction()]
        while self.takes("*"):
            parts.append(self.interaction())
        return parts[0] if len(parts) == 1 else Crossing(tuple(parts))

    def interaction(self) -> Node:
        parts = [self.raised()]
        while self.takes(":"):
            parts.append(self.raised())
        return parts[0] if len(parts) == 1 else Interaction(tuple(parts))

    def raised(self) -> Node:
        base = self.factor()
        if not self.takes("**"):
            return base
        token = self.take()
        if token.kind != "number" or not token.value.isdigit() or not 1 <= int(token.value[:6]) <= MAX_POWER:
            raise PhenotypeError(
                f"the power '{shown(token.value)}' is not a whole number from 1 to {MAX_POWER}; write arithmetic in I(): I(age**2)"
            )
        if self.now.kind == "**":
            raise self.unexpected("a power of a power is ambiguous")
        return Raised(base, int(token.value))

    def factor(self) -> Node:
        token = self.now
        if token.kind == "name":
            self.take()
            if token.value == "." and not token.quoted:
                raise PhenotypeError("'.' is not allowed: name the columns that are meant")
            return self.call(token) if self.now.kind == "(" and not token.quoted else Column(token.value)
        if token.kind == "number":
            if token.value not in ("0", "1"):
                raise PhenotypeError(
                    f"the number {token.value} is not a covariate; outside I() only 0 and 1 are allowed, for the intercept. Write a "
                    f"column of that name as {quoted(token.value)}, and arithmetic in I(): I(2*age)"
                )
            if token.value in self.columns:
                raise PhenotypeError(
                    f"{token.value} means the intercept, but is also a column: leave it out, or write {quoted(token.value)} for the column"
                )
            self.take()
            return Number(float(token.value))
        if self.takes("("):
            self.deeper()
            inner = self.sum()
            self.needs(")", "after a bracket")
            self.depth -= 1
            return inner
        self.refuse_text(token)
        raise self.unexpected("a covariate is missing")

    def refuse_text(self, token: Token) -> None:
        """A text in quotes is no column, wherever a value may stand."""
        if token.kind == "text":
            raise PhenotypeError(
                f"'{shown(token.value)}' is a text; a column's name stands in backticks: {quoted(token.value)}"
            )

    def call(self, token: Token) -> Call:
        """A function and its arguments; the name has been read."""
        name = token.value
        if name not in FUNCTIONS:
            raise PhenotypeError(f"{_unknown_function(name)} {ALLOWED}")
        self.needs("(", f"of {name}")
        self.deeper()
        argument: Node
        if name == "C":
            column = self.take()
            if column.kind != "name" or self.now.kind not in (",", ")"):
                raise PhenotypeError("C() takes the name of a column, and a reference level: C(site, ref='B')")
            argument = Column(column.value)
        elif self.now.kind == ")":
            raise PhenotypeError(f"{name}() needs a column: {name}(age)")
        else:
            argument = self.arithmetic()
        options = self.options(name)
        if self.now.kind != ")" and self.now.kind != "end":
            raise self.not_arithmetic(name)
        self.needs(")", f"of {name}()")
        self.depth -= 1
        return Call(name, argument, options)

    def not_arithmetic(self, name: str) -> PhenotypeError:
        if self.now.kind == ":":
            return PhenotypeError(f"':' in {name}() is not arithmetic; write a product of numbers with *")
        if self.now.kind in ("name", "number", "text"):
            return self.beside()
        return self.unexpected(
            f"the content of {name}() is not understood. Allowed are columns, numbers and + - * / **"
        )

    # Options

    def options(self, name: str) -> tuple[tuple[str, float | str | bool | tuple[float, ...]], ...]:
        values: dict[str, float | str | bool | tuple[float, ...]] = {}
        value: float | str | bool | tuple[float, ...]
        while self.takes(","):
            key = None
            if self.now.kind == "name" and self.tokens[self.at + 1].kind == "=":
                key = self.take().value
                self.take()
            if name == "C":
                if key is not None and key not in _REFERENCE and key != "contr":
                    raise PhenotypeError(f"C() has no option '{key}'; the reference level is ref='B'")
                key, value = "ref", self.reference()
            else:
                key = self.option_name(name, key, len(values))
                value = self.option_value(name, key)
            if key in values:
                raise PhenotypeError(f"{name}() has the option '{key}' twice")
            values[key] = value
        if name in BASES and name != "poly" and "df" in values and "knots" in values:
            raise PhenotypeError(f"{name}() takes df or knots, not both")
        return tuple(values.items())

    def option_name(self, function: str, key: str | None, n: int) -> str:
        known = _OPTIONS.get(function, ())
        if not known:
            raise PhenotypeError(f"{function}() takes one argument and no option")
        if key is None:
            if n == 0:
                return known[0]
            raise PhenotypeError(
                f"{function}() takes one argument without a name; options need names: {', '.join(known)}"
            )
        if key not in known:
            why = " (the intercept is always in the model)" if "intercept" in key else ""
            raise PhenotypeError(f"{function}() has no option '{key}'{why}; it has {', '.join(known)}")
        return key

    def option_value(self, function: str, key: str) -> float | bool | tuple[float, ...]:
        if key == "raw":
            token = self.take()
            if token.kind != "name" or token.value not in _TRUTH:
                raise PhenotypeError("raw= of poly() must be True or False")
            return _TRUTH[token.value]
        if key == "knots":
            return self.knots(function)
        value = self.number(f"{key} of {function}()")
        if not value.is_integer() or not 1 <= value <= _LARGEST[key]:
            raise PhenotypeError(
                f"{key} of {function}() must be a whole number from 1 to {_LARGEST[key]}, not {value:g}"
            )
        return value

    def knots(self, function: str) -> tuple[float, ...]:
        closing = "]" if self.now.kind == "[" else ")"
        if self.now.kind == "name" and self.now.value == "c":
            self.take()
        if self.now.kind not in ("[", "("):
            return (self.number(f"knots of {function}()"),)
        self.take()
        places = [self.number(f"knots of {function}()")]
        while self.takes(",") and self.now.kind != closing:
            places.append(self.number(f"knots of {function}()"))
        self.needs(closing, f"after the knots of {function}()")
        if any(later <= earlier for earlier, later in pairwise(places)):
            raise PhenotypeError(f"the knots of {function}() are not in increasing order")
        if len(places) > _LARGEST["df"]:
            raise PhenotypeError(f"{function}() has {len(places)} knots; at most {_LARGEST['df']} are allowed")
        return tuple(places)

    def number(self, role: str) -> float:
        sign = -1.0 if self.takes("-") else 1.0
        if self.now.kind != "number":
            raise self.unexpected(f"{role} must be a number")
        return sign * _number(self.take())

    def reference(self) -> str | float:
        """The reference level of C(): a text, a number, or either in Treatment()."""
        token = self.now
        if token.kind == "name" and token.value in _TREATMENT and not token.quoted:
            self.take()
            self.needs("(", f"of {token.value}")
            self.deeper()
            if self.now.kind == "name" and self.tokens[self.at + 1].kind == "=":
                key = self.take().value
                if key not in _REFERENCE:
                    raise PhenotypeError(f"{token.value}() has no option '{key}'; its reference is {token.value}('B')")
                self.take()
            value = self.reference()
            self.needs(")", f"of {token.value}")
            self.depth -= 1
            return value
        if token.kind == "text":
            return self.take().value
        if token.kind in ("number", "-"):
            return self.number("the reference level of C()")
        if token.kind == "name":
            raise PhenotypeError(
                f"'{token.value}' in C() is not a reference level: write it in quotes, C(site, ref='{token.value}'). Contrasts other "
                "than to a reference level span the same space and are not supported"
            )
        raise self.unexpected("the reference level of C() must be a text in quotes or a number")

    # Arithmetic

    def arithmetic(self) -> Node:
        parts = [(1, self.product())]
        while self.now.kind in ("+", "-"):
            sign = self.sign()
            parts.append((sign, self.product()))
        return parts[0][1] if len(parts) == 1 else Sum(tuple(parts))

    def product(self) -> Node:
        parts = [("*", self.signed())]
        while self.now.kind in ("*", "/"):
            sign = self.take().kind
            parts.append((sign, self.signed()))
        return parts[0][1] if len(parts) == 1 else Product(tuple(parts))

    def signed(self) -> Node:
        if self.now.kind not in ("+", "-"):
            return self.power()
        sign = self.sign()
        self.deeper()
        inner = self.signed()
        self.depth -= 1
        return inner if sign > 0 else Sum(((-1, inner),))

    def power(self) -> Node:
        base = self.operand()
        if not self.takes("**"):
            return base
        self.deeper()
        exponent = self.signed()
        self.depth -= 1
        return Power(base, exponent)

    def operand(self) -> Node:
        token = self.now
        if token.kind == "name":
            self.take()
            if self.now.kind != "(" or token.quoted:
                return Column(token.value)
            if token.value in BASES or token.value == "C":
                raise PhenotypeError(f"{token.value}() makes several columns and cannot be used in arithmetic")
            return self.call(token)
        if token.kind == "number":
            return Number(_number(self.take()))
        if self.takes("("):
            self.deeper()
            inner = self.arithmetic()
            if self.now.kind not in (")", "end"):
                raise self.not_arithmetic("a bracket")
            self.needs(")", "after a bracket")
            self.depth -= 1
            return inner
        self.refuse_text(token)
        raise self.unexpected("a column or a number is missing")


def _number(token: Token) -> float:
    value = float(token.value)
    if value in (float("inf"), 0.0) and re.search("[1-9]", re.split("[eE]", token.value)[0]):
        raise PhenotypeError(f"the number {shown(token.value)} is outside the range of a double")
    return value


def _unknown_function(name: str) -> str:
    if name in _INSTEAD:
        return f"'{name}()' is not allowed: write {_INSTEAD[name]}."
    close = get_close_matches(name.split(".")[-1], FUNCTIONS, n=2, cutoff=0.6)
    hint = f" Did you mean {' or '.join(f'{found}()' for found in close)}?" if close else ""
    return f"'{shown(name)}()' is not allowed.{hint}"
