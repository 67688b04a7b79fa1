"""The words of a formula of covariates: names, numbers, texts and signs. Anything else is refused, and named."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from genassoc.data.phenotypes.formula import FUNCTIONS, quoted
from genassoc.errors import PhenotypeError

ALLOWED = (
    "A formula holds columns (any name in backticks), + - : * ** ( ) 0 1, C(), I() of arithmetic, and the functions "
    + ", ".join(FUNCTIONS[2:])
)
_NUMBER = re.compile(r"([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_LONGEST_NAME = 1_000
_SIGNS = "+-*/:^(),=~[]"
_COMPARED = " (for a comparison, make a column in the table)"
_MEANT = {
    "<": _COMPARED, ">": _COMPARED, "=": _COMPARED, "!": _COMPARED, "%": " (a %in% b is a:b here)",
    "|": " (groups of a mixed model are no covariates)", "\u2212": " (write -)", "\u2013": " (write -)", "\u2014": " (write -)",
    "\u00d7": " (write *)", "\u2019": " (write ')", "\u2018": " (write ')", "\u201c": ' (write ")', "\u201d": ' (write ")',
}  # fmt: skip


@dataclass(frozen=True)
class Token:
    """A word: its place in the text is from ``start`` to ``stop``.

    Attributes
    ----------
    kind : str
        "name", "number", "text", "end", or the sign itself.
    value : str
    start, stop : int
    quoted : bool
        Whether a name was in backticks.
    """

    kind: str
    value: str
    start: int
    stop: int
    quoted: bool = False


def shown(text: str) -> str:
    """A text for messages: on one line, without control characters, not too long."""
    plain = "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text.strip())
    return plain if len(plain) <= 300 else f"{plain[:297]}..."


def _is_name(letter: str) -> bool:
    return letter.isalnum() or letter in "._" or unicodedata.category(letter).startswith("M")


def _word_end(text: str, at: int) -> int:
    while at < len(text) and _is_name(text[at]):
        at += 1
    return at


def tokens_of(text: str, columns: Sequence[str], is_formula: Callable[[list[Token], str], bool]) -> list[Token]:
    """The words of a formula. A name of a column that holds signs or blanks is one word where nothing else can be meant.

    Parameters
    ----------
    text : str
    columns : sequence of str
        Names of the table's columns.
    is_formula : callable
        Whether the words of a text, and the text, are a formula.

    Raises
    ------
    PhenotypeError
        A sign is not allowed; a quotation mark is not closed; a column's name can be read as a formula too.
    """
    names = frozenset(columns)
    odd = _odd_spellings(names)
    lengths = sorted({len(name) for name in odd}, reverse=True)
    spelt: dict[str, list[str]] = {}
    for name in names:
        spelt.setdefault(unicodedata.normalize("NFC", name), []).append(name)
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        token = None
        if not tokens or tokens[-1].kind not in ("name", "number", "text", ")", "]"):
            written = next((text[at : at + n] for n in lengths if _stands_here(text, at, n, odd)), None)
            if written is not None:
                _check_one_reading(written, names, is_formula)
                token = Token("name", odd[written], at, at + len(written))
        if token is None:
            token = _token_at(text, at)
        if token.kind == "name" and token.value not in names:
            alike = spelt.get(unicodedata.normalize("NFC", token.value), [])
            if len(alike) == 1:  # the same letters, composed otherwise
                token = replace(token, value=alike[0])
        tokens.append(token)
        at = token.stop
    return [*tokens, Token("end", "", len(text), len(text))]


def _is_odd(name: str) -> bool:
    """Whether a column's name holds more than a name's letters; those that begin with a sign or a blank need backticks."""
    return bool(name) and name[0] not in _SIGNS + "`'\" " and not all(_is_name(letter) for letter in name)


def _odd_spellings(names: frozenset[str]) -> dict[str, str]:
    """Spellings of the odd names (`_is_odd`), their accents composed or not, each with the column that it is."""
    odd = [name for name in names if _is_odd(name)]
    alike = [(unicodedata.normalize(form, name), name) for name in sorted(odd) for form in ("NFC", "NFD")]
    return dict(alike) | {name: name for name in odd}


def _stands_here(text: str, at: int, n: int, odd: Mapping[str, str]) -> bool:
    """Whether a column's name of n letters stands here, with nothing behind it that could go on with it."""
    name = text[at : at + n]
    if name not in odd or (at + n < len(text) and _is_name(text[at + n]) and _is_name(name[-1])):
        return False
    behind = text[at + n :].lstrip()
    return not behind or behind[0] in "+-*:^),/=]"


