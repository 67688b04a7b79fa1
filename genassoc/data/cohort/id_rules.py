"""Rules for matching sample ids of two files: they undo what programs do to ids, and are applied only on request."""

import difflib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from genassoc.errors import InputError, SampleMismatchError

_SEPARATORS = "_:-./| "
_SPLIT = re.compile(f"[{re.escape(_SEPARATORS)}]")
_LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
_TRAILING_DECIMAL = re.compile(r"\.0+$")
_NOT_WORD = re.compile(r"[^0-9A-Za-z]+")
_LEADING_LETTERS = re.compile(r"^[A-Za-z]+(?=\d)")
_UNSEEN = "\u200b\u200c\u200d\u2060\ufeff\u00ad"  # zero-width characters, which editors and spreadsheets leave behind

Key = Callable[[str], str]


def _trimmed(text: str) -> str:
    """Without white space at the ends and without invisible characters."""
    return "".join(c for c in text if c not in _UNSEEN).strip()


def _halved(text: str) -> str:
    """ "A_A" -> "A": PLINK joins FID and IID when it writes VCF."""
    middle = len(text) // 2
    if len(text) % 2 and text[middle] in _SEPARATORS and text[:middle] == text[middle + 1 :]:
        return text[:middle]
    return text


def _after_first(text: str) -> str:
    return _SPLIT.split(text, maxsplit=1)[-1] or text


def _iid(text: str) -> str:
    halved = _halved(text)
    return _after_first(text) if halved == text else halved


def _before_last(text: str) -> str:
    cut = max(text.rfind(mark) for mark in _SEPARATORS)
    return text[:cut] if cut > 0 else text


def _before_first(text: str) -> str:
    return _SPLIT.split(text, maxsplit=1)[0] or text


def _after_last(text: str) -> str:
    return text[max(text.rfind(mark) for mark in _SEPARATORS) + 1 :] or text


def _letters(text: str) -> str:
    return _LEADING_ZEROS.sub("", _LEADING_LETTERS.sub("", text))


@dataclass(frozen=True)
class IdRule:
    """How ids are changed before they are compared.

    Attributes
    ----------
    words : str
        The rule in words.
    key : callable
        Changes an id.
    one_side : bool
        Only the ids of one file are changed: of the file for which more ids then match, or of the genotypes if both match alike.
    """

    words: str
    key: Key
    one_side: bool = False


RULES: Mapping[str, IdRule] = {
    "exact": IdRule("as they are", lambda text: text),
    "trim": IdRule("without blanks at the ends, and without invisible characters", _trimmed),
    "blanks": IdRule("without any blanks", lambda text: "".join(_trimmed(text).split())),
    "nfc": IdRule("accents as one character each (Unicode NFC)", lambda text: unicodedata.normalize("NFC", text)),
    "nfkc": IdRule(
        "wide and joined characters as plain ones (Unicode NFKC)", lambda t: unicodedata.normalize("NFKC", t)
    ),
    "casefold": IdRule("letter case ignored", str.casefold),
    "strip_zeros": IdRule("without leading zeros of numbers", lambda text: _LEADING_ZEROS.sub("", text)),
    "decimal": IdRule("without '.0' at the end", lambda text: _TRAILING_DECIMAL.sub("", text)),
    "halve": IdRule("a doubled A_A halved", _halved, True),
    "iid": IdRule("FID_IID cut to IID: a doubled A_A halved, else what follows the first separator", _iid, True),
    "iid_last": IdRule("FID_IID cut to IID: what follows the last separator", _after_last, True),
    "fid_iid": IdRule("the phenotypes' FID and IID joined by '_'", lambda text: text),
    "before_first": IdRule("cut at the first separator", _before_first, True),
    "before_last": IdRule("cut at the last separator", _before_last, True),
    "punctuation": IdRule("'-', '.', '_' and blanks treated as equal", lambda text: _NOT_WORD.sub("_", text)),
    "no_punctuation": IdRule("only letters and digits compared", lambda text: _NOT_WORD.sub("", text)),
    "upper": IdRule("in capitals", str.upper),
    "lower": IdRule("in small letters", str.lower),
    "letters": IdRule("without letters before a number, and without leading zeros", _letters),
}


_SPLIT_RULE = re.compile(r"split:([^+]+?):(-?[0-9]{1,3})")


