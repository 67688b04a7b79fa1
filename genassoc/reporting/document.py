"""The page: its sections in their order, its contents, its dress on a screen and on paper; written whole or not at all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from genassoc.data.output import replacing, target_of
from genassoc.reporting import asked, association, closing, loci
from genassoc.reporting import record as of
from genassoc.reporting.facts import Facts
from genassoc.reporting.loci import Hit, Scale
from genassoc.reporting.page import Html, Pictures, joined, paragraphs, tag
from genassoc.reporting.words import Words

_CSS = """
:root{--ink:#1d2733;--quiet:#5b6774;--line:#d9dee3;--pale:#f4f7f9;--blue:#22577a;--alarm:#a83200}
*{box-sizing:border-box}
html{font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;color:var(--ink);background:#fff}
body{max-width:62rem;margin:0 auto;padding:1.5rem 1.25rem 4rem}
h1{font-size:1.7rem;line-height:1.25;margin:.2rem 0;overflow-wrap:anywhere}
h2{font-size:1.3rem;margin:2.6rem 0 .6rem;padding-bottom:.25rem;border-bottom:2px solid var(--blue)}
h3{font-size:1.05rem;margin:1.8rem 0 .5rem;overflow-wrap:anywhere}
p,li{max-width:48rem;overflow-wrap:anywhere}
header p,.aside,figcaption,caption{color:var(--quiet);font-size:.9rem}
a{color:var(--blue)}
nav ol{columns:2;padding-left:1.3rem;margin:.3rem 0}
nav ol ol{columns:3;font-size:.85rem}
.scroll{overflow-x:auto;margin:.8rem 0 1.2rem}
table{border-collapse:collapse;font-size:.86rem;min-width:24rem}
caption{text-align:left;padding:.2rem 0 .35rem;font-weight:600}
th{text-align:left;vertical-align:bottom;border-bottom:1.5px solid var(--ink);padding:.25rem .7rem .25rem 0}
td{vertical-align:top;border-bottom:1px solid var(--line);padding:.25rem .7rem .25rem 0;overflow-wrap:anywhere;max-width:26rem}
td.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums;overflow-wrap:normal}
figure{margin:1rem 0}
figure img,figure svg{max-width:100%;height:auto}
figcaption{max-width:48rem}
code{font:.85em ui-monospace,Menlo,Consolas,monospace;overflow-wrap:anywhere}
blockquote{margin:.6rem 0;padding:.2rem 1rem;border-left:4px solid var(--blue);background:var(--pale)}
.short{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.7rem;margin:1rem 0;padding:0;list-style:none}
.short li{background:var(--pale);border-radius:.3rem;padding:.6rem .8rem}
.short b{display:block;font-size:1.25rem;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
#cautions{background:#fff7ec;border-left:4px solid #d58a00;padding:.1rem 1rem .4rem;margin-top:1.6rem}
#cautions h2{border:0;margin:.7rem 0 .3rem;font-size:1.15rem}
.alarm{color:var(--alarm);font-weight:700}
.absent,.withheld{color:var(--quiet);font-style:italic}
@page{size:A4;margin:16mm 14mm 18mm;@bottom-right{content:counter(page) " / " counter(pages);font:9pt sans-serif}}
@media print{
html{font-size:11.5px}
body{max-width:none;padding:0}
h2,h3,caption{break-after:avoid}
figure,tr,li,blockquote,.short{break-inside:avoid}
thead{display:table-header-group}
.scroll{overflow:visible}
table{min-width:0;width:100%;font-size:.78rem}
figure img,figure svg{max-height:150mm}
section.level2#association,section.level2#loci{break-before:page}
a{color:inherit;text-decoration:none}
td.number{white-space:normal}
}
"""
# No address is ever asked for anything, whatever the page may hold; no script runs.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How a report is written.

    Attributes
    ----------
    words : Words
    title : str or None
        By default the traits.
    scale : Scale
    hits : sequence of Hit
    withheld : sequence of str
        The policy's rule and what it withheld, a line each; empty without a policy.
    policy : tuple of str and int, or None
        Its name, and the least count that it lets out.
    tell : callable
        Told which picture is drawn.
    """

    words: Words
    title: str | None = None
    scale: Scale = field(default_factory=Scale)
    hits: Sequence[Hit] = ()
    withheld: Sequence[str] = ()
    policy: tuple[str, int] | None = None
    tell: Callable[[str], None] = lambda _: None


def write_page(facts: Facts, path: Path, choices: Choices) -> None:
    """Write the report.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    content = page(facts, choices).encode("utf-8", errors="replace")
    with replacing(target_of(path)) as file:
        file.write(content)


def page(facts: Facts, choices: Choices) -> Html:
    """The whole page."""
    words, hits = choices.words, list(choices.hits)
    n_pictures = 2 * len(association.drawn(facts)) + sum(
        (hit.region is not None) + (hit.picture is not None) for hit in hits
    )
    pictures = Pictures(n_pictures, hover=choices.policy is None)
    title = choices.title or _title(facts, words)
    sections = [
        asked.asked(facts, words),
        asked.cohort(facts, words),
        asked.quality(facts, words),
        asked.structure(facts, words),
        association.association(facts, words, pictures, choices.tell),
        association.genes(facts, words) if facts.of_sets else loci.loci(facts, words, choices.scale, hits, pictures),
        closing.audit(facts, words),
        closing.methods(facts, words),
        closing.provenance(facts, words, choices.withheld, choices.policy),
        asked.notes(facts, words, withheld=bool(choices.withheld)),
    ]
    cautions = closing.cautions(facts, words, hits, pictures)  # which knows by now what could not be drawn
    names = ["cautions", "asked", "cohort", "quality", "structure", "association", "genes" if facts.of_sets else "loci"]
    names += ["audit", "methods", "provenance"]
    body = [_head(facts, words, title), _short(facts, words), cautions, _contents(facts, words, names, hits), *sections]
    meta = [
        tag("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag(
            "meta",
            name="generator",
            content=f"genassoc {of.part(facts.record, 'versions').get('genassoc', '')}".strip(),
        ),
        tag("title", f"{words('report')}: {title}"),
        tag("style", Html(_CSS)),
    ]
    document = tag("html", tag("head", *meta), tag("body", tag("main", *body)), lang=words.lang)
    return Html("<!DOCTYPE html>\n" + document + "\n")


def _title(facts: Facts, words: Words) -> str:
    return of.shown_traits(facts, words, most=4) or words("none")


def _head(facts: Facts, words: Words, title: str) -> Html:
    path, record = facts.results.path, facts.record
    version, finished = of.part(record, "versions").get("genassoc"), record.get("finished")
    file = words("in_memory") if path is None else path.name
    known = version is not None and finished is not None
    line = (
        words("of_file", file=file, version=version, finished=finished) if known else words("of_file_plain", file=file)
    )
    return tag("header", tag("p", words("report")), tag("h1", title), tag("p", line))


def _short(facts: Facts, words: Words) -> Html:
    """The numbers that are asked for first."""
    shown: list[tuple[str, str, object]] = []
    analysed = [*of.analysed(facts).values()]
    if analysed:
        same = min(analysed) == max(analysed)
        n = words.whole(analysed[0]) if same else f"{words.whole(min(analysed))}–{words.whole(max(analysed))}"
        shown.append(("samples", n, max(analysed)))
    if len(facts.traits) != 1:
        shown.append(("traits", words.whole(len(facts.traits)), len(facts.traits)))
    kept = of.whole(of.part(facts.record, "variants"), "kept")
    if kept is not None:
        shown.append(("variants", words.whole(kept), kept))
    shown += [("rows", words.whole(facts.n_rows), facts.n_rows), ("tests", words.whole(facts.n_tests), facts.n_tests)]
    if not facts.of_sets and len(facts.groups) == 1 and facts.groups[0].inflation is not None:
        value = facts.groups[0].inflation
        shown.append(("lambda", words.fixed(value, 3), repr(value)))
    if not facts.of_sets and facts.groups:
        n_loci = sum(group.n_loci for group in facts.groups)
        shown.append(("loci", words.whole(n_loci), n_loci))
    labels = {name: words(f"short.{name}") for name, _, _ in shown}
    items = [tag("li", tag("b", text, data_short=name, data_value=value), labels[name]) for name, text, value in shown]
    nothing = None
    if not facts.n_rows:
        nothing = words("short.empty")
    elif not facts.n_tests:
        nothing = words("short.no_p", n=facts.n_rows)
    return joined([tag("ul", *items, class_="short"), paragraphs(nothing)])


def _contents(facts: Facts, words: Words, names: Sequence[str], hits: Sequence[Hit]) -> Html:
    """Links to the sections, to each trait and test with pictures, and to each variant shown in full."""

    def link(anchor: str, text: str) -> Html:
        return tag("a", text, href=f"#{anchor}")

    below: dict[str, list[Html]] = {
        "association": [
            link(f"association-{k}", words("association.of", trait=group.trait, test=words.named("test", group.test)))
            for k, group in enumerate(association.drawn(facts))
        ],
        "loci": [
            link(f"hit-{k}", words("hit.title", variant=hit.name, trait=str(hit.row["trait"])))
            for k, hit in enumerate(hits)
        ],
    }
    items = []
    for name in names:
        inner = below.get(name, [])
        nested = tag("ol", *(tag("li", one) for one in inner)) if len(inner) > 1 else None
        items.append(tag("li", link(name, words(f"{name}.title")), nested))
    return tag("nav", tag("h2", words("contents")), tag("ol", *items), aria_label=words("contents"))
