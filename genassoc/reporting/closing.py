"""Whether the numbers can be trusted and traced: the audit, provenance, a paragraph of methods, and cautions in plain words."""

from collections.abc import Mapping, Sequence

from genassoc.reporting import record as of
from genassoc.reporting.facts import DISTANCE, Facts
from genassoc.reporting.loci import Hit
from genassoc.reporting.page import Cell, Html, Pictures, bullets, number, paragraphs, section, table, tag
from genassoc.reporting.words import Words

_INFLATED, _DEFLATED = 1.05, 0.95
_FEW_CASES = 100
_MOST_NAMED = 8
_DEVIATIONS = ("beta", "standard_error", "neg_log_10_p_value")


def audit(facts: Facts, words: Words) -> Html:
    """What the rows fitted again said."""
    found = of.part(facts.record, "audit")
    rows, seed = of.whole(found, "rows"), of.whole(found, "seed")
    parts: list[object] = []
    if not found or rows is None:
        return section("audit", words("audit.title"), paragraphs(words("audit.absent")))
    if not rows:
        parts.append(paragraphs(words("audit.none")))
    elif found.get("passed") is True:
        parts.append(paragraphs(words("audit.passed", rows=rows, seed=str(seed))))
    else:
        parts.append(tag("p", words("audit.failed", rows=rows), class_="alarm"))
    by_method = of.part(found, "by_method")
    lines = []
    for method in by_method:
        one = of.part(by_method, method)
        cells = [Cell(words.named("method", method), method), number(words, of.whole(one, "rows"))]
        lines.append([*cells, *(number(words, one.get(name), 2) for name in _DEVIATIONS)])
    if lines:
        columns = [("method", words("col.method")), ("rows", words("col.rows"))]
        columns += [(f"deviation_{name}", words(f"col.deviation_{name}")) for name in _DEVIATIONS]
        parts += [
            table("audit", columns, lines, caption=words("audit.methods"), keys=[*by_method]),
            paragraphs(words("audit.says")),
        ]
    absent = of.part(found, "not_compared")
    if absent:
        cells_of = [[Cell(why), number(words, of.whole(absent, why))] for why in absent]
        columns = [("reason", words("col.reason")), ("rows", words("col.rows"))]
        parts.append(table("not_compared", columns, cells_of, caption=words("audit.not_compared"), keys=[*absent]))
    return section("audit", words("audit.title"), *parts)


def provenance(facts: Facts, words: Words, withheld: Sequence[str], policy: tuple[str, int] | None) -> Html:
    """Inputs with their hashes, versions, the run, the digests of the file; and what a policy withheld."""
    record = facts.record
    parts: list[object] = [paragraphs(words("provenance.says" if record else "no_record"))]
    inputs = _inputs(of.part(record, "inputs"))
    if inputs:
        rows = [
            [Cell(words.named("input", kind)), Cell(file), Cell(tag("code", mark), mark)] for kind, file, mark in inputs
        ]
        columns = [(name, words(f"col.{name}")) for name in ("input", "file", "fingerprint")]
        parts.append(
            table("inputs", columns, rows, caption=words("provenance.inputs"), keys=[kind for kind, _, _ in inputs])
        )
    run, machine, marks = of.part(record, "run"), of.part(record, "machine"), of.part(record, "integrity")
    facts_of_run = [(name, run.get(name)) for name in ("fingerprint", "numbers")]
    facts_of_run += [(name, record.get(name)) for name in ("started", "finished", "wall_seconds", "peak_memory_bytes")]
    facts_of_run += [(name, machine.get(name)) for name in ("platform", "cpu", "cpus")]
    facts_of_run += [
        ("seed", of.part(record, "audit").get("seed")),
        ("structure_seed", of.part(record, "structure").get("seed")),
    ]
    if policy is None:
        facts_of_run.append(("command", " ".join(map(str, of.items(record, "command"))) or None))
    parts.append(_pairs("run", "run", facts_of_run, words("provenance.run"), words))
    parts.append(_pairs("result", "result", [*marks.items()], words("provenance.result"), words))
    versions = of.part(record, "versions")
    if versions:
        rows = [[Cell(name), Cell(str(version), str(version))] for name, version in versions.items()]
        columns = [("package", words("col.package")), ("version", words("col.version"))]
        parts.append(table("versions", columns, rows, caption=words("provenance.versions"), keys=[*versions]))
    if policy is not None:
        parts.append(paragraphs(words("provenance.policy", policy=policy[0], least=policy[1])))
        parts += [tag("h3", words("provenance.withheld")), bullets(withheld)]
    return section("provenance", words("provenance.title"), *parts)