def _split_rule(mark: str, number: int) -> IdRule:
    """The piece ``number`` (from 1; from the end where negative) of an id cut at a mark; an id without such a piece is left."""

    def key(text: str) -> str:
        pieces = text.split(mark)
        at = number - 1 if number > 0 else number
        return pieces[at] if number and -len(pieces) <= at < len(pieces) and pieces[at] else text

    which = f"piece {number}" if number > 0 else f"piece {-number} from the end"
    return IdRule(f"cut at '{mark}', {which}", key, True)


def rule_named(name: str) -> IdRule | None:
    """One rule: a name of `RULES`, or "split:MARK:N"; None where there is none."""
    if match := _SPLIT_RULE.fullmatch(name):
        return _split_rule(match[1], int(match[2])) if int(match[2]) else None
    return RULES.get(name)


@dataclass(frozen=True)
class Rules:
    """Rules joined by "+", one after another.

    Attributes
    ----------
    names : tuple of str
    """

    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str | None) -> "Rules":
        """Read "exact", "iid", "iid+casefold", ...; None is "exact".

        Raises
        ------
        InputError
            There is no such rule (the message lists all rules).
        """
        names = tuple(name.strip() for name in str(text or "exact").split("+"))
        for name in names:
            if rule_named(name) is None:
                close = difflib.get_close_matches(name, RULES, n=1)
                meant = f" (did you mean '{close[0]}'?)" if close else ""
                raise InputError(
                    f"id_rule = {text!r}: there is no rule '{name}'{meant}; the rules are {', '.join(RULES)}, and split:MARK:N (piece N "
                    "of an id cut at MARK)"
                )
        return cls(tuple(name for name in dict.fromkeys(names) if name != "exact"))

    def __str__(self) -> str:
        return "+".join(self.names) or "exact"

    @cached_property
    def each(self) -> list[IdRule]:
        """The rules, one after another."""
        return [rule for name in self.names if (rule := rule_named(name)) is not None]

    @property
    def words(self) -> str:
        """The rules in words."""
        return ", then ".join(rule.words for rule in self.each) or RULES["exact"].words

    @property
    def exact(self) -> bool:
        """Whether ids are compared as they are."""
        return not self.names

    @property
    def joins_family(self) -> bool:
        """Whether the phenotypes' ids are FID and IID joined."""
        return "fid_iid" in self.names

    def key(self, text: str, *, cut: bool) -> str:
        """The key by which an id is compared; ``cut``: whether one-sided rules apply to this side."""
        for rule in self.each:
            if cut or not rule.one_side:
                text = rule.key(text)
        return text

    def keys(self, genotype_ids: Sequence[str], other_ids: Sequence[str]) -> tuple[list[str], list[str], str]:
        """Keys of the ids of both files, and the side that one-sided rules were applied to: "genotypes" or "phenotypes".

        See `unique` for ids that these rules make one.
        """
        ways = []
        for side in ("genotypes", "phenotypes") if any(rule.one_side for rule in self.each) else ("genotypes",):
            ours = [self.key(name, cut=side == "genotypes") for name in genotype_ids]
            theirs = [self.key(name, cut=side == "phenotypes") for name in other_ids]
            ways.append((len(set(ours) & set(theirs)), ours, theirs, side))
        _, ours, theirs, side = max(ways, key=lambda way: way[0])
        return ours, theirs, side


EXACT = Rules(())


def unique(keys: Sequence[str], names: Sequence[str], rules: Rules, source: str) -> None:
    """Refuse rules that make two ids of one file equal.

    Raises
    ------
    SampleMismatchError
        Names them.
    """
    if len(set(keys)) == len(keys):
        return
    by_key: dict[str, list[str]] = {}
    for key, name in zip(keys, names):
        by_key.setdefault(key, []).append(name)
    several = [(key, ids) for key, ids in by_key.items() if len(ids) > 1]
    shown = "; ".join(f"{' and '.join(map(repr, ids[:3]))} become '{key}'" for key, ids in several[:3])
    more = f", and {len(several) - 3} more" if len(several) > 3 else ""
    raise SampleMismatchError(
        f"id_rule = '{rules}' makes different ids of {source} equal, so that samples cannot be told apart: "
        f"{shown}{more}. Choose another rule, or write the ids in the same way in both files"
    )
