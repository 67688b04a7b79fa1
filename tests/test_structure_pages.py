"""The Python of docs/structure/pruning.md and warnings.md, from top to bottom, on a simulated cohort."""

import pytest
from pages import run_page

import genassoc as ga
from genassoc.formats.vcf.writer import write_vcf
from genassoc.verbs import relatedness


@pytest.mark.integration
@pytest.mark.parametrize(("page", "n_blocks"), [("pruning.md", 3), ("warnings.md", 1)])
def test_the_page_runs(page, n_blocks, tmp_path, monkeypatch, capsys, genassoc):
    made = ga.simulate_cohort(120, 2000, 3, seed=2)
    write_vcf(tmp_path / "c.vcf.gz", made.sample_ids, made.contigs, made.blocks())
    ga.convert(tmp_path / "c.vcf.gz", tmp_path / "cohort.zarr")
    made.phenotypes.write_csv(tmp_path / "phenotypes.tsv", separator="\t", null_value="NA")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(relatedness, "base_folder", lambda: tmp_path)
    assert genassoc("prune", "cohort.zarr", "--out", "pruned.tsv", "--r2", "0.1", "--window", "1000kb")[0] == 0
    names = run_page(f"structure/{page}", n_blocks)
    if page == "pruning.md":
        assert "of 2,000 variants kept: r2 at most 0.1 within 1,000 kb" in capsys.readouterr().out
        assert 0 < len(names["listed"]) < 2000
    else:
        assert names["results"].provenance["structure"]["samples"] > 100
        assert "structure" not in names["quiet"].provenance
