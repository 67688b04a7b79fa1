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
# # A clinical trial: does genotype change what the drug does?
#
# A statin trial of 2,000 people in two arms, as a pharmacogeneticist would report it. The question and the rule are written down before any
# result is seen. The interaction comes first: whether a variant's effect differs between the arms. Every test that was made is counted.
#
# The trial is simulated, with effects larger than life, so that the truth can be looked at on the last page. With your own data, begin at "The cohort".
#
# ## The question
#
# Three endpoints, each with its estimand in the words of ICH E9 (R1). Stopping the drug is the main intercurrent event; what is done about it is said here, not after the analysis.
#
# | | LDL response | Muscle pain | Cardiac event |
# |---|---|---|---|
# | why | efficacy | safety | efficacy |
# | population | all who were randomised and genotyped | the same | the same |
# | treatments | statin or placebo, as randomised | the same | the same |
# | variable | LDL at the end, given LDL before, mmol/L | muscle pain at any time, yes or no | years from randomisation to the first event |
# | stopped treatment | treatment policy: the last LDL counts, on the drug or off it | treatment policy: pain counts after stopping too | treatment policy; while on treatment as a supplement |
# | other events | LDL not measured: left out, taken to be missing at random given the covariates | none | end of follow-up censors; nobody died here (a death would compete: `cause=`) |
# | summary for one more copy of ALT | difference between the arms of the effect on LDL | ratio of the arms' odds ratios | ratio of the arms' hazard ratios |
#
# ## The rule
#
# - The primary test of each endpoint is the interaction, one degree of freedom, of every variant with a minor allele frequency of 5 % or more.
# - The effect in each arm and the joint test (any effect at all, two degrees of freedom) are computed too, and so they count as tests.
# - A finding is a p below 0.05 divided by the number of all these tests, of all variants, endpoints and kinds. What lies above is not called a finding, whatever it looks like.
# - One genetic model (additive). No gene masks, no other endpoints, no subgroups were run. What is fitted for a single variant later on is a description and is given no p.

# %%
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from scipy.optimize import brentq
from scipy.stats import chi2, norm

import genassoc as ga
from genassoc.formats.vcf.writer import write_vcf

warnings.showwarning = lambda message, *_: print(f"{type(message).__name__}: {message}")
pl.Config.set_tbl_rows(20)
pl.Config.set_tbl_cols(12)
pl.Config.set_fmt_str_lengths(60)
folder = Path("clinical_trial")
folder.mkdir(exist_ok=True)
made = ga.simulate_cohort(n_samples=2000, n_variants=6000, seed=20)
file = write_vcf(folder / "trial.vcf.gz", made.sample_ids, made.contigs, made.blocks(), index=True)

# %% [markdown]
# Who stopped the drug, and when, is added here: one in twenty a year, and half of those with muscle pain in their first year. In this simulation stopping changes no
# outcome. In a real trial it does, and pulls the effects by treatment policy towards none.

# %%
rng = np.random.default_rng(20)
people = made.phenotypes.with_columns(
    stopped=pl.Series(
        np.minimum(
            rng.exponential(20, 2000),
            np.where(made.phenotypes["muscle_pain"].to_numpy() * rng.random(2000) > 0.5, rng.random(2000), np.inf),
        ).round(2)
    )
)
people = people.with_columns(stopped=pl.when(pl.col("stopped") < pl.col("years")).then("stopped"))
# While on treatment: follow-up ends when the drug is stopped.
people = people.with_columns(
    years_on=pl.min_horizontal("years", "stopped"),
    event_on=pl.when(pl.col("stopped").is_null()).then("cardiac_event").otherwise(0),
    event_3y=((pl.col("cardiac_event") == 1) & (pl.col("years") <= 3)).cast(int),
)
people.write_csv(folder / "trial.tsv", separator="\t", null_value="NA")

# %% [markdown]
# ## The cohort
#
# Nobody is dropped in silence: the ledger has every sample and every variant.

