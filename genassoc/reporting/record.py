"""Reading the record of a run: it may be a stranger's, of another version, or absent, so that nothing in it is taken for granted."""

from collections.abc import Mapping

from genassoc.reporting.facts import Facts
from genassoc.reporting.words import Words

Record = Mapping[str, object]
_LONGEST = 2000  # letters of a value: a formula, or a list of many traits


def part(record: object, *path: str) -> Record:
    """A mapping inside the record; empty where there is none."""
    for name in path:
        record = record.get(name) if isinstance(record, Mapping) else None
    return record if isinstance(record, Mapping) else {}


def items(record: Record, name: str) -> list[object]:
    """A list in the record; empty where there is none."""
    found = record.get(name)
    return list(found) if isinstance(found, list | tuple) else []


def whole(record: Record, name: str) -> int | None:
    """A whole number in the record."""
    found = record.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def text(record: Record, name: str) -> str | None:
    """A text in the record."""
    found = record.get(name)
    return found if isinstance(found, str) and found else None


def notes(facts: Facts) -> list[str]:
    """What the run noted, as it wrote it."""
    return [note for note in items(facts.record, "notes") if isinstance(note, str)]


def choices(facts: Facts) -> Record:
    """The choices of the model."""
    return part(facts.record, "parameters", "model")


def names(value: object) -> list[str]:
    """Names of traits or covariates, of which a formula is one."""
    if isinstance(value, str):
        return [value]
    return [str(name) for name in value] if isinstance(value, list | tuple) else []


def said(words: Words, value: object) -> str:
    """A choice for people."""
    if value is None or value == [] or value == ():
        return words("none")
    if isinstance(value, bool):
        return words("yes" if value else "no")
    if isinstance(value, float):
        return words.decimal(value)
    if isinstance(value, list | tuple):
        shown = ", ".join(said(words, item) for item in value)
    elif isinstance(value, Mapping):
        shown = "; ".join(f"{name} = {said(words, item)}" for name, item in value.items())
    else:
        shown = str(value)
    return shown if len(shown) <= _LONGEST else shown[:_LONGEST] + "…"


def kind_of(facts: Facts) -> str:
    """The model's kind, "matched" where a logistic model has matched sets; "unknown" without a record."""
    asked = choices(facts)
    kind = asked.get("kind")
    if kind == "logistic" and asked.get("matched"):
        return "matched"
    return str(kind) if isinstance(kind, str) else "unknown"


def reason(words: Words, name: str) -> str:
    """Why samples or variants were left out, in words."""
    return words.named("reason", name)


def shown_traits(facts: Facts, words: Words, most: int = 6) -> str:
    """The traits by name, or their number where they are many."""
    traits = facts.traits or names(choices(facts).get("traits"))
    return words.listed(traits) if len(traits) <= most else words("methods.n_traits", n=len(traits))


def analysed(facts: Facts) -> dict[str, int]:
    """Samples analysed for each trait."""
    found = part(facts.record, "samples", "analysed")
    return {str(trait): n for trait, n in found.items() if isinstance(n, int) and not isinstance(n, bool)}


def with_structure(facts: Facts) -> bool:
    """Whether the model accounts for relatives: by offsets, or a matrix of relationships."""
    return "offsets" in part(facts.record, "inputs") or choices(facts).get("kind") in ("mixed",)
