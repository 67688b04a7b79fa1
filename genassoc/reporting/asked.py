"""What was asked, of whom, and what is known of quality and relatives: sections made of the record and of counts of rows."""

from collections.abc import Mapping

from genassoc.plots.groups import MAF_BINS
from genassoc.reporting import record as of
from genassoc.reporting.facts import NO_BIN, Bin, Facts
from genassoc.reporting.page import Cell, Html, bullets, joined, number, paragraphs, section, table, tag
from genassoc.reporting.words import Words

_MOST_ROWS = 60


def asked(facts: Facts, words: Words) -> Html:
    """What was asked: one sentence, and every choice."""
    choices, traits = of.choices(facts), facts.traits
    model = words.named("model", of.kind_of(facts))
    if facts.of_sets:
        sentence = words("asked.sentence_sets", traits=of.shown_traits(facts, words), model=model)
    elif len(traits) == 1:
        sentence = words("asked.sentence", trait=traits[0], model=model)
    else:
        sentence = words("asked.sentence_many", n=len(traits), model=model)
    parameters = of.part(facts.record, "parameters")
    rows = [(name, choices[name]) for name in choices]
    rows += [(name, parameters[name]) for name in ("variants", "sets") if parameters.get(name)]
    if not rows:
        return section("asked", words("asked.title"), paragraphs(sentence, words("no_record")))
    cells = [[Cell(words.named("choice", name)), Cell(of.said(words, value), name)] for name, value in rows]
    columns = [("choice", words("asked.choice")), ("value", words("asked.value"))]
    listed = table("choices", columns, cells, caption=words("asked.caption"), keys=[name for name, _ in rows])
    return section("asked", words("asked.title"), paragraphs(sentence), listed)


def cohort(facts: Facts, words: Words) -> Html:
    """Who and what was kept, and why not: the ledgers of the run."""
    samples, variants = of.part(facts.record, "samples"), of.part(facts.record, "variants")
    parts: list[object] = []
    if not samples and not variants:
        parts.append(paragraphs(words("no_record")))
    if samples:
        parts.append(_ledger("samples", words("cohort.samples"), _sample_steps(samples, words), words))
    if variants:
        parts.append(_ledger("variants", words("cohort.variants"), _variant_steps(variants, words), words))
    parts.append(_codings(facts, words))
    steps = of.items(of.part(facts.record, "inputs", "cohort"), "steps")
    wheres = [str(step["where"]) for step in steps if isinstance(step, Mapping) and step.get("where")]
    if wheres:
        parts += [tag("h3", words("cohort.steps")), bullets(tag("code", where) for where in wheres)]
    return section("cohort", words("cohort.title"), *parts)


def notes(facts: Facts, words: Words, *, withheld: bool) -> Html | None:
    """What the run noted, as it wrote it (in English); they quote names of files and values, so that a policy keeps them back."""
    found = [] if withheld else of.notes(facts)
    return section("notes", words("cohort.notes"), bullets(found), level=3) if found else None


def _ledger(name: str, caption: str, steps: list[tuple[str, str, int]], words: Words) -> Html:
    rows = [[Cell(shown), number(words, n)] for _, shown, n in steps]
    columns = [("step", words("cohort.what")), ("n", words("cohort.n"))]
    return table(name, columns, rows, caption=caption, keys=[key for key, _, _ in steps])


def _sample_steps(samples: of.Record, words: Words) -> list[tuple[str, str, int]]:
    steps: list[tuple[str, str, int | None]] = [
        ("genotyped", words("cohort.genotyped"), of.whole(samples, "genotyped"))
    ]
    dropped = of.part(samples, "dropped")
    steps += [
        (f"dropped:{name}", words("cohort.dropped", reason=of.reason(words, str(name))), of.whole(dropped, name))
        for name in dropped
    ]
    kept, lacking = of.whole(samples, "kept"), of.whole(samples, "lacking_a_covariate")
    steps += [("kept", words("cohort.kept"), kept), ("lacking_a_covariate", words("cohort.lacking_covariate"), lacking)]
    for trait, n in of.part(samples, "analysed").items():
        if not isinstance(n, int):
            continue
        if kept is not None and lacking is not None and kept - lacking - n > 0:
            steps.append((f"lacking:{trait}", words("cohort.lacking_trait", trait=trait), kept - lacking - n))
        steps.append((f"analysed:{trait}", words("cohort.analysed", trait=trait), n))
    return [(key, shown, n) for key, shown, n in steps if n is not None]


def _variant_steps(variants: of.Record, words: Words) -> list[tuple[str, str, int]]:
    dropped = of.part(variants, "dropped")
    steps: list[tuple[str, str, int | None]] = [("read", words("cohort.read"), of.whole(variants, "read"))]
    steps += [
        (f"dropped:{name}", words("cohort.dropped", reason=of.reason(words, str(name))), of.whole(dropped, name))
        for name in dropped
    ]
    steps.append(("kept", words("cohort.variants_kept"), of.whole(variants, "kept")))
    steps.append(("rows", words("cohort.rows"), of.whole(variants, "rows")))
    return [(key, shown, n) for key, shown, n in steps if n is not None]


