"""The commands of docs/structure/index.md, from top to bottom, on a small cohort with families."""

import re
import shlex
from pathlib import Path

import polars as pl
import pytest

import genassoc as ga

PAGES = Path(__file__).parents[1] / "docs" / "structure"


def commands(page: str) -> list[str]:
    """Lines of the page's bash blocks, those that go on joined."""
    blocks = re.findall(r"```bash\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), re.S)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.mark.integration
def test_the_commands_run(tmp_path, monkeypatch, genassoc):
    made = ga.simulate_families(
        240, 1500, families={"three_generations": 6, "siblings": 20}, traits={"ldl": ga.SimulatedTrait(h2=0.4)},
        n_chromosomes=3, x_variants=100, y_variants=10, seed=3,
    )  # fmt: skip
    monkeypatch.chdir(tmp_path)
    made.write_store("cohort.zarr")
    made.phenotypes.write_csv("phenotypes.tsv", separator="\t", null_value="NA")
    for line in commands("index.md"):
        words = shlex.split(line)
        assert words[0] == "genassoc", line
        target = words[words.index(">") + 1] if ">" in words else None
        code, out, errors = genassoc(*[word for word in words[1:] if word not in (">", target)])
        assert code == 0, (line, errors)
        if target is not None:
            Path(target).write_text(out)
    rows = {name: pl.read_parquet(f"{name}.parquet") for name in ("ldl", "mixed")}
    assert rows["ldl"].height == rows["mixed"].height > 1000
    # the same question asked in two ways: effects agree but for what 240 samples leave open
    both = rows["ldl"].join(rows["mixed"], on="variant_id", suffix="_mixed").drop_nulls(["beta", "beta_mixed"])
    assert both.select(pl.corr("beta", "beta_mixed")).item() > 0.9


def test_pages_that_are_named_are_there():
    text = (PAGES / "index.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (PAGES / link).resolve().exists(), link
