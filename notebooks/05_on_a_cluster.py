# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A GWAS on a Dask cluster
#
# The same run as in "A first GWAS", on worker processes: here a `LocalCluster` of this machine; on a real
# cluster only the client differs. The results are the same, to the byte.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
from distributed import Client, LocalCluster

import genassoc as ga
from genassoc.formats.vcf.writer import write_vcf
from genassoc.progress import Lines

folder = Path("on_a_cluster")

# %% [markdown]
# ## A cohort to practise on
#
# 1,000 samples, 20,000 variants on 22 chromosomes. Store, phenotypes and results lie where all workers see
# them under the same path: on a laptop anywhere, on a cluster on its shared disk.
#
# (`if __name__ == "__main__":` is for who runs this as a script. New processes read the script of the one that started
# them; without the guard each of them would make the cohort again. In a notebook it does nothing.)

# %%
if __name__ == "__main__":
    folder.mkdir(exist_ok=True)
    made = ga.simulate_cohort(n_samples=1000, n_variants=20_000, seed=20)
    write_vcf(folder / "cohort.vcf.gz", made.sample_ids, made.contigs, made.blocks(), index=True)
    made.phenotypes.write_csv(folder / "phenotypes.tsv", separator="\t", null_value="NA")
    store = ga.convert(folder / "cohort.vcf.gz", folder / "cohort.zarr", overwrite=True)
    cohort = ga.Cohort.align(store, folder / "phenotypes.tsv", sample_id="IID", sex="sex")
    cohort = cohort.keep_variants(ga.variants.maf_above(0.01))
    print("\n".join(cohort.summary_lines()))

# %% [markdown]
# ## The cluster
#
# Two processes of one thread, on loopback. The link leads to the dashboard, where every task bears the name
# of the model and its range: `linear`, `chr7:12,000,001-12,400,000`.
#
# On a cluster: `Client("tcp://scheduler:8786")`, or a `SLURMCluster`, as docs/pipelines/slurm_cluster.py has it.

# %%
model = ga.Linear(traits=["ldl"], covariates=["age", "sex", "statin", "PC1:PC4"])

if __name__ == "__main__":
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        print(f"dashboard: {client.dashboard_link}")
        executor = ga.Dask(client)
        results = ga.associate(
            cohort, model, out=folder / "dask.parquet", executor=executor, progress=Lines(), restart=True
        )
    print(results.top(5).select("variant_id", "beta", "standard_error", "neg_log_10_p_value", "n"))

# %% [markdown]
# The null model went to the workers once, through the folder of the results; a task was a range of variants,
# and its rows were written by the worker that computed them. Had a worker died, another would have
# done its task; had this notebook died, the same call without `restart=True` would carry on.
#
# ## The same bytes
#
# Threads of this process give the same file.

# %%
if __name__ == "__main__":
    ga.associate(cohort, model, out=folder / "threads.parquet", executor=ga.Threads(2), restart=True)
    same = (folder / "dask.parquet").read_bytes() == (folder / "threads.parquet").read_bytes()
    print(f"the same bytes: {same}")

# %%
if __name__ == "__main__":
    figure, ax = plt.subplots(figsize=(10, 4), layout="constrained")
    ax = ga.plots.manhattan(results, ax=ax)

# %% [markdown]
# ## Arrays for exploring
#
# `ga.to_dask` hands the calls to the rest of the ecosystem as a lazy array, variants by samples, a chunk a
# block. No method of genassoc is built on it: whole blocks in a graph is what makes graphs outgrow memory.

# %%
if __name__ == "__main__":
    calls = ga.to_dask(cohort)
    print(calls)
    print(f"missing calls: {(calls < 0).mean().compute():.4f}")