# %%
store = ga.convert(folder / "trial.vcf.gz", folder / "trial.zarr", overwrite=True)
everything = ga.Cohort.align(store, folder / "trial.tsv", sample_id="IID", sex="sex")
cohort = everything.keep_variants(ga.variants.maf_above(0.05) & ga.variants.missing_below(0.05))
print("\n".join(cohort.summary_lines()))
people.group_by("statin").agg(
    n=pl.len(),
    age=pl.col("age").mean().round(1),
    men=(pl.col("sex") == 1).mean().round(3),
    ldl_before=pl.col("ldl_before").mean().round(2),
    ldl_missing=(pl.col("ldl").is_null() | pl.col("ldl_before").is_null()).sum(),
    stopped=pl.col("stopped").is_not_null().sum(),
    muscle_pain=pl.col("muscle_pain").sum(),
    cardiac_events=pl.col("cardiac_event").sum(),
    years=pl.col("years").mean().round(2),
).sort("statin")

# %% [markdown]
# The arms are alike before treatment, as randomisation makes them. Genotypes do not depend on the arm, so calls should be missing as often in either:

# %%
by_arm = {arm: ga.variant_qc(everything.keep_samples(pl.col("statin") == arm)) for arm in ("placebo", "statin")}
pl.DataFrame({arm: quality["missing_rate"] for arm, quality in by_arm.items()}).select(
    pl.all().mean().round(5), most_apart=(pl.col("statin") - pl.col("placebo")).abs().max().round(4)
)

# %% [markdown]
# ## Three scans
#
# `interaction="statin"` gives every variant the difference between the arms, both tests together, and the effect in each arm. The responses to a drug vary more than those to a
# placebo, so the variance of LDL is not the same in both arms: `variance="robust"` (HC3) allows for that. Muscle pain is fitted by logistic regression, the cardiac event by
# Cox regression, both with Firth's penalty where it counts. Four principal components stand for ancestry.

# %%
adjusted_for = ["age", "sex", "PC1:PC4"]
ldl = {"traits": ["ldl"], "baseline": "ldl_before", "covariates": adjusted_for, "interaction": "statin"}
scans = {"LDL response": ga.associate(cohort, ga.Linear(**ldl, variance="robust"))}
warnings.simplefilter("ignore", ga.CodingWarning)  # how the arms are coded was said once
scans["muscle pain"] = ga.associate(cohort, ga.Logistic(["muscle_pain"], adjusted_for, interaction="statin"))
scans["cardiac event"] = ga.associate(
    cohort, ga.Cox(time="years", event="cardiac_event", covariates=adjusted_for, interaction="statin")
)

# %% [markdown]
# ## How many tests was that, and are they calibrated?
#
# Of the rows of a variant, `add` is the effect on placebo once more: four tests are different. Rows without a p (too few people with pain among the carriers of an arm) were not tested, and say so.

# %%
tests = {
    "add:E": "between the arms",
    "joint_2df": "any effect",
    "add|E=placebo": "on placebo",
    "add|E=statin": "on statin",
}
inflation = (
    pl.col("neg_log_10_p_value").median().map_elements(lambda y: chi2.isf(10**-y, 1) / chi2.isf(0.5, 1), pl.Float64)
).round(2)
counted = pl.concat(
    results.table.filter(pl.col("test").is_in(list(tests)))
    .group_by("test", maintain_order=True)
    .agg(
        pl.lit(name).alias("endpoint"),
        tests=pl.col("neg_log_10_p_value").count(),
        no_p=pl.col("neg_log_10_p_value").null_count(),
        inflation=inflation,
    )
    for name, results in scans.items()
)
n_tests = counted["tests"].sum()
threshold = 0.05 / n_tests
print(f"{n_tests:,} tests; a finding has p below {threshold:.1e}")
counted.select("endpoint", "test", "tests", "no_p", pl.col("inflation").alias("lambda"))

# %% [markdown]
# Lambda is the median test statistic over that of chance: 1 is right. Of two thousand variants, many of them neighbours, it strays by 0.1 and now and then by 0.2; what goes beyond chance is warned of, and nothing
# was. Without the robust variance the arms are off in opposite directions, and a finding on the drug would come too easily:

