"""The public names: the same for Python, which loads them when they are used, and for editors, which only read them."""

import ast
from importlib import resources

import pytest

import genassoc as ga
from genassoc import _MODULES, _NAMES


def names_for_editors():
    """Public name -> where it comes from, as the block for type checkers has it."""
    text = resources.files(ga).joinpath("__init__.py").read_text(encoding="utf-8")
    (block,) = (node for node in ast.parse(text).body if isinstance(node, ast.If))
    pairs = {}
    for node in block.body:
        if isinstance(node, ast.ImportFrom):
            pairs |= {alias.asname: f"{node.module}.{alias.name}" for alias in node.names if alias.asname}
    return pairs


def test_editors_know_the_same_names():
    places = {name: f"{module}.{name}" for name, module in _NAMES.items()} | _MODULES
    assert names_for_editors() == places
    assert resources.files(ga).joinpath("py.typed").is_file()


@pytest.mark.parametrize("name", ga.__all__)
def test_every_name_is_there(name):
    value = getattr(ga, name)
    if name in _NAMES:
        assert value.__name__ == name and value.__doc__
    assert getattr(ga, name) is value


def test_names_that_are_not_there():
    with pytest.raises(AttributeError, match="no attribute 'asociate'"):
        ga.asociate  # noqa: B018
    assert {"associate", "__version__"} <= set(dir(ga))
