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
# # Genes: a rare disease against population controls
#
# From an annotated VCF to a gene, with the checks that a reviewer asks for. A hundred people with a rare disease were sequenced, and are compared with
# 9,900 from the population. The cohort is simulated, so that the truth can be looked at in the end: three genes cause the disease, two by all of their
# damaging variants, one by some while others of its variants protect. And as in real studies something is wrong: in one gene cases and controls were
# sequenced unevenly. With your own data, begin at "Convert".

# %%
import math
from pathlib import Path

import matplotlib.pyplot as plt
import polars as pl
from scipy.stats import chi2

import genassoc as ga
from genassoc.formats.vcf.writer import write_vcf

folder = Path("genes")
folder.mkdir(exist_ok=True)
made = ga.simulate_genes(10_000, 240, 16, n_cases=100, uneven_genes=1, seed=30)
write_vcf(folder / "cohort.vcf.gz", made.sample_ids, made.contigs, made.blocks(), index=True, fields=made.info_fields)
made.phenotypes.write_csv(folder / "phenotypes.tsv", separator="\t")
made.phenotypes.select("IID", "age", "sex", "PC1", "PC2", "disease").head(3)

# %% [markdown]
# ## Convert, and align
#
# `info=` keeps what VEP wrote about each variant (`CSQ`; SnpEff's is `ANN`).

# %%
store = ga.convert(folder / "cohort.vcf.gz", folder / "cohort.zarr", info=["CSQ"], overwrite=True)
cohort = ga.Cohort.align(store, folder / "phenotypes.tsv", sample_id="IID", sex="sex", build="GRCh38")
print("\n".join(cohort.summary_lines()))

# %% [markdown]
# ## Who was sequenced how?
#
# Before any test: are calls missing as often in cases as in controls? Cases and population controls are seldom sequenced by the same machine, and what one kit does not cover looks
# like a difference between people. Each point is a variant.

# %%
case, control = (ga.variant_qc(cohort.keep_samples(pl.col("disease") == status)) for status in (1, 0))
names = pl.concat_str("chromosome", "base_pair_location", "other_allele", "effect_allele", separator="_")
coverage = case.select(variant_id=names, cases="missing_rate", controls=control["missing_rate"])
even = ((coverage["cases"] - coverage["controls"]).abs() < 0.1).to_numpy()
unequal = coverage.filter(~even)
figure, ax = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
for rows, colour, label in ((coverage, "#1f5f99", "variants"), (unequal, "#c0392b", "unequal")):
    ax.scatter(rows["controls"], rows["cases"], s=8, color=colour, label=label)
ax.set(xlabel="missing in controls", ylabel="missing in cases")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# Sixteen variants, all of one gene, are missing in a fifth to two fifths of the controls and in hardly any case. A strict study leaves them out now. We go on with them once, to see what they
# would have done.
#
# ## Genes and masks
#
# A set is a gene's variants with what they do there, by the most severe consequence in its canonical transcript (`pLoF`: stop gained, frameshift, splice sites); a mask says which of them count. The synonymous mask is the control: same people, same machines, no biology.

# %%
masks = {"pLoF": ["pLoF"], "damaging": ["pLoF", "missense"], "synonymous": ["synonymous"]}
sets = ga.sets_from_vep(store, gene="name", masks=masks)
print("\n".join(sets.lines()))

# %% [markdown]
# ## Test
#
# Variants of up to 1 % in the cohort; the burden, for an effect; SKAT and SKAT-O, for genes whose variants do not all do the same.

# %%
model = ga.Logistic(traits=["disease"], covariates=["age", "sex", "PC1", "PC2"])
choices = {"tests": ("burden", "skat", "skato"), "max_maf": 0.01, "weights": "beta(1,25)"}
first = ga.associate_sets(
    cohort, model, sets, **choices, out=folder / "first.parquet", executor=ga.Threads(2), restart=True
)
columns = ["set_id", "mask", "test", "n_variants", "n_carriers_cases", "n_carriers_controls", "neg_log_10_p_value"]
first.top(8).select(columns)

# %% [markdown]
# ## How many tests was that?
#
# Every gene, mask and test that has a p is counted, those that were looked at in vain too. The line is 0.05 over their number.

# %%
print(first.multiplicity)
line = -math.log10(first.threshold())
print(f"-log10 p must exceed {line:.2f}")

# %% [markdown]
# ## QQ by mask
#
# The synonymous mask should not rise above the diagonal. It does not: cases and controls are comparable, as far as ancestry and most of the sequencing go. Points that lie
# below it at the left are genes of which no case, or hardly one, has a variant: with a hundred cases p is discrete.


# %%
def by_mask(results, test):
    """Rows of one test, mask by mask."""
    return {name: results.table.filter(pl.col("mask") == name, pl.col("test") == test) for name in masks}


figure, axes = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained")
for ax, test in zip(axes, ("burden", "skat"), strict=True):
    ga.plots.qq(by_mask(first, test), ax=ax, title=test)

# %% [markdown]
# Lambda by mask, and beside it what matters more where cases are few: how many p are below 0.05, for each that should be.


# %%
def calibration(results):
    """Of each mask and test: p that there are, lambda, and those below 0.05, observed over expected."""
    table = []
    for test in ("burden", "skat", "skato"):
        for mask, rows in by_mask(results, test).items():
            log10 = rows["neg_log_10_p_value"].drop_nulls()
            inflation = chi2.isf(10 ** -log10.median(), 1) / chi2.isf(0.5, 1)
            below = (log10 > -math.log10(0.05)).mean() / 0.05
            table.append((test, mask, log10.len(), round(inflation, 2), round(below, 2)))
    return pl.DataFrame(table, schema=["test", "mask", "n_tests", "lambda", "below_0.05"], orient="row")