# %%
plain = ga.associate(cohort, ga.Linear(**ldl))
plain.table.group_by("test", maintain_order=True).agg(inflation.alias("lambda")).filter(pl.col("test") != "add")

# %%
figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
for ax, (name, results) in zip(axes, scans.items(), strict=True):
    ga.plots.qq(results, test="add:E", ax=ax, title=f"{name}: between the arms")

# %% [markdown]
# ## First the interactions
#
# The dashed line is the rule's. On a genome-wide array the usual line is 5e-8; it would be divided by the endpoints and kinds of test as well.

# %%
figure, axes = plt.subplots(3, 1, figsize=(10, 9), layout="constrained")
for ax, (name, results) in zip(axes, scans.items(), strict=True):
    ga.plots.manhattan(
        results,
        test="add:E",
        ax=ax,
        significance=threshold,
        suggestive=None,
        annotate=1,
        title=f"{name}: between the arms",
    )

# %% [markdown]
# The strongest interaction of each endpoint, with everything that was tested of that variant: difference between the arms first. `finding` is the rule, applied to every row alike.


# %%
def p_text(neg_log_10_p):
    """p as it is written."""
    if neg_log_10_p < 2:
        return f"{10**-neg_log_10_p:.2f}"
    exponent = int(neg_log_10_p) + 1
    return f"{10 ** (exponent - neg_log_10_p):.1f}e-{exponent}"


def best_of(results):
    """The variant with the smallest p of an interaction."""
    rows = results.table.filter(pl.col("test") == "add:E")
    return rows.sort("neg_log_10_p_value", descending=True, nulls_last=True)["variant_id"][0]


def effects(name):
    """Effects of one more ALT on the scale of the summary measure, with 95 % intervals."""
    ratio = name != "LDL response"
    rows = scans[name].table.filter(pl.col("variant_id") == leads[name], pl.col("test").is_in(list(tests)))
    columns = {"estimate": "beta", "lower": "ci_lower", "upper": "ci_upper"}
    return rows.select(
        pl.lit(name).alias("endpoint"),
        pl.col("variant_id").alias("variant"),
        pl.col("test").replace_strict(tests).alias("test"),
        *((pl.col(old).exp() if ratio else pl.col(old)).alias(new) for new, old in columns.items()),
        p=pl.col("neg_log_10_p_value").map_elements(p_text, pl.String),
        finding=pl.when(pl.col("neg_log_10_p_value") > -np.log10(threshold))
        .then(pl.lit("yes"))
        .otherwise(pl.lit("no")),
    ).sort(pl.col("test").replace_strict({test: place for place, test in enumerate(tests.values())}))


leads = {name: best_of(results) for name, results in scans.items()}
units = {"LDL response": "mmol/L", "muscle pain": "odds ratio", "cardiac event": "hazard ratio"}
told = pl.concat(effects(name) for name in scans)
told.with_columns(pl.col("estimate", "lower", "upper").round(2))

# %%
figure, axes = plt.subplots(1, 3, figsize=(12, 2.8), layout="constrained", sharey=True)
shown = ["on placebo", "on statin", "between the arms"]
for ax, name in zip(axes, scans, strict=True):
    for y, test in enumerate(shown):
        row = told.filter(endpoint=name, test=test).row(0, named=True)
        colour = "#d55e00" if test == "between the arms" else "#0072b2"
        ax.plot([row["lower"], row["upper"]], [y, y], color=colour, linewidth=1.5)
        ax.plot(row["estimate"], y, "D" if test == "between the arms" else "s", color=colour)
    ax.axvline(0 if name == "LDL response" else 1, color="0.6", linewidth=0.8)
    if name != "LDL response":
        ax.set_xscale("log")
        ticks = [0.5, 1, 2, 5, 10] if name == "muscle pain" else [0.2, 0.5, 1, 2]
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
    ax.set(title=f"{name}, {leads[name]}", xlabel=f"one more copy, {units[name]} (95 %)")
    ax.title.set_fontsize(10)
    ax.set_ylim(-0.5, 2.5)
    ax.spines[["top", "right"]].set_visible(False)
text = axes[0].set_yticks(range(3), [*shown[:2], "between\nthe arms"])

