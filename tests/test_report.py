"""The report: every number equals the results', every name is escaped, nothing is asked of a network, both languages say the same."""

import math
import re
import shutil
import string
import subprocess

import polars as pl
import pytest
from report_tables import RECORD, Page, table_of

import genassoc as ga
from genassoc.models.base import CODES, METHODS
from genassoc.reporting.page import Pictures, escaped, tag
from genassoc.reporting.words import LANGUAGES, Words
from genassoc.results import Results

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)


def written(results, path, **more):
    text = ga.report(results, path, hits=more.pop("hits", 0), **more).read_text(encoding="utf-8")
    return Page(text), text


def pictures(text):
    return text.count("<figure>")


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A report with lead variants in full, of a table in memory."""
    frame = table_of(4000)
    page, text = written(Results(frame, RECORD), tmp_path_factory.mktemp("report") / "r.html", hits=10)
    return frame, page, text


def test_leads_equal_the_table(shown):
    frame, page, _ = shown
    leads = page.tables["leads"]
    assert [float(row["neg_log_10_p_value"][0]) for _, row in leads] == [300.125, 12.5]
    for key, row in leads:
        trait, test, variant = key.split("|")
        (true,) = frame.filter(trait=trait, test=test, variant_id=variant).iter_rows(named=True)
        for name in ("beta", "standard_error", "effect_allele_frequency", "neg_log_10_p_value", "mac"):
            assert float(row[name][0]) == true[name]  # the very bits
        assert int(row["n"][0]) == true["n"] and int(row["n_cases"][0]) == true["n_cases"]
        assert [float(x) for x in row["ratio"][0].split()] == [true["beta"], true["ci_lower"], true["ci_upper"]]
        assert row["ratio"][1].startswith(f"{math.exp(true['beta']):.3g}"[:3])
        assert row["rsid"][1] == true["rsid"]
    assert leads[0][1]["neg_log_10_p_value"][1] == "7.50 × 10⁻³⁰¹"  # below the smallest float


def test_counts_equal_the_table(shown):
    frame, page, _ = shown
    ((key, row),) = page.tables["groups"]
    with_p = frame.filter(pl.col("neg_log_10_p_value").is_not_null())
    assert key == "t2d|add"
    assert (int(row["n_rows"][0]), int(row["n_p"][0])) == (frame.height, with_p.height)
    assert float(row["lambda"][0]) == Results(frame).lambda_gc()
    assert page.short["rows"] == str(frame.height) and page.short["tests"] == str(with_p.height)
    codes = dict(frame["code"].drop_nulls().value_counts().iter_rows())
    assert {cells["code"][0]: int(cells["n_rows"][0]) for _, cells in page.tables["codes"]} == codes
    assert sum(int(cells["n_rows"][0]) for _, cells in page.tables["bins"]) == frame.height
    maf = pl.min_horizontal(pl.col("effect_allele_frequency"), 1 - pl.col("effect_allele_frequency"))
    common = frame.filter(maf >= 0.05)
    _, first = page.tables["bins"][0]
    assert int(first["n_rows"][0]) == common.height
    assert float(first["lambda"][0]) == Results(common).lambda_gc()
    # a mean of sums of pieces: some additions in another order
    assert float(first["missing_rate"][0]) == pytest.approx(common["missing_rate"].mean(), rel=1e-12)


def test_the_record_is_told(shown):
    _, page, text = shown
    steps = {key: int(cells["n"][0]) for key, cells in page.tables["samples"]}
    assert steps == {
        "genotyped": 1000, "dropped:keep_samples": 100, "kept": 900, "lacking_a_covariate": 3, "lacking:t2d": 7, "analysed:t2d": 890,
    }  # fmt: skip
    assert {key: cells["fingerprint"][0] for key, cells in page.tables["inputs"]} == {
        "store": "abc123",
        "source": "f00",
    }
    assert "2 pairs of close relatives" in page.text and "Only 90 samples are in the smaller group of t2d" in page.text
    assert "tested for association with 4,000 variants in 890 samples by logistic regression" in page.text
    assert "left out: relative" not in page.text
    assert page.tables["audit"][0][1]["deviation_beta"][0] == "1e-09"
    # the files of the record are not there: said, not hidden
    assert "Effects by genotype are not shown" in page.text and "could not be opened again" in page.text
    assert pictures(text) == 4  # Manhattan, QQ, two regions


def test_contents_lead_somewhere(shown):
    _, page, _ = shown
    links = [attributes["href"] for name, attributes in page.elements if name == "a"]
    assert len(links) > 10 and len(set(page.ids)) == len(page.ids)
    assert {link.removeprefix("#") for link in links} <= set(page.ids)


def test_nothing_from_elsewhere(shown):
    _, page, text = shown
    for name, attributes in page.elements:
        assert name not in ("script", "link", "iframe", "object", "embed", "base")
        assert not any(key.startswith("on") for key in attributes)
        for key in ("src", "xlink:href", "href"):
            assert attributes.get(key, "#").startswith(("data:image/png;base64,", "#"))
    assert "default-src 'none'" in text and not re.search(r"url\((?!#)", text) and "@import" not in text


NASTY = ('"><script>alert(1)</script>', "l'âge & <b>", "{kind} %s \\ \x1b[31m", "a" * 300)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_names_are_no_markup(tmp_path, lang):
    frame = table_of(300, traits=NASTY[:2]).with_columns(
        rsid=pl.lit(NASTY[0]), other_allele=pl.lit(NASTY[1]), method=pl.lit(NASTY[2])
    )
    record = {
        **RECORD,
        "notes": [*NASTY],
        "command": [*NASTY],
        "codings": {NASTY[0]: {"0": NASTY[1], "1": NASTY[2], "rule": NASTY[3]}},
    }
    record["samples"] = {**RECORD["samples"], "analysed": dict.fromkeys(NASTY, 880), "dropped": {NASTY[0]: 5}}
    page, text = written(Results(frame, record), tmp_path / "r.html", lang=lang, title=NASTY[0], hits=3)
    assert not {name for name, _ in page.elements} & {"script", "b><b"}
    assert "<script" not in text and "\x1b" not in text
    assert NASTY[0] in page.text and NASTY[1] in page.text
    assert {key.split("|")[0] for key, _ in page.tables["groups"]} == set(NASTY[:2])


def test_all_escaped():
    assert tag("p", '<i a="b">\'&', title='"x"') == '<p title="&quot;x&quot;">&lt;i a=&quot;b&quot;&gt;&#x27;&amp;</p>'
    assert escaped("a\x1bb") == "a\\x1bb"


def test_empty_results(tmp_path):
    page, _ = written(Results(table_of(10).clear(), RECORD), tmp_path / "r.html")
    assert "no row" in page.text and page.short["rows"] == "0"


def test_one_row_and_no_record(tmp_path):
    frame = table_of(40).head(1)
    page, text = written(Results(frame), tmp_path / "r.html", hits=2)
    assert page.short["rows"] == "1" and pictures(text) == 2
    assert "no record" in page.text


def test_codes_alone(tmp_path):
    codes = [code for code in CODES if code is not None]
    frame = table_of(len(codes)).with_columns(code=pl.Series(codes), neg_log_10_p_value=pl.lit(None, pl.Float64))
    page, text = written(Results(frame, RECORD), tmp_path / "r.html")
    assert {cells["code"][0] for _, cells in page.tables["codes"]} == set(codes)
    assert pictures(text) == 0 and "None of the" in page.text


def test_same_results_same_bytes(tmp_path, shown):
    frame, _, text = shown
    assert ga.report(Results(frame, RECORD), tmp_path / "again.html").read_text(encoding="utf-8") == text


def test_languages_say_the_same():
    def places(text):
        return sorted({name for _, name, _, _ in string.Formatter().parse(text) if name is not None})

    english, french = (Words(lang)._texts for lang in LANGUAGES)
    assert set(english) == set(french)
    assert {key for key in english if places(english[key]) != places(french[key])} == set()
    same = {key for key in english if english[key] == french[key] and len(english[key].split()) > 3}
    assert same == set()  # a sentence that was not translated
    for code in CODES[1:]:
        assert f"code.{code}" in english
    for method in METHODS[1:]:
        assert f"method.{method}" in english


def test_numbers_of_each_language():
    english, french = Words("en"), Words("fr")
    assert english.whole(1234567) == "1,234,567" and french.whole(1234567) == "1\u202f234\u202f567"
    assert english.decimal(-0.012345) == "−0.0123" and french.decimal(-0.012345) == "−0,0123"
    assert english.decimal(1234.5) == "1,234" and french.decimal(1.5e-9) == "1,50 × 10⁻⁹"
    assert english.p(1.0) == "0.1" and english.p(8.0) == "1.00 × 10⁻⁸" and french.p(400.5) == "3,16 × 10⁻⁴⁰¹"
    assert english.decimal(math.nan) == "–"


def test_under_a_policy(tmp_path):
    """Rows of few carriers lose their estimates, the record its paths and notes, the ledger its small counts."""
    frame = table_of(4000).with_columns(
        mac=pl.when(pl.col("neg_log_10_p_value") == 12.5).then(6.0).otherwise("mac"),
    )
    record = {**RECORD, "notes": ["sample NA12878 is like NA12879"]}
    page, text = written(Results(frame, record), tmp_path / "r.html", hits=2, policy="snds")
    by_p = {row["neg_log_10_p_value"][0]: row for _, row in page.tables["leads"]}
    assert by_p["12.5"]["beta"][0] is None and by_p["12.5"]["mac"][0] is None
    assert "<svg" not in text  # whose hits would say frequency and effect
    assert "NA12878" not in text and "cohort.zarr" not in text
    assert "samples" not in page.tables  # 3 lack a covariate
    assert "pseudonymised" in page.text and "policy snds" in page.text
    with pytest.raises(ga.GenassocError, match="ukbb"):
        ga.report(Results(frame), tmp_path / "s.html", policy="ukbb")


def test_refused(tmp_path):
    results = Results(table_of(10), RECORD)
    with pytest.raises(ga.GenassocError, match="lang='de'"):
        ga.report(results, tmp_path / "r.html", lang="de")
    with pytest.raises(ga.GenassocError, match="html"):
        ga.report(results, tmp_path / "r.pdf")
    with pytest.raises(ga.OutputError):
        ga.report(results, tmp_path / "no" / "r.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: the page is not opened in a browser")
def test_in_a_browser(tmp_path, shown):
    _, _, text = shown
    path = tmp_path / "r.html"
    # widths of pictures as the browser decoded them: a script of the test's, which the page itself would not let run
    script = "<script>document.title=[...document.querySelectorAll('figure')].map(f=>f.querySelector('img')?.naturalWidth??f.querySelector('svg').getBoundingClientRect().width).join()</script></body>"
    opened = text.replace(re.search(r"<meta http-equiv[^>]*>", text)[0], "").replace("</body>", script)
    path.write_text(opened, encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    logged = [*command, "--enable-logging=stderr", "--v=0", "--virtual-time-budget=5000", "--dump-dom"]
    done = subprocess.run([*logged, path.as_uri()], capture_output=True, text=True, timeout=120)
    widths = re.search(r"<title>([^<]*)</title>", done.stdout)[1].split(",")
    assert len(widths) == 4 and all(float(width) > 300 for width in widths)
    path.write_text(text, encoding="utf-8")
    done = subprocess.run([*logged, path.as_uri()], capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in done.stderr and "</html>" in done.stdout
    pdf = tmp_path / "r.pdf"
    subprocess.run([*command, f"--print-to-pdf={pdf}", path.as_uri()], capture_output=True, timeout=120, check=True)
    pages = re.findall(rb"/Type\s*/Page\b", pdf.read_bytes())
    assert 3 <= len(pages) <= 30


def test_pictures_share_the_bytes():
    class Noise:
        def get_figure(self, root):
            return self

        def savefig(self, file, *, format, dpi, metadata):
            file.write(b"x" * dpi * 1000)

    few, many = Pictures(1), Pictures(40)
    assert len(few.draw(Noise, "a")) > 1.8 * len(many.draw(Noise, "a"))