def _pairs(name: str, kind: str, pairs: Sequence[tuple[str, object]], caption: str, words: Words) -> Html | None:
    known = [(key, value) for key, value in pairs if value is not None]
    rows = [[Cell(words.named(kind, key)), _value(words, value)] for key, value in known]
    columns = [("what", words("col.what")), ("value", words("col.value"))]
    return table(name, columns, rows, caption=caption, keys=[key for key, _ in known]) if rows else None


def _value(words: Words, value: object) -> Cell:
    """A value of the record; a seed, a year and a hash are written as they are."""
    if isinstance(value, float):
        return number(words, value)
    if isinstance(value, int):
        return Cell(str(value), value)
    return Cell(tag("code", value), str(value))


def _inputs(inputs: of.Record) -> list[tuple[str, str, str]]:
    """Kind, file and fingerprint of each input."""
    store, phenotypes = of.part(inputs, "store"), of.part(inputs, "phenotypes")
    found: list[tuple[str, object, object]] = []
    if store:
        found.append(("store", store.get("path"), store.get("root") or store.get("fingerprint")))
        for source in of.items(store, "sources"):
            if isinstance(source, Mapping):
                found.append(("source", source.get("name"), source.get("fingerprint")))
    if phenotypes:
        found.append(("phenotypes", phenotypes.get("path"), phenotypes.get("fingerprint")))
    for joined in of.items(inputs, "covariate_files"):
        if isinstance(joined, Mapping):
            found.append(("covariate_files", joined.get("path"), joined.get("fingerprint")))
    for name in ("offsets", "kinship", "sets"):
        one = of.part(inputs, name)
        if one:
            file = one.get("file") or one.get("source") or ", ".join(map(str, of.items(one, "files")))
            found.append((name, file, one.get("digest")))
    cohort = of.part(inputs, "cohort")
    if cohort:
        found.append(("cohort", "", cohort.get("samples")))
    return [(kind, "" if file is None else str(file), "" if mark is None else str(mark)) for kind, file, mark in found]


def methods(facts: Facts, words: Words) -> Html:
    """A paragraph for a paper, of what the record knows."""
    choices = of.choices(facts)
    says = tag("p", words("methods.says"), class_="aside")
    if not choices:
        return section("methods", words("methods.title"), paragraphs(words("methods.unknown")))
    paragraph = tag("p", " ".join(_sentences(facts, choices, words)), id="methods-paragraph")
    not_said = tag("p", words("methods.not_said"), class_="aside")
    return section("methods", words("methods.title"), says, tag("blockquote", paragraph), not_said)


def _sentences(facts: Facts, choices: of.Record, words: Words) -> list[str]:
    record = facts.record
    samples, variants, versions = of.part(record, "samples"), of.part(record, "variants"), of.part(record, "versions")
    analysed = [*of.analysed(facts).values()]
    many = len(facts.traits) > 1
    n = (
        words.whole(analysed[0])
        if len(set(analysed)) == 1
        else f"{words.whole(min(analysed))}–{words.whole(max(analysed))}"
        if analysed
        else "?"
    )
    named = {
        "traits": of.shown_traits(facts, words), "was": words("methods.were" if many else "methods.was"), "samples": n,
        "model": words.named("model", of.kind_of(facts)), "version": str(versions.get("genassoc", "?")),
    }  # fmt: skip
    if facts.of_sets:
        tests = words.listed(
            [words.named("test", test) for test in dict.fromkeys(group.test for group in facts.groups)]
        )
        said = [words("methods.tested_sets", tests=tests, **named)]
    else:
        kept = of.whole(variants, "kept")
        genetic = words.named("genetic", str(choices.get("genetic_model", "additive")))
        said = [words("methods.tested", variants="?" if kept is None else words.whole(kept), genetic=genetic, **named)]
    covariates = of.names(choices.get("covariates"))
    said.append(
        words("methods.covariates", covariates=words.listed(covariates))
        if covariates
        else words("methods.no_covariates")
    )
    if choices.get("interaction"):
        said.append(words("methods.interaction", name=str(choices["interaction"])))
    if "genotyped" in samples and "kept" in samples:
        said.append(words("methods.samples", genotyped=samples["genotyped"], kept=samples["kept"]))
    filters = of.names(of.part(record, "parameters").get("variants"))
    if "read" in variants and "kept" in variants and not facts.of_sets:
        said.append(
            words(
                "methods.filters",
                read=variants["read"],
                kept=variants["kept"],
                filters=", ".join(filters) or words("none"),
            )
        )
    used = dict.fromkeys(words.named("method", name) for group in facts.groups for name in group.methods)
    if used:
        said.append(words("methods.correction", methods=words.listed([*used])))
    if "offsets" in of.part(record, "inputs"):
        said.append(words("methods.offsets"))
    elif choices.get("kind") == "mixed":
        said.append(words("methods.mixed"))
    looked = of.part(record, "structure")
    if looked.get("variants"):
        said.append(words("methods.structure", samples=looked.get("samples"), variants=looked["variants"]))
    if facts.of_sets:
        said.append(words("methods.significance_sets", threshold=words.decimal(facts.threshold), n=facts.n_tests))
    else:
        said.append(words("methods.significance", distance=DISTANCE, lambda_=_lambdas(facts, words)))
    checked = of.part(record, "audit")
    if of.whole(checked, "rows"):
        verdict = words("methods.audit_passed" if checked.get("passed") is True else "methods.audit_failed")
        said.append(words("methods.audit", rows=of.whole(checked, "rows"), verdict=verdict))
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    said.append(words("methods.software", versions=listed))
    said.append(words("methods.record", fingerprint=str(of.part(record, "run").get("fingerprint", "?"))[:16]))
    return said