calibration(first)

# %% [markdown]
# The right column is the one to read: near 1 in the synonymous mask (with 230 genes its standard error is 0.3), above it in the damaging one, where three genes are true and one is false. Lambda at
# the median says little of so few cases: in many genes no case has a variant, p of these is near 1, and lambda is then near 0. That is no error and no lack of power, p is discrete. At one case in 500 it has no meaning at all.
#
# ## A Manhattan plot of genes

# %%
figure, ax = plt.subplots(figsize=(9, 3.6), layout="constrained")
damaging = by_mask(first, "skato")["damaging"].rename({"start": "base_pair_location", "set_id": "rsid"})
ax = ga.plots.manhattan(
    damaging, ax=ax, significance=first.threshold(), suggestive=None, title="SKAT-O, damaging variants"
)

# %% [markdown]
# ## What drives a gene?
#
# Each gene above the line, and what is left of it without each of its variants. A gene that stands on one variant is suspect until that variant's reads were looked at; a gene that
# loses a little with each is what one hopes for.

# %%
above = first.table.filter(pl.col("neg_log_10_p_value") > line)["set_id"].unique(maintain_order=True).to_list()
chosen = ga.read_sets(sets.table.filter(pl.col("set_id").is_in(above)), masks=masks)
without = ga.associate_sets(cohort, model, chosen, tests="burden", max_maf=0.01, leave_one_out=True)
rows = without.table.filter(pl.col("mask") == "damaging")
whole = rows.filter(pl.col("left_out").is_null()).select("set_id", whole="neg_log_10_p_value")
worst = (
    rows.filter(pl.col("left_out").is_not_null())
    .sort("neg_log_10_p_value")
    .group_by("set_id", maintain_order=True)
    .first()
    .select("set_id", "left_out", least="neg_log_10_p_value")
)
drivers = whole.join(worst, on="set_id").sort("whole", descending=True)
drivers.head(10)

# %% [markdown]
# GENE0002 loses everything with one variant, and that variant is among those with unequal coverage. (GENE0167 loses much with one, too, but its coverage is equal. Its burden is just below the line, and it is here by SKAT.)

# %%
drivers.filter(pl.col("left_out").is_in(unequal["variant_id"].implode()))

# %% [markdown]
# Who carries what: `ga.explain` of a gene tests it anew by dense formulas and draws its variants, cases upward, controls downward, as carriers per 1,000. In GENE0195 several variants are more frequent in cases. In GENE0002 one stands alone.

# %%
shown = ["GENE0002", "GENE0195"]
explained = {gene: ga.explain(first, gene, mask="damaging") for gene in shown}
figure, axes = plt.subplots(2, 1, figsize=(9, 8), layout="constrained")
for ax, (gene, found) in zip(axes, explained.items(), strict=True):
    ga.plots.lollipop(found.variants, title=gene, ax=ax)

# %% [markdown]
# ## Again, without variants that are covered unequally
#
# GENE0002 has no variant left and is not tested. What remains above the line:

# %%
clean = cohort.keep_variants(even)
second = ga.associate_sets(
    clean, model, sets, **choices, out=folder / "second.parquet", executor=ga.Threads(2), restart=True
)
line = -math.log10(second.threshold())
found = second.table.filter(pl.col("neg_log_10_p_value") > line).select(columns)
found.sort("neg_log_10_p_value", descending=True)

# %%
calibration(second).filter(pl.col("mask") == "synonymous")

# %% [markdown]
# ## How much does it do?
#
# The burden without weights: `beta` is the log odds ratio of one more damaging allele. Those found because they were the largest are too large on average (the winner's curse): replicate before you publish a size.

# %%
plain = ga.associate_sets(clean, model, sets, tests="burden", max_maf=0.01, weights="none")
effects = plain.table.filter(pl.col("mask") == "damaging", pl.col("set_id").is_in(found["set_id"].implode()))
effects.select(
    "set_id",
    "n_carriers_cases",
    "n_carriers_controls",
    odds_ratio=pl.col("beta").exp().round(1),
    lower=(pl.col("beta") - 1.96 * pl.col("standard_error")).exp().round(1),
    upper=(pl.col("beta") + 1.96 * pl.col("standard_error")).exp().round(1),
)

# %% [markdown]
# ## The truth
#
# What was planted, beside the smallest p by each test. In the gene of the kind "skat" half of the variants do harm, the others protect. For a rare disease protection
# cannot be seen (who carries it is a control, as nearly everybody is), but it dilutes the burden: SKAT, which does not need variants to agree, has the smaller p.

# %%
tested = by_mask(second, "burden")["damaging"].select("set_id", burden="neg_log_10_p_value")
for test in ("skat", "skato"):
    tested = tested.join(
        by_mask(second, test)["damaging"].select("set_id", pl.col("neg_log_10_p_value").alias(test)), on="set_id"
    )
planted = made.truth.filter(pl.col("trait") == "disease").select("set_id", "kind", "effect", "n_variants", "n_carriers")
planted.join(tested, on="set_id")

# %% [markdown]
# ## What this cannot say
#
# - A gene below the line is not a gene without effect: with a hundred cases an odds ratio of 3 is mostly missed. Power comes from cases.
# - The synonymous mask shows artefacts that all variants share. One that sits in a single missense variant, as here, it cannot show: coverage by case status and leave-one-out did.
# - Population controls hold some undiagnosed cases: odds ratios are a little too small.
# - Annotations are guesses. A mask that was chosen after looking at the results counts as many tests as masks were tried.
