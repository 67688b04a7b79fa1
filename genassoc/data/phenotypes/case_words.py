"""Words that say "control" or "case": a closed table of five languages, and the two values of an arm or of sex.

Words are compared without letter case, accents and punctuation (`plain_word`). Nothing here looks at the alphabet, and codes of
sex are no cases: of M and F neither is known.
"""

import re
import unicodedata
from typing import Literal

from genassoc.data.phenotypes.number_spellings import looks_missing

Meaning = Literal["control", "case"]

# Each of these decides alone who is a control, or a case, whatever the other word is.
_CONTROLS = """
    control controls healthy unaffected normal nonaffected noncase noncases disease-free undiseased
    temoin temoins sain saine sains saines indemne indemnes
    kontrolle kontrollen gesund gesunde gesunder kontrollperson kontrollpersonen
    controles sano sana sanos sanas
    controllo controlli sani sane
"""
_CASES = """
    case cases affected diseased sick ill patient patients
    malade malades atteint atteinte atteints atteintes
    krank kranke kranker erkrankt erkrankte betroffen betroffene betroffener
    enfermo enferma enfermos enfermas afectado afectada afectados afectadas
    malato malata malati malate affetto affetta affetti affette
"""
# These decide only beside each other: "no" and "T2D", or "Fall" and "Spring", decide nothing.
_PAIRS = """
    no:yes n:y non:oui nein:ja n:j no:si
    false:true f:t faux:vrai falsch:wahr falso:verdadero falso:vero
    negative:positive neg:pos negatif:positif negative:positive negativ:positiv negativo:positivo
    absent:present absente:presente abwesend:anwesend ausente:presente assente:presente
    never:ever none:any jamais:deja nie:jemals nunca:alguna vez mai:qualche volta
    alive:dead alive:deceased survived:died living:dead survivor:nonsurvivor
    vivant:decede vivante:decedee vivant:mort lebend:tot lebend:verstorben lebt:verstorben vivo:muerto vivo:fallecido
    viva:fallecida vivo:morto vivo:deceduto viva:deceduta
    kontrolle:fall kontrollen:falle kontrolle:falle temoin:cas temoins:cas control:caso controles:casos
    controllo:caso controlli:casi sano:caso sana:caso sain:cas gesund:fall
    nonresponder:responder nonrepondeur:repondeur nonrespondeur:respondeur nonresponder:ansprechend
    norespondedor:respondedor nonrisponditore:risponditore nonresponsive:responsive
    unexposed:exposed unvaccinated:vaccinated unmedicated:medicated untreated:treated uninfected:infected
    censored:event censored:failure censure:evenement zensiert:ereignis censurado:evento censurato:evento
"""
# Words for the reference arm.
_REFERENCE_ARMS = """
    placebo control controls controlarm comparator sham untreated usualcare standardofcare soc standard vehicle nodrug notreatment
    temoin temoins nontraite kontrolle kontrollen unbehandelt scheinmedikament sintratamiento notratado controllo nontrattato
"""
# Before a word they mean its opposite; "un" only before a known word ("unstable" is not "without stable").
_NEGATIONS = (
    "non", "not", "nota", "no", "un", "without", "nicht", "kein", "keine", "keinen", "ohne", "pas", "pasde", "aucun", "aucune",
    "sans", "sin", "senza", "nessun", "nessuna",
)  # fmt: skip


def plain_word(text: str) -> str:
    """A word without letter case, accents, blanks and punctuation: "Non-Répondeur " -> "nonrepondeur"."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(mark for mark in decomposed if mark.isalnum()).casefold()


def plain_spelling(text: str) -> str:
    """A text without letter case, accents and doubled blanks; punctuation stays: "A+" is not "A-"."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(mark for mark in decomposed if not unicodedata.combining(mark)).split())


_STRONG: dict[str, Meaning] = {plain_word(word): "control" for word in _CONTROLS.split()}
_STRONG |= {plain_word(word): "case" for word in _CASES.split()}


