"""Options of `assoc` that are made from the fields of the models: all are there, and say what they do."""

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from commands import assoc, refused
from small_cohort import make_files

from genassoc.cli import model_options, signatures
from genassoc.cli.model_options import choices_of, with_choices
from genassoc.cli.signatures import Option
from genassoc.models import registry
from genassoc.models.registry import MODELS

# Flags that users and scripts rely on, whatever the choices are called.
FLAGS = {
    "linear": "--trait --covar --missing --min-mac --rank-normalise --like --interaction --variance --weights --baseline",
    "logistic": "--trait --covar --test --correction --correct-below --like --matched --genetic-model --x-model --condition",
    "cox": "--time --event --covar --entry --strata --cause --ties --ph-time --test --correction --case-value",
    "poisson": "--trait --covar --exposure --dispersion --test --correction",
    "ordinal": "--trait --covar --levels --test --correction",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("cohort"))


@pytest.mark.parametrize("kind", list(MODELS))
def test_every_choice_is_an_option_that_says_what_it_is(kind):
    choices = choices_of([kind])
    assert set(choices) == set(registry.choices_of(kind))
    assert set(FLAGS.get(kind, "").split()) <= {choice.flag for choice in choices.values()}
    for choice in choices.values():
        assert choice.typed
        assert len(choice.help) > 20 and choice.help.endswith("."), choice.name
        assert "See genassoc" not in choice.help, choice.name


def test_names_of_options_are_those_of_no_other_choice():
    flags = [choice.flag for choice in choices_of(list(MODELS)).values()]
    assert len(set(flags)) == len(flags)


@dataclass(frozen=True)
class Cubic:
    """A model that has just been written.

    Parameters
    ----------
    traits : sequence of str
        Traits to be cubed.
    power : {2, 3}
        Which power. No more.
    knots, centre
        Two choices of one sentence.
    speed : {"slow", "fast"}
        How fast.
    """

    traits: tuple[str, ...]
    power: Literal[2, 3] = 3
    knots: float | None = None
    centre: bool = True
    speed: Literal["slow", "fast"] | None = None


def test_a_new_model_has_its_options_without_an_edit(monkeypatch):
    monkeypatch.setattr(registry, "MODELS", {"cubic": Cubic})
    choices = choices_of(["cubic"])
    assert [(choice.flag, choice.help) for choice in choices.values()] == [
        ("--trait", "Traits to be cubed."), ("--power", "Which power."), ("--knots", "Two choices of one sentence."),
        ("--centre", "Two choices of one sentence."), ("--speed", "How fast."),
    ]  # fmt: skip
    seen = {}

    def command(store: str, *, out: Annotated[str, Option()], **made: object) -> None:
        seen.update(made, store=store, out=out)

    app = signatures.command(with_choices(command, ["cubic"]))
    flags = ["s.zarr", "--out", "o", "--trait", 'a,"b, c"', "--trait", "d", "--power", "2", "--no-centre"]
    app(flags, standalone_mode=False)
    assert seen == {"store": "s.zarr", "out": "o", "traits": ["a", "b, c", "d"], "power": 2, "centre": False}
    with pytest.raises(SystemExit) as left:
        app(["s.zarr", "--out", "o", "--power", "4"])
    assert left.value.code == 2


def test_a_type_that_no_option_reads_is_a_fault_of_the_model():
    with pytest.raises(TypeError, match="no option reads"):
        assert model_options.Choice("odd", complex, "", ("cubic",)).typed


def test_choices_arrive_in_the_toml(files, tmp_path, genassoc):
    out = tmp_path / "o.parquet"
    code, toml, errors = genassoc(
        *assoc(files, out, "--baseline", "ldl_before", "--no-adjust-baseline", "--print-toml", trait="ldl")
    )
    assert code == 0, errors
    assert 'baseline = [\n    "ldl_before",\n]' in toml and "adjust_baseline = false" in toml
    code, toml, errors = genassoc(
        *assoc(files, out, "--dispersion", "poisson", "--print-toml", trait="n", model="poisson")
    )
    assert code == 0 and 'dispersion = "poisson"' in toml, errors


def test_help_is_of_the_model_that_is_named(genassoc):
    code, printed, _ = genassoc("assoc", "--model", "cox", "--help")
    assert code == 0 and "--entry" in printed and "--dispersion" not in printed
    code, printed, _ = genassoc("assoc", "-h")
    assert code == 0 and all(flag in printed for flags in FLAGS.values() for flag in flags.split())


def test_an_option_of_another_model_says_of_which(files, tmp_path, genassoc):
    out = tmp_path / "o.parquet"
    refused(genassoc(*assoc(files, out, "--dispersion", "quasi")), out, "linear has no choice", "poisson", code=2)
    refused(genassoc(*assoc(files, out, "--dispersal", "quasi")), out, "--dispersal", code=2)
