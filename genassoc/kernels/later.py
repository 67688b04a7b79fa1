"""Names of numba and llvmlite for files that spell instructions out: imported when the first kernel is compiled, not before.

A function decorated with `intrinsic` becomes numba's own in its module then, and `overload` tells numba then how to compile a function.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from genassoc.kernels.registrations import when_compiling


class _Module:
    """A module that is imported when something of it is used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._name), name)


ir: Any = _Module("llvmlite.ir")
cgutils: Any = _Module("numba.core.cgutils")
types: Any = _Module("numba.core.types")


def intrinsic(function: Callable[..., Any]) -> Any:
    """As `numba.extending.intrinsic`, once a kernel is compiled."""

    def become() -> None:
        from numba.extending import intrinsic as made

        function.__globals__[function.__name__] = made(function)

    when_compiling(become)
    return function


def overload(of: Callable[..., Any], **how: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """As `numba.extending.overload`, once a kernel is compiled."""

    def tell(compiled: Callable[..., Any]) -> Callable[..., Any]:
        def spell_out() -> None:
            from numba.extending import overload as made

            made(of, **how)(compiled)

        when_compiling(spell_out)
        return compiled

    return tell