def _codings(facts: Facts, words: Words) -> Html | None:
    """Which value of a trait is the case."""
    codings = of.part(facts.record, "codings")
    rows, keys = [], []
    for trait in codings:
        coding = of.part(codings, trait)
        rows.append([Cell(trait), Cell(coding.get("0", "")), Cell(coding.get("1", "")), Cell(coding.get("rule", ""))])
        keys.append(trait)
    columns = [
        ("trait", words("cohort.trait")),
        ("controls", words("cohort.controls")),
        ("cases", words("cohort.cases")),
    ]
    columns.append(("rule", words("cohort.rule")))
    return table("codings", columns, rows, caption=words("cohort.codings"), keys=keys) if rows else None


def quality(facts: Facts, words: Words) -> Html:
    """Rows by frequency, codes and methods."""
    parts: list[object] = []
    means = [name for name in ("missing_rate", "info", "r2") if name in facts.names]
    columns = [(name, words(f"col.{name}")) for name in ("trait", "test", "bin", "n_rows", "n_p", "lambda", *means)]
    rows, keys = [], []
    for group in facts.groups:
        for found in group.bins:
            cells = [Cell(group.trait), Cell(words.named("test", group.test)), Cell(bin_name(found, words))]
            cells += [number(words, found.n_rows), number(words, found.n_p), number(words, found.inflation, 4)]
            rows.append(cells + [number(words, found.means.get(name)) for name in means])
            keys.append(f"{group.key}|{found.number}")
    if rows:
        parts += [
            _shortened("bins", columns, rows, keys, words("quality.bins"), words),
            paragraphs(words("quality.bins_note")),
        ]
    parts += [tag("h3", words("quality.codes")), _codes(facts, words), tag("h3", words("quality.methods"))]
    parts.append(_methods(facts, words))
    return section("quality", words("quality.title"), *parts)


def bin_name(found: Bin, words: Words) -> str:
    """ "1 % to 5 %"."""
    if found.number >= NO_BIN:
        return words("bin.no")
    edges = [0.5, *reversed(MAF_BINS), 0.0]
    high, low = edges[found.number], edges[found.number + 1]
    if not found.number:
        return f"≥ {words.share(low)}"
    return f"{words.share(low)} – {words.share(high)}" if low else f"< {words.share(high)}"


def _shortened(
    name: str, columns: list[tuple[str, str]], rows: list[list[Cell]], keys: list[str], caption: str, words: Words
) -> Html:
    """A table of at most so many rows, and how many more there are."""
    shown = table(name, columns, rows[:_MOST_ROWS], caption=caption, keys=keys[:_MOST_ROWS])
    more = paragraphs(words("more_rows", n=len(rows) - _MOST_ROWS)) if len(rows) > _MOST_ROWS else None
    return joined([shown, more])


def _codes(facts: Facts, words: Words) -> Html:
    rows, keys = [], []
    for group in facts.groups:
        for code, n in group.codes.items():
            cells = [
                Cell(group.trait),
                Cell(words.named("test", group.test)),
                Cell(tag("code", code), code),
                number(words, n),
            ]
            rows.append([*cells, Cell(words.share(n / group.n_rows)), Cell(words.named("code", code))])
            keys.append(f"{group.key}|{code}")
    if not rows:
        return paragraphs(words("quality.codes_none") if "code" in facts.names and facts.n_rows else None)
    columns = [(name, words(f"col.{name}")) for name in ("trait", "test", "code", "n_rows", "share", "meaning")]
    return _shortened("codes", columns, rows, keys, "", words)


def _methods(facts: Facts, words: Words) -> Html:
    rows, keys = [], []
    for group in facts.groups:
        for method, n in group.methods.items():
            rows.append(
                [
                    Cell(group.trait),
                    Cell(words.named("test", group.test)),
                    Cell(words.named("method", method), method),
                    number(words, n),
                ]
            )
            keys.append(f"{group.key}|{method}")
    columns = [(name, words(f"col.{name}")) for name in ("trait", "test", "method", "n_rows")]
    return _shortened("methods", columns, rows, keys, "", words) if rows else paragraphs(words("none"))


def structure(facts: Facts, words: Words) -> Html:
    """Relatives and ancestry among the samples, as the run looked at them, and what the model does about them."""
    found = of.part(facts.record, "structure")
    parts: list[object] = []
    samples, variants = of.whole(found, "samples"), of.whole(found, "variants")
    if samples is None:
        parts.append(paragraphs(words("structure.absent")))
    elif not variants:
        parts.append(paragraphs(words("structure.unknown")))
    else:
        parts.append(paragraphs(words("structure.looked", samples=samples, variants=variants)))
        pairs = of.part(found, "pairs")
        rows = [
            [Cell(words.named("structure", str(degree))), number(words, of.whole(pairs, degree))] for degree in pairs
        ]
        if rows:
            columns = [("degree", words("structure.degree")), ("n_pairs", words("structure.n_pairs"))]
            parts.append(
                table("pairs", columns, rows, caption=words("structure.pairs"), keys=[str(degree) for degree in pairs])
            )
        n = of.whole(found, "components")
        parts.append(paragraphs(words("structure.components", n=n) if n else words("structure.no_components")))
    covariates = of.names(of.choices(facts).get("covariates"))
    if of.choices(facts):
        parts.append(paragraphs(words("structure.adjusted", covariates=", ".join(covariates) or words("none"))))
    offsets = of.part(facts.record, "inputs", "offsets")
    if offsets:
        parts.append(paragraphs(words("structure.offsets", unit=offsets.get("unit", ""))))
    if of.choices(facts).get("kind") == "mixed":
        parts.append(paragraphs(words("structure.mixed")))
    return section("structure", words("structure.title"), *parts)