def _lambdas(facts: Facts, words: Words) -> str:
    found = [group.inflation for group in facts.groups if group.inflation is not None]
    if not found:
        return words("none")
    low, high = words.fixed(min(found), 3), words.fixed(max(found), 3)
    return low if low == high else f"{low}–{high}"


def cautions(facts: Facts, words: Words, hits: Sequence[Hit], pictures: Pictures) -> Html:
    """What a reader should know first."""
    said = [*_of_trust(facts, words), *_of_findings(facts, words), *_of_reading(facts, words)]
    absent = list(dict.fromkeys(hit.absent for hit in hits if hit.absent))
    said += [words("caution.cohort", why=why) for why in absent]
    if pictures.failures:
        said.append(words("caution.pictures", n=len(pictures.failures)))
    return section("cautions", words("cautions.title"), bullets(said))


def _of_trust(facts: Facts, words: Words) -> list[str]:
    said = []
    checked = of.part(facts.record, "audit")
    if not facts.record:
        said.append(words("caution.no_record"))
    elif checked.get("passed") is False:
        said.append(words("caution.audit_failed"))
    elif not of.whole(checked, "rows") and not facts.of_sets:
        said.append(words("caution.no_audit"))
    pairs = [n for n in of.part(facts.record, "structure", "pairs").values() if isinstance(n, int)]
    if sum(pairs):
        key = "caution.relatives_model" if of.with_structure(facts) else "caution.relatives"
        said.append(words(key, n=sum(pairs)))
    coded = sum(n for group in facts.groups for n in group.codes.values())
    if coded:
        said.append(words("caution.coded", n=coded, share=words.share(coded / max(1, facts.n_rows))))
    return said


def _of_findings(facts: Facts, words: Words) -> list[str]:
    said = []
    if not facts.of_sets:
        for key, far in (("inflated", lambda x: x > _INFLATED), ("deflated", lambda x: x < _DEFLATED)):
            traits = [
                f"{group.trait} ({words.named('test', group.test)})"
                for group in facts.groups
                if group.inflation is not None and far(group.inflation)
            ]
            if traits:
                said.append(words(f"caution.{key}", traits=_some(traits, words)))
        found = {group.trait for group in facts.groups if group.n_loci}
        without = [trait for trait in facts.traits if trait not in found]
        if without:
            said.append(words("caution.none_found", traits=_some(without, words)))
        said += [words("caution.found"), words("caution.lead")] if found else []
    for trait, n in _fewest(facts).items():
        if n < _FEW_CASES:
            said.append(words("caution.few_cases", n=n, trait=trait))
    return said[:20]


def _fewest(facts: Facts) -> dict[str, int]:
    """Samples in the smaller group of each trait, as the leads' rows have them."""
    fewest: dict[str, int] = {}
    for group in facts.groups:
        for name in ("n_cases", "n_controls", "n_events"):
            if name in group.leads.columns and group.leads[name].null_count() < group.leads.height:
                largest = int(group.leads[name].max())  # type: ignore[arg-type]
                fewest[group.trait] = min(largest, fewest.get(group.trait, largest))
    return fewest


def _of_reading(facts: Facts, words: Words) -> list[str]:
    said = []
    n = len(facts.traits)
    if facts.of_sets:
        said.append(words("caution.sets_tests", n=facts.n_tests, threshold=words.decimal(facts.threshold)))
    elif n > 1:
        said.append(words("caution.traits", n=n, threshold=words.decimal(5e-8 / n)))
    if of.choices(facts).get("interaction"):
        said.append(words("caution.interaction"))
    return [*said, words("caution.population"), words("caution.individual")]


def _some(names: list[str], words: Words) -> str:
    more = [words("others", n=len(names) - _MOST_NAMED)] if len(names) > _MOST_NAMED else []
    return words.listed(names[:_MOST_NAMED] + more)