# %% [markdown]
# By the rule:
#
# - **LDL response**: the arms differ. The allele has an effect on the drug and none to speak of on placebo.
# - **Cardiac event**: the arms differ. It passes this trial's line narrowly. It would not pass 5e-8, the line of a whole genome.
# - **Muscle pain**: that the arms differ is *not* established: p is 1.1e-4, fifty times the line. What is established is that among those *on the drug* carriers have more pain. On placebo the interval is too
#   wide to say that they have not.
#
# The last is the usual trap. "An effect on the drug, none on placebo" compares a small p with a large one; it is no test of a difference. That test is the interaction, and it comes first for this reason.
#
# ## LDL response
#
# Without the allele LDL falls by 1.3 mmol/L on the drug; each copy takes about a quarter of that away. (Boxes and means are unadjusted; the effects above them are the model's.)

# %%
explained = {name: ga.explain(results, leads[name]) for name, results in scans.items()}
figure = explained["LDL response"].figure()

# %% [markdown]
# ## Muscle pain: risks, with intervals
#
# Nobody is treated with an odds ratio. The fitted logistic model gives the risk that all these people would have, given each genotype and arm in turn and their own covariates, with 95 % intervals by
# the delta method. A negative number needed to treat is a number needed to harm.

# %%
risks = explained["muscle pain"].absolute
risks.shown

# %%
figure, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
for shift, arm, colour in ((-0.06, "placebo", "#0072b2"), (0.06, "statin", "#d55e00")):
    value, low, high = (100 * risks.table[f"risk_{arm}{end}"].to_numpy() for end in ("", "_lower", "_upper"))
    ax.errorbar(
        np.arange(value.size) + shift, value, [value - low, high - value], fmt="o", capsize=3, color=colour, label=arm
    )
names = [f"{name}\n{few} in the smaller arm" for name, few in zip(risks.genotypes, risks.fewest, strict=True)]
ax.set_xticks(range(len(names)), names)
ax.set(ylabel="risk of muscle pain, % (95 %)", title=f"fitted risks, {leads['muscle pain']}")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# What was counted, to hold the model against. For two copies the model says 55 % and 5 of 14 had pain: there the number rests on the additive model more than on people.

# %%
figure = explained["muscle pain"].figure()

# %% [markdown]
# ## Cardiac event: Kaplan-Meier by genotype and arm

# %%
figure = explained["cardiac event"].figure()

# %% [markdown]
# Everybody was followed for three years, so the risk by then needs no model of time: a logistic model of an event within three years gives it by genotype and arm, with intervals. No test is made of it.

# %%
chromosome, position, *_ = leads["cardiac event"].split("_")
one = cohort.keep_variants(ga.variants.in_region(f"{chromosome}:{position}-{position}"))
three_years = ga.associate(one, ga.Logistic(["event_3y"], adjusted_for, interaction="statin"))
ga.explain(three_years, leads["cardiac event"]).absolute.shown

# %% [markdown]
# ## Those who stopped
#
# The supplement: the same model while on treatment, follow-up ending when the drug is stopped. It asks another question (what the drug does to those who go on taking it), and it is right only if those
# who stop are like those who do not, given the covariates. Beside it, the main analysis, and the main one with a robust variance, which holds if hazards are not proportional.

# %%
supplements = {
    "treatment policy": {"time": "years", "event": "cardiac_event"},
    "while on treatment": {"time": "years_on", "event": "event_on"},
    "treatment policy, robust": {"time": "years", "event": "cardiac_event", "variance": "robust"},
}
rows = []
for name, choice in supplements.items():
    found = ga.associate(one, ga.Cox(**choice, covariates=adjusted_for, interaction="statin")).table
    row = found.filter(pl.col("test") == "add:E").row(0, named=True)
    ratio, low, high = (round(float(np.exp(row[column])), 2) for column in ("beta", "ci_lower", "ci_upper"))
    rows.append((name, int(people[choice["event"]].sum()), ratio, low, high))
pl.DataFrame(rows, schema=["analysis", "events", "ratio of hazard ratios", "lower", "upper"], orient="row")

