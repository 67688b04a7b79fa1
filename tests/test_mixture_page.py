"""The Python of docs/structure/mixture.md, from top to bottom, on a simulated cohort."""

import numpy as np
import pytest
from pages import run_page

import genassoc as ga


@pytest.mark.integration
def test_the_page_runs(tmp_path, monkeypatch):
    traits = {
        "ldl": ga.SimulatedTrait(h2=0.4, n_causal=5),
        "death": ga.SimulatedTrait(kind="time_to_event", censored=0.5),
    }
    made = ga.simulate_families(200, 1000, families=0.4, fst=(0.0,), traits=traits, min_frequency=0.1, seed=4)
    made.write_store(tmp_path / "cohort.zarr")
    made.phenotypes.rename({"death_time": "days"}).write_csv(tmp_path / "phenotypes.tsv", separator="\t")
    monkeypatch.chdir(tmp_path)
    names = run_page("structure/mixture.md", 3)
    factor = names["predictions"].summary["factor"].item()
    assert 0.3 < factor < 1.5 and factor != 1.0
    assert names["calibrated"].table["neg_log_10_p_calibrated"].drop_nulls().len() > 500
    assert np.isfinite(names["hazards"].loco("death")).sum() == 200
