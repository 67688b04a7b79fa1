"""The Python of docs/genes/sets.md, from top to bottom, on simulated genes."""

import gzip

import pytest
from pages import run_page

import genassoc as ga
from genassoc.formats.sets.consequences import CLASSES, MASKS
from genassoc.formats.vcf.writer import write_vcf


@pytest.mark.integration
def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made = ga.simulate_genes(200, 30, 15, n_cases=20, n_chromosomes=2, seed=4)
    paths = made.write_sets("genes/")
    write_vcf(tmp_path / "genes.vcf.gz", made.sample_ids, made.contigs, made.blocks(), fields=made.info_fields)
    for name, path in paths.items():
        if not (tmp_path / "genes" / f"{name}.txt").exists():
            (tmp_path / "genes" / f"{name}.txt").symlink_to(path.absolute())
    if not (tmp_path / "genes" / "genes.gtf.gz").exists():
        (tmp_path / "genes" / "genes.gtf.gz").write_bytes(gzip.compress(paths["gtf"].read_bytes()))
    names = run_page("genes/sets.md", 5)
    assert "VariantSets(30 sets" in capsys.readouterr().out
    found, truth = names["sets"].table, made.annotations
    classes = {
        (row[0], row[1]): row[2] for row in found.select("set_id", "variant", "annotation").cast(str).iter_rows()
    }
    assert classes == {(row[0], row[1]): row[2] for row in truth.select("set_id", "variant_id", "category").iter_rows()}
    assert not names["matched"].left_out.height and names["genes"].n_sets == 30


def test_the_tables_of_the_page_are_those_of_the_code():
    from pages import DOCS

    page = (DOCS / "genes" / "sets.md").read_text(encoding="utf-8")
    for name in ("pLoF", "missense", "synonymous"):
        assert f"| {name} | {', '.join(CLASSES[name])} |" in page
    for name, of in MASKS.items():
        assert f"| {name} | {', '.join(of)}" in page
