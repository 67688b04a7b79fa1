"""What a VCF holds and the store does not: dosages that are not read, half calls by contig and sex, who is left out where."""

import json
import warnings

import numpy as np
import polars as pl
import pytest

import genassoc as ga
from genassoc.data.cohort.cohort import Cohort
from genassoc.formats.convert import convert
from genassoc.formats.convert_parts import convert_part, merge_conversion
from genassoc.formats.convert_plan import plan_conversion
from genassoc.formats.reading import Reading

N = 40
IDS = [f"P{i}" for i in range(N)]
SEX = [1 + i % 2 for i in range(N)]
FIXED = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT"]


def text_of(rows, declared=""):
    """A VCF of rows (contig, position, format, calls)."""
    lines = ["##fileformat=VCFv4.2", *([declared] if declared else []), "\t".join([*FIXED, *IDS])]
    lines += ["\t".join([c, str(p), f"rs{c}{p}", "A", "C", ".", ".", ".", form, *calls]) for c, p, form, calls in rows]
    return "\n".join(lines) + "\n"


def calls(contig, rng, dosage=""):
    """Calls of a contig: on X males are half called as often as not, and some females are; on 1 a few."""
    found = []
    for sex in SEX:
        call = str(rng.choice(["0/0", "0/1", "1/1"]))
        if contig == "X":
            half = rng.random() < (0.5 if sex == 1 else 0.1)
            call = str(rng.choice(["0/.", "./1"])) if half else ("1" if sex == 1 else call)
        elif contig == "1" and rng.random() < 0.05:
            call = ".|0"
        found.append(call + dosage)
    return found


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """A file with half calls on 1, X and MT, and none on 2; and how many there are by contig and sex."""
    rng = np.random.default_rng(4)
    rows = [(contig, 50_000_000 + i, "GT", calls(contig, rng)) for contig in ("1", "2", "X") for i in range(5)]
    rows.append(("MT", 100, "GT", ["0/." if i == 3 else "0/0" for i in range(N)]))
    folder = tmp_path_factory.mktemp("half")
    (folder / "a.vcf").write_text(text_of(rows))
    wanted = {}
    for contig, _, _, found in rows:
        for sex, call in zip(SEX, found):
            if "." in call:
                wanted[contig, sex] = wanted.get((contig, sex), 0) + 1
    return folder, wanted


def of_contig(wanted, contig):
    return sum(n for (name, _), n in wanted.items() if name == contig)


def test_half_calls_are_counted_by_contig(half, tmp_path):
    folder, wanted = half
    summary = convert(folder / "a.vcf", tmp_path / "a.zarr")
    assert summary.half_calls == {contig: of_contig(wanted, contig) for contig in ("1", "X", "MT")}
    assert summary.half_missing_calls == sum(wanted.values())
    assert f"{of_contig(wanted, 'X')} on X" in " ".join(summary.lines())
    store = ga.open_store(tmp_path / "a.zarr")
    assert store.attributes["summary"]["half_calls"] == summary.half_calls
    # marked where one copy may be meant, and not elsewhere; never observed
    for start, stop, marked in ((0, 10, False), (10, 16, True)):
        assert (store.read(start, stop).haploid is not None) == marked
    on_x = store.read(10, 15)
    marks = np.unpackbits(on_x.haploid, axis=1, bitorder="little", count=N).astype(bool)
    # code 1 tells that the allele which is there is this ALT, 3 that it is not
    assert int((marks & np.isin(on_x.codes(), (1, 3))).sum()) == of_contig(wanted, "X")


def test_parts_count_the_same(half, tmp_path):
    folder, wanted = half
    plan_conversion([folder / "a.vcf"], tmp_path / "work", 1)
    convert_part(tmp_path / "work", 0)
    summary = merge_conversion(tmp_path / "work", tmp_path / "a.zarr")
    assert summary.half_calls == {contig: of_contig(wanted, contig) for contig in ("1", "X", "MT")}


