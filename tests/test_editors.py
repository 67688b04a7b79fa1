"""What editors and notebooks complete and show, asked of jedi, which reads the source and runs nothing."""

import inspect

import pytest

import genassoc as ga

jedi = pytest.importorskip("jedi", reason="jedi, which completes names in editors, is not installed")
NOTEBOOK = """\
import genassoc as ga

store = ga.convert("cohort.vcf.gz", "cohort.zarr")
cohort = ga.Cohort.align(store, "phenotypes.tsv").keep_variants(ga.variants.maf_above(0.01))
results = ga.associate(cohort, ga.Linear(traits=["ldl"]))
genes = ga.associate_sets(cohort, ga.Linear(traits=["ldl"]), ga.read_sets("genes.tsv"))
components = ga.pca(cohort, k=4)
"""


def completed(expression: str) -> set[str]:
    """Names that are offered after an expression at the end of the notebook."""
    text = NOTEBOOK + expression
    line = text.count("\n") + 1
    return {found.name for found in jedi.Script(text).complete(line, len(expression))}


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def test_the_package_offers_its_public_names():
    assert completed("ga.") >= {*ga.__all__}
    assert completed("ga.Lin") == {"Linear", "LinearMixed"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("store", ga.GenotypeStore),
        ("cohort", ga.Cohort),
        ("results", ga.Results),
        ("genes", ga.SetResults),
        ("components", ga.PrincipalComponents),
    ],
)
def test_what_a_call_returned_offers_its_methods(name, kind):
    assert completed(f"{name}.") >= public(kind)


def test_functions_of_modules_and_tables_are_offered():
    assert completed("ga.plots.") >= {"manhattan", "qq", "miami"}
    assert completed("results.top(5).") >= {"select", "filter", "to_pandas"}


@pytest.mark.parametrize("call", ["ga.Linear", "ga.Cox", "ga.associate", "ga.Cohort.align", "ga.plots.manhattan"])
def test_a_call_shows_its_arguments(call):
    text = f"{NOTEBOOK}{call}("
    (shown,) = jedi.Script(text).get_signatures(text.count("\n") + 1, len(call) + 1)
    function = ga
    for part in call.split(".")[1:]:
        function = getattr(function, part)
    names = {parameter.name for parameter in shown.params} - {"_"}  # what follows it is by name only, in dataclasses
    assert names == {*inspect.signature(function).parameters}
    assert shown.docstring(raw=True)
