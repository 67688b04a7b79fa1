"""What numba has to be told before it compiles the first kernel, gathered while modules are imported."""

import os
from collections.abc import Callable

DISABLE_JIT = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
_registrations: list[Callable[[], None]] = []


def when_compiling(register: Callable[[], None]) -> Callable[[], None]:
    """Decorate what tells numba of functions that it compiles in a way of their own; it runs before the first kernel is compiled."""
    if not DISABLE_JIT:
        _registrations.append(register)
    return register


def ready() -> None:
    """Tell numba all that it has to know."""
    while _registrations:
        _registrations.pop()()