def test_a_run_says_whose_half_calls_they_are_and_what_is_left_out_where(half, tmp_path, genassoc):
    folder, wanted = half
    people = pl.DataFrame({"IID": IDS, "SEX": SEX, "y": np.random.default_rng(1).normal(size=N)})
    people.write_csv(tmp_path / "p.tsv", separator="\t")
    run = ("assoc", folder / "a.vcf", tmp_path / "p.tsv", "--model", "linear", "--trait", "y", "--sex", "SEX")
    code, printed, errors = genassoc(*run, "--missing-rate", 0.15, "--out", tmp_path / "o.tsv")
    assert code == 0, errors
    assert (
        f"read as haploid calls of the allele: {wanted['X', 1]} of males on X" in errors
        and f"{wanted['X', 2]} of females on X" in errors
    )
    assert f"{wanted['MT', 2]} of females on MT" in errors and "on 1" not in errors.split("half calls")[1]
    variants = json.loads((tmp_path / "o.tsv.provenance.json").read_text())["variants"]
    assert variants["refused"]["half_call_as_haploid: males on X"] == wanted["X", 1]
    assert variants["refused"]["half_call: females on X"] == wanted["X", 2]
    assert variants["dropped"] == {} and variants["rows"] == 16  # males' calls are there
    assert "row: too_few_carriers (MT 1)" in printed or "row: monomorphic (MT 1)" in printed, printed


# Dosages --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", ["", '##FORMAT=<ID=DS,Number=A,Type=Float,Description="Dosage">'])
def test_dosages_that_are_not_read_are_said(tmp_path, declared, genassoc):
    rng = np.random.default_rng(6)
    rows = [("1", i + 1, "GT:DS:GP", calls("2", rng, ":0.9:0.1,0.8,0.1")) for i in range(3)]
    rows += [("1", 9, "GT:HDS", calls("2", rng, ":0.1,0.2")), ("1", 10, "GT", calls("2", rng))]
    (tmp_path / "a.vcf").write_text(text_of(rows, declared))
    summary = convert(tmp_path / "a.vcf", tmp_path / "a.zarr", reading=Reading(dosage="GT"))
    assert summary.dosages == {"DS": 3, "HDS": 1, "GP": 3}
    assert "not read (DS in 3 records, HDS in 1 records, GP in 3 records)" in " ".join(summary.lines())
    code, printed, _ = genassoc("info", tmp_path / "a.zarr")
    assert code == 0 and "not read (DS in 3 records" in printed
    people = pl.DataFrame({"IID": IDS, "y": rng.normal(size=N)})
    people.write_csv(tmp_path / "p.tsv", separator="\t")
    run = ("assoc", tmp_path / "a.zarr", tmp_path / "p.tsv", "--model", "linear", "--trait", "y")
    code, _, errors = genassoc(*run, "--out", tmp_path / "o.tsv")
    assert code == 0 and errors.count("imputed dosages are there and were not read") == 1
    assert errors.index("imputed dosages") < errors.index("testing")
    (tmp_path / "gwas.toml").write_text(genassoc(*run, "--out", tmp_path / "o.tsv", "--print-toml")[1])
    code, printed, _ = genassoc("check", tmp_path / "gwas.toml")
    assert code == 0 and "imputed dosages are there" in printed
    cohort = Cohort.align(tmp_path / "a.zarr", people)
    assert "imputed dosages" in repr(cohort)
    with pytest.warns(ga.UnreadDosagesWarning, match="DS in 3 records"):
        results = ga.associate(cohort, ga.Linear("y"), executor=ga.Serial())
    assert any("imputed dosages" in note for note in results.provenance["notes"])


def test_genotypes_alone_are_no_reason_to_warn(half, tmp_path):
    store = ga.convert(half[0] / "a.vcf", tmp_path / "a.zarr", region="2")
    assert store.attributes["summary"]["dosages"] == {}
    people = pl.DataFrame({"IID": IDS, "y": np.random.default_rng(1).normal(size=N)})
    with warnings.catch_warnings():
        warnings.simplefilter("error", ga.UnreadDosagesWarning)
        ga.associate(Cohort.align(store, people), ga.Linear("y"), executor=ga.Serial())


def test_dosages_without_genotypes_are_named_where_nothing_is_left(tmp_path):
    (tmp_path / "a.vcf").write_text(text_of([("1", 1, "DS", ["0.5"] * N)]))
    with pytest.raises(ga.InputError, match=r"records without GT.*imputed dosages are there"):
        convert(tmp_path / "a.vcf", tmp_path / "a.zarr", reading=Reading(dosage="GT"))
