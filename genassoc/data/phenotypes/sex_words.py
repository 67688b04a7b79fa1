"""Words and letters for male and female in five languages. Letters mean something beside each other only: M is mujer beside H."""

import re

from genassoc.data.phenotypes.case_words import plain_word

MALE, FEMALE, UNKNOWN = 1, 2, 0

_MALE = """
    1 male males man men boy homme hommes masculin garcon mann manner mannlich junge hombre hombres masculino varon maschio
    maschile uomo
"""
_FEMALE = """
    2 female females woman women girl femme femmes feminin feminine fille frau frauen weiblich madchen mujer mujeres femenino
    femenina hembra femmina femminile donna
"""
_UNKNOWN = "0 unknown na inconnu inconnue unbekannt desconocido sconosciuto"
# (male, female) of the letters that occur; the first pair that holds them all is meant.
_LETTERS = (("m", "f"), ("h", "f"), ("m", "w"), ("h", "m"), ("v", "m"), ("v", "h"), ("u", "d"))
_SPANISH = {"hombre", "hombres", "varon", "mujer", "mujeres"}  # beside one of them M alone may be mujer
# "masculino" and "femminile" are of two languages each, and mean the same in both.
WORDS: dict[str, int] = {plain_word(word): MALE for word in _MALE.split()}
WORDS |= {plain_word(word): FEMALE for word in _FEMALE.split()}
WORDS |= {plain_word(word): UNKNOWN for word in _UNKNOWN.split()}


def sex_meaning(values: set[str]) -> dict[str, int]:
    """What each of a column's values means: 1 male, 2 female, 0 unknown; values that are not understood are absent.

    A letter alone is M or H for male and F or W for female; a mixture of letters that is no pair is not understood. Numbers
    and doubts are taken as they are written: -1 is not 1, and "F?" not F.
    """
    words = {value: _word(value) for value in values}
    letters = set(words.values()) & {letter for pair in _LETTERS for letter in pair}
    pair = next((pair for pair in _LETTERS if letters <= set(pair)), None)
    if letters == {"h"}:
        pair = ("h", "f")
    elif letters in ({"v"}, {"u"}, {"d"}) or (letters == {"m"} and _SPANISH & set(words.values())):
        pair = None
    own = {} if pair is None else {pair[0]: MALE, pair[1]: FEMALE}
    known = {**WORDS, **own}
    return {value: known[word] for value, word in words.items() if word in known}


def _word(value: str) -> str:
    return value.strip() if re.search(r"\d|\?", value) else plain_word(value)


def are_sexes(first: str, second: str) -> tuple[str, str] | None:
    """Two values as (male, female), if that is what they are and they are no numbers."""
    if first.isdigit() or second.isdigit():
        return None
    found = sex_meaning({first, second})
    by_sex = {sex: value for value, sex in found.items()}
    return (by_sex[MALE], by_sex[FEMALE]) if set(by_sex) == {MALE, FEMALE} else None