# %% [markdown]
# ## Where nothing was found
#
# No finding is no proof of no effect. The smallest interaction that this trial finds four times in five is (z of the threshold + 0.84) standard errors. Each point is a variant; those far above the others have few
# events in an arm.


# %%
z_line = norm.isf(threshold / 2)
differences = {
    "LDL response": "mmol/L",
    "muscle pain": "ratio of odds ratios",
    "cardiac event": "ratio of hazard ratios",
}
detectable = {
    name: results.table.filter(pl.col("test") == "add:E", pl.col("neg_log_10_p_value").is_not_null()).select(
        "variant_id",
        maf=pl.min_horizontal("effect_allele_frequency", 1 - pl.col("effect_allele_frequency")),
        least=(z_line + norm.ppf(0.8)) * pl.col("standard_error"),
    )
    for name, results in scans.items()
}
figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
for ax, (name, rows) in zip(axes, detectable.items(), strict=True):
    least = rows["least"] if name == "LDL response" else rows["least"].exp()
    ax.scatter(100 * rows["maf"], least, s=4, color="#0072b2", alpha=0.5, linewidth=0)
    if name != "LDL response":
        ax.set_yscale("log")
        ticks = [2, 5, 10, 100, 1000] if name == "muscle pain" else [2, 3, 5, 10, 20]
        ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
    ax.set(title=name, xlabel="minor allele frequency, %", ylabel=differences[name])
    ax.spines[["top", "right"]].set_visible(False)
text = figure.suptitle("Smallest difference between the arms found with 80 % power", fontsize=11)

# %%
least = {name: rows.filter(variant_id=leads[name])["least"][0] for name, rows in detectable.items()}
pl.DataFrame(
    {
        "endpoint": list(least),
        "variant": list(leads.values()),
        "detectable": [round(v if name == "LDL response" else float(np.exp(v)), 2) for name, v in least.items()],
        "unit": list(differences.values()),
    }
)

# %% [markdown]
# For muscle pain the trial could only have established a ratio of odds ratios above ten. That it did not establish one of five says nothing against it: pain is rare on placebo, and nobody can tell a
# rare thing from a rarer one with 32 events. A trial of this question needs more pain on placebo, so more people.
#
# ## The winner's curse
#
# A finding is shown because it is large, and it is large in part by luck. Given that it had to pass the line, its size is estimated anew: the effect under which what was seen is the average of those that
# pass (Zhong and Prentice 2008). Far above the line nothing changes; close to it, much.


# %%
def passing(mean):
    """Average z of the tests that pass the line, of those with this mean."""
    up, down = norm.sf(z_line - mean), norm.cdf(-z_line - mean)
    return mean + (norm.pdf(z_line - mean) - norm.pdf(-z_line - mean)) / (up + down)


def share_below(mean, z):
    """Of those that pass, the share whose z is below this one."""
    up, down = norm.sf(z_line - mean), norm.cdf(-z_line - mean)
    return (down + up - norm.sf(z - mean)) / (up + down)


def without_luck(z):
    """The mean under which z is the average of what passes, and its 95 % interval."""
    size = abs(z)
    solved = [brentq(lambda mean: passing(mean) - size, 0, size + 1)]
    solved += [
        brentq(lambda mean, share=share: share_below(mean, size) - share, -5, size + 5) for share in (0.975, 0.025)
    ]
    return [float(np.sign(z)) * mean for mean in solved]


claims = {"LDL response": "add:E", "muscle pain": "add|E=statin", "cardiac event": "add:E"}
rows = []
for name, test in claims.items():
    row = scans[name].table.filter(variant_id=leads[name], test=test).row(0, named=True)
    error = row["standard_error"]
    scale = (lambda x: x) if name == "LDL response" else np.exp
    fair, *ends = (float(scale(error * mean)) for mean in without_luck(row["beta"] / error))
    rows.append((name, tests[test], *(round(v, 2) for v in (float(scale(row["beta"])), fair, *sorted(ends)))))
pl.DataFrame(rows, schema=["endpoint", "test", "as estimated", "without the luck", "lower", "upper"], orient="row")