def _pairs() -> frozenset[tuple[str, str]]:
    pairs = re.findall(r"([^\s:]+):((?:alguna vez|qualche volta)|[^\s:]+)", _PAIRS)
    return frozenset((plain_word(control), plain_word(case)) for control, case in pairs)


PAIRS = _pairs()
_WEAK: dict[str, set[Meaning]] = {}
for _control, _case in PAIRS:
    _WEAK.setdefault(_control, set()).add("control")
    _WEAK.setdefault(_case, set()).add("case")
_ARMS = frozenset(plain_word(word) for word in _REFERENCE_ARMS.split())


def meanings(word: str) -> set[Meaning]:
    """Meanings that a word may have: none, "control", "case", or both (as "n" in two languages)."""
    plain = plain_word(word)
    strong = _strong(plain)
    return {strong} if strong is not None else _WEAK.get(plain, set())


def _strong(plain: str) -> Meaning | None:
    """The meaning of a word itself, or of the word that it negates: "unhealthy" is a case, "non atteint" a control."""
    if plain in _STRONG:
        return _STRONG[plain]
    for rest in _negated(plain):
        if rest in _STRONG:
            return "control" if _STRONG[rest] == "case" else "case"
    return None


def _negated(plain: str) -> list[str]:
    """The words that a word may negate."""
    return [plain.removeprefix(mark) for mark in _NEGATIONS if plain.startswith(mark) and plain != mark]


def _is_negation(text: str) -> bool:
    """Whether a text begins with a word that negates: "not examined", "no data"."""
    first, *rest = re.split(r"[\W_]+", text.strip())
    return bool(rest) and plain_word(first) in _NEGATIONS


def control_and_case(first: str, second: str) -> tuple[str, str] | None:
    """Two words as (control, case); None if they do not show which is which.

    They do if they are a pair of the table ("non" and "oui"), a word and its negation ("responder" and "non-responder", but
    "unhealthy" is the case beside "healthy"), or one word that is clear by itself and one without the same meaning
    ("temoin" and "T2D").
    """
    one, two = plain_word(first), plain_word(second)
    if one == two:
        return None
    orders = ((first, second, one, two), (second, first, two, one))
    for control, case, low, high in orders:
        if (low, high) in PAIRS:
            return control, case
    for negation, word, low, high in orders:
        if high in _negated(low):
            meaning = meanings(word)
            if meaning == {"control"}:
                return word, negation  # what is not healthy is the case
            return None if not meaning and low == f"un{high}" else (negation, word)
    if looks_missing(first) or looks_missing(second):
        return None  # "malade" beside "N/A" does not show the controls
    clear: set[tuple[str, str]] = set()
    for control, case, low, high in orders:
        if _strong(low) == "control" and "control" not in meanings(case) and not _says_nothing(case):
            clear.add((control, case))
        if _strong(high) == "case" and "case" not in meanings(control) and not _says_nothing(control):
            clear.add((control, case))
    return clear.pop() if len(clear) == 1 else None


def _says_nothing(word: str) -> bool:
    """Whether a word is a negation without a known meaning: "not examined" beside "healthy" is no case."""
    return _is_negation(word) and not meanings(word)


def why_unclear(first: str, second: str) -> str:
    """Why two words do not say which of them is the case."""
    missing = [word for word in (first, second) if looks_missing(word)]
    if missing:
        return f"{missing[0]} looks like a missing value, and without it there is only one value"
    both = meanings(first) & meanings(second)
    if both:
        return f"both mean {' or '.join(sorted(both))}"
    if not meanings(first) and not meanings(second):
        return "neither is a known word for it (control, case, affected, healthy, yes, no, ... in five languages)"
    return "they are not a known pair of words"


def reference_and_other(first: str, second: str) -> tuple[str, str] | None:
    """Two arms as (reference, other): "placebo" and "drug"; None if the words do not show which is the reference."""
    if looks_missing(first) or looks_missing(second):
        return control_and_case(first, second)
    known = [plain_word(word) in _ARMS for word in (first, second)]
    if known == [True, False]:
        return first, second
    if known == [False, True]:
        return second, first
    return control_and_case(first, second)
