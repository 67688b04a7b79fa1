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
# # Relatives and ancestry
#
# From a raw VCF to a calibrated scan of a cohort with families and several ancestries, every step a picture. The cohort is
# simulated, so that the truth can be looked at in the end: 2,000 people, most of them with relatives among the others, of three
# ancestries with admixture; a trait with a heritability of 0.4, whose causes lie on chromosomes 1, 3 and 5 alone. What a
# scan finds on chromosomes 2, 4 and 6 is therefore false. (Real traits have causes everywhere, and no chromosome where one could look.) With your own data, begin at "Convert".

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import polars as pl

import genassoc as ga
from genassoc.formats.vcf.writer import write_vcf

folder = Path("relatives_and_ancestry")
folder.mkdir(exist_ok=True)

# %% [markdown]
# ## A cohort to practise on
#
# Families of ten over three generations, pairs of siblings, trios, and a few people who were entered twice. In two rows of the table
# of samples the sex is wrong, as it happens when tubes change places.

# %%
made = ga.simulate_families(
    2000,
    12_000,
    families={"three_generations": 90, "siblings": 100, "trios": 60, "duplicates": 5},
    fst=(0.005, 0.01, 0.03),
    admixed=0.2,
    traits={
        "ldl": ga.SimulatedTrait(
            h2=0.4, n_causal=24, chromosomes=("1", "3", "5"), min_frequency=0.1, stratification=0.05
        )
    },
    n_chromosomes=6,
    x_variants=400,
    y_variants=20,
    seed=8,
)
write_vcf(folder / "cohort.vcf.gz", made.sample_ids, made.contigs, made.blocks(), index=True)
swapped = made.phenotypes["IID"].to_list()[100:102]
phenotypes = made.phenotypes.with_columns(
    sex=pl.when(pl.col("IID").is_in(swapped)).then(3 - pl.col("sex")).otherwise("sex")
)
phenotypes.write_csv(folder / "phenotypes.tsv", separator="\t", null_value="NA")
phenotypes.head()

# %% [markdown]
# ## Convert, and align

# %%
store = ga.convert(folder / "cohort.vcf.gz", folder / "cohort.zarr", overwrite=True)
cohort = ga.Cohort.align(store, folder / "phenotypes.tsv", sample_id="IID", sex="sex", build="GRCh38")
print("\n".join(cohort.summary_lines()))

# %% [markdown]
# ## Samples: sex
#
# A man has no heterozygous calls on X, and he has calls on Y. Where the table says something else, tubes or rows were mixed up, and the
# phenotype may be another person's: out with them. (Four hundred variants of X leave a few people unclear; they stay.)

# %%
sexes = ga.check_sex(cohort)
sexes.table.filter(~pl.col("keep")).select("sample_id", "stated_sex", "genetic_sex", "f", "y_rate", "detail")

# %%
cohort = cohort.keep_samples(sexes)

# %% [markdown]
# ## Samples: heterozygosity and missing calls
#
# Too many heterozygous calls: two people in a tube. Too few: bad DNA, or parents who are related. Populations differ, so each is judged within its
# own in a cohort like this one (`by=`) or after a regression on principal components (`covariates=`).

# %%
heterozygosity = ga.check_heterozygosity(cohort, limit=5)
figure, ax = plt.subplots(figsize=(5.5, 4), layout="constrained")
ax = ga.plots.heterozygosity(heterozygosity, ax=ax)

# %% [markdown]
# ## Prune
#
# Kinship and components are about the genome as a whole. Frequent variants, of which no two near one another tell the same.

# %%
cohort = cohort.keep_variants(ga.variants.maf_above(0.01) & ga.variants.missing_below(0.05))
kept = ga.ld_prune(cohort, r2=0.1, window="1000kb")
print("\n".join(kept.lines()))
pruned = cohort.keep_variants(kept)

# %% [markdown]
# ## Kinship
#
# All pairs, those up to the third degree listed. Parents and children share an allele everywhere (IBS0 is 0), siblings do not; at a
# kinship of a half are those who were entered twice.

# %%
kinship = ga.kinship(pruned)
kinship["relationship"].value_counts(sort=True)

# %%
figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
ax = ga.plots.kinship(kinship, ax=ax)

# %% [markdown]
# Someone who was entered twice counts once. `keep_unrelated` with the least kinship of duplicates leaves one of each out; relatives stay.

# %%
cohort = cohort.keep_unrelated(kinship, max_kinship=0.3536)
pruned = cohort.keep_variants(kept)
print(f"{cohort.n_samples:,} samples")

# %% [markdown]
# ## Principal components
#
# Large families would have components of their own. So the components are fitted on the unrelated, and the others projected (hollow).

# %%
components = ga.pca(pruned, k=10, fit_on=pruned.keep_unrelated(kinship).sample_ids)
ancestry = made.samples.select("IID", "population").cast({"population": pl.String}).rename({"IID": "sample_id"})
figure, ax = plt.subplots(figsize=(6, 5), layout="constrained")
ax = ga.plots.pca(components, color_by=ancestry, ax=ax)