# %% [markdown]
# Plan the next trial with these. For the cardiac event, just above the line, they leave open nearly everything from 0.21 to no difference: a trial that is sized for a ratio of 0.30 is likely to fail.
#
# ## STROPS: what a report of a pharmacogenetic study should say
#
# The STROPS guideline (Chaplin et al. 2020, PLoS Medicine 17: e1003344) has 54 items. Here are its subjects in our words, and where each is answered. What is marked "yours" no program can fill in.
#
# | subject | here |
# |---|---|
# | title and summary name the drug, the outcomes and that it is pharmacogenetic | title; "The question" |
# | why these outcomes and these genes; candidate variants or the whole genome | all variants from 5 %, none chosen beforehand; the reasons are yours |
# | design, setting, dates, who could take part, consent | randomised, two arms, 2,000 people; the rest is yours |
# | drug, dose, route, length of treatment; other drugs | statin or placebo, 3 to 6 years; dose and other drugs are yours |
# | adherence, and how the analysis allows for it | estimand, row "stopped treatment"; "Those who stopped" |
# | outcomes defined, how and when they were measured | "The question" |
# | sample size: how it was decided, what it can find | "Where nothing was found" |
# | DNA source, genotyping, quality control, call rates | VCF; calls missing by arm, "The cohort"; laboratory methods are yours |
# | genotypes named so that others can find them; strand, build | chromosome, place, REF and ALT; counts by genotype in each picture |
# | Hardy-Weinberg proportions | three ancestries here, so departures are expected: not a filter |
# | ancestry and how stratification is dealt with | four components as covariates; QQ plots |
# | relatives | none simulated; in your data `ga.kinship` |
# | genetic model (additive, dominant, ...) and why | additive, one model, said beforehand |
# | covariates and why | age, sex, four components, LDL before |
# | interaction of genotype and treatment | "First the interactions" |
# | missing genotypes and outcomes | people without a call are left out of that variant; missing LDL counted by arm |
# | number of tests and how they are paid for | "How many tests was that" |
# | numbers by genotype and arm, effects with intervals, absolute risks | tables and pictures of the three endpoints |
# | all results, not the significant ones alone | the files below |
# | limits, bias, winner's curse, replication | "The winner's curse"; "What this licenses" |
# | funding, interests, where the data are | yours |

# %%
for name, results in scans.items():
    print(results.write(folder / f"{name.replace(' ', '_')}.tsv.gz"))

# %% [markdown]
# ## What this licenses
#
# - **LDL response**: LDL falls less in carriers on the drug, by 0.3 mmol/L a copy, a difference by the rule. The drug still lowers LDL in all genotypes: no reason to withhold it, and one more to measure LDL once it is taken, as one does anyway.
# - **Muscle pain**: more pain in carriers on this drug, one in five with one copy. It is worth a second trial; if that agrees, a guideline on doses is for a panel of clinicians to write. That carriers would be spared without the drug is likely, and was not shown here.
# - **Cardiac event**: a difference worth a larger trial, which should expect less than was seen here. It licenses no decision.
#
# ## What it does not license
#
# - To change anybody's treatment, by a program or by a reader of this page: these are averages of one trial, and nobody here knows the patient.
# - To say that a variant does nothing because it is not listed: see the smallest effect that could be found.
# - To say that the variants are the cause: a neighbour in linkage disequilibrium may be. Randomisation makes arms comparable, not genotypes.
# - To carry the numbers to other ancestries, doses or drugs.
#
# ## The truth
#
# What the simulator had planted. A reader of a real trial never sees this page.

# %%
made.truth.filter(pl.col("term") == "interaction", pl.col("trait") != "ldl").select(
    "trait", "variant_id", "effect", "unit"
)

# %% [markdown]
# The three variants are true, and so is the interaction of muscle pain, which the rule did not let us claim: a rule that seldom says too much sometimes says too little. The cardiac one was planted at half
# the hazard for a copy (log 0.5 = -0.693), and seen as less than a third: the winner's curse. And one effect on the LDL response was not found: it is smaller than what this trial can find.
