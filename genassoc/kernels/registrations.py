"""What numba has to be told before it compiles the first kernel, gathered while modules are imported."""

import os
import threading
from collections.abc import Callable

DISABLE_JIT = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
_registrations: list[Callable[[], None]] = []
_telling = threading.RLock()  # of one thread: what is told may ask for more to be told


def when_compiling(register: Callable[[], None]) -> Callable[[], None]:
    """Decorate what tells numba of functions that it compiles in a way of their own; it runs before the first kernel is compiled."""
    if not DISABLE_JIT:
        _registrations.append(register)
    return register


def ready() -> None:
    """Tell numba all that it has to know; who comes meanwhile waits until it is told."""
    with _telling:
        while _registrations:
            _registrations.pop()()