# %% [markdown]
# Three ancestries, and the admixed between them. Two components say it all; how much each explains:

# %%
pl.DataFrame({"component": components.names, "share": components.variance_explained.round(4)}).head(5)

# %% [markdown]
# ## The plain scan
#
# With components as covariates ancestry is dealt with. Relatives are not: lambda is above 1 on chromosomes that hold no cause at all.

# %%
cohort = cohort.with_covariates(components.scores)
covariates = ["age", "sex", "PC1:PC4"]
model = ga.Linear(traits=["ldl"], covariates=covariates)
plain = ga.associate(cohort, model, out=folder / "plain.parquet", executor=ga.Threads(2), restart=True)


def without_causes(results):
    """Rows of the chromosomes on which nothing is true."""
    return results.table.filter(pl.col("chromosome").is_in(["2", "4", "6"]), pl.col("neg_log_10_p_value").is_not_null())


def share_below(results, level):
    """Of the rows on which nothing is true, those with a p below a level, over the level: 1 is right."""
    return (without_causes(results)["neg_log_10_p_value"] > -pl.Series([level]).log10()[0]).mean() / level


# %%
figure, ax = plt.subplots(figsize=(4.6, 4.6), layout="constrained")
ax = ga.plots.qq(without_causes(plain), ax=ax, title="plain scan, chromosomes without causes")

# %% [markdown]
# ## Whole-genome regression, leaving a chromosome out
#
# All variants together predict the trait; the prediction without a chromosome enters the test of its variants as an offset. With it goes what
# relatives have in common, as each is predicted from the others too; a little more than that goes, so that the test errs to the safe side where there
# are many close relatives (`docs/structure/calibration.md`).

# %%
regression = ga.WholeGenomeRegression(traits=["ldl"], covariates=covariates)
predictions = ga.fit_whole_genome(cohort, regression, executor=ga.Threads(2))
predictions.summary.select("trait", "n", "n_folds", "h2", "r2", "n_variants", "n_blocks")

# %%
calibrated = ga.associate(
    cohort, model, offsets=predictions, out=folder / "calibrated.parquet", executor=ga.Threads(2), restart=True
)
figure, ax = plt.subplots(figsize=(4.6, 4.6), layout="constrained")
ax = ga.plots.qq(without_causes(calibrated), ax=ax, title="with predictions, chromosomes without causes")

# %% [markdown]
# ## The exact mixed model as a cross-check
#
# For some thousand samples the question can be asked exactly: the covariance of all pairs is in the model. One eigendecomposition for each chromosome that
# is left out.

# %%
exact_model = ga.LinearMixed(traits=["ldl"], covariates=covariates, loco=True)
exact = ga.associate(cohort, exact_model, out=folder / "exact.parquet", executor=ga.Threads(2), restart=True)
beside = calibrated.table.join(exact.table, on="variant_id", suffix="_exact").drop_nulls(["beta", "beta_exact"])
figure, ax = plt.subplots(figsize=(4.6, 4.6), layout="constrained")
ax.scatter(beside["neg_log_10_p_value_exact"], beside["neg_log_10_p_value"], s=4, color="#1f5f99")
top = float(beside["neg_log_10_p_value_exact"].max())
ax.plot([0, top], [0, top], color="0.6", linewidth=1, zorder=0)
ax.set(xlabel="exact mixed model, -log10 p", ylabel="with predictions, -log10 p")
ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# Three scans in numbers, on the chromosomes where nothing is true: lambda, and how many p are below 0.01 for each that should be.

# %%
scans = {"plain": plain, "whole-genome regression": calibrated, "exact mixed model": exact}
lambdas = {name: float((without_causes(one)["neg_log_10_p_value"].median()) / 0.30103) for name, one in scans.items()}
pl.DataFrame(
    {
        "scan": list(scans),
        "median -log10 p over 0.301": [round(value, 3) for value in lambdas.values()],
        "below 0.01, observed over expected": [round(share_below(one, 0.01), 2) for one in scans.values()],
    }
)

# %% [markdown]
# ## Where the causes are

# %%
figure, ax = plt.subplots(figsize=(10, 4), layout="constrained")
ax = ga.plots.manhattan(calibrated, ax=ax)

# %%
estimated = calibrated.table.select("variant_id", "beta", "standard_error", "neg_log_10_p_value")
planted = made.truth.filter(pl.col("trait") == "ldl").select("variant_id", "effect")
planted.join(estimated, on="variant_id", how="left").sort("neg_log_10_p_value", descending=True, nulls_last=True)

# %% [markdown]
# ## Heritability
#
# The share of the variance that goes with the genotypes; 0.4 was planted.

# %%
ga.heritability(cohort, traits=["ldl"], covariates=covariates)