def _check_one_reading(name: str, names: frozenset[str], is_formula: Callable[[list[Token], str], bool]) -> None:
    """Refuse a column's name that is a formula of other columns too."""
    words: list[Token] = []
    at = 0
    try:
        while at < len(name):
            if name[at].isspace():
                at += 1
                continue
            words.append(_token_at(name, at))
            at = words[-1].stop
    except PhenotypeError:
        return
    words.append(Token("end", "", len(name), len(name)))
    known = (
        token.value in names or after.kind in ("(", "=") for token, after in pairwise(words) if token.kind == "name"
    )
    if all(known) and is_formula(words, name):
        raise PhenotypeError(
            f"'{shown(name)}' is a column, and also a formula of other columns: write {quoted(shown(name))} for the "
            "column; for the formula, put blanks around the operators, or add brackets"
        )


def _token_at(text: str, at: int) -> Token:
    letter = text[at]
    if letter == "`":
        return _backticks(text, at)
    if letter in "'\"":
        stop = text.find(letter, at + 1)
        if stop < 0:
            raise PhenotypeError(f"a quotation mark ({letter}) is not closed")
        return Token("text", text[at + 1 : stop], at, stop + 1)
    number = _NUMBER.match(text, at)
    if number is not None and (number.end() == len(text) or not _is_name(text[number.end()])):
        return Token("number", number[0], at, number.end())
    if _is_name(letter):
        stop = _word_end(text, at)
        if stop - at > _LONGEST_NAME:
            raise PhenotypeError(f"a name of {stop - at:,} characters is too long for a column")
        return Token("name", text[at:stop], at, stop)
    for sign in ("**", "//", "==", "!=", "<=", ">=", "&&", "||", ":="):
        if text.startswith(sign, at):
            if sign == "**":
                return Token("**", sign, at, at + 2)
            raise PhenotypeError(f"'{sign}' is not allowed{_MEANT.get(sign[0], '')}. {ALLOWED}")
    if letter == "^":
        return Token("**", letter, at, at + 1)
    if letter in _SIGNS:
        return Token(letter, letter, at, at + 1)
    raise PhenotypeError(f"{_strange(text, at)} is not allowed{_MEANT.get(letter, '')}. {ALLOWED}")


def _backticks(text: str, at: int) -> Token:
    parts, start = [], at + 1
    while True:
        stop = text.find("`", start)
        if stop < 0:
            raise PhenotypeError("a quotation mark (`) is not closed")
        parts.append(text[start:stop])
        if text[stop : stop + 2] != "``":
            break
        start = stop + 2
    name = "`".join(parts)
    if len(name) > _LONGEST_NAME:
        raise PhenotypeError(f"a name of {len(name):,} characters is too long for a column")
    if not name.strip():
        raise PhenotypeError("there is no name between two backticks")
    return Token("name", name, at, stop + 1, quoted=True)


def _strange(text: str, at: int) -> str:
    letter = text[at]
    if letter == "%":
        word = re.match(r"%[^%\s]{0,10}%", text[at:])
        return f"'{word[0] if word else letter}'"
    if letter.isascii() and letter.isprintable():
        return f"'{letter}'"
    name = unicodedata.name(letter, "no name")
    return f"the character U+{ord(letter):04X} ({name})"
