"""How kernels are compiled: each one that Python calls as a whole, with what it calls optimised inside it, once.

numba compiles a kernel that another kernel calls as if Python called it as well: wrapped for Python and for C, optimised
alone, turned into machine code, written to the cache; and then its caller takes a copy, optimises that once more and turns
it into machine code of its own. Nothing but the copy is of use. Here a kernel that is called by kernels is a part: typed and
lowered once in a process, simplified function by function, and linked into each kernel that Python calls. Those are
optimised in full, as ever: the same arithmetic, in the same order.

A part is made for the types of its arguments, not for their values: numba would make ``f(x, 0)`` and ``f(x, n)`` two.

This leans on insides of numba (`_INSIDES`). Where a release has others, kernels are compiled as numba does it, more slowly.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.core import codegen, compiler, cpu, dispatcher, types, typing
from numba.core.registry import cpu_target

from genassoc.kernels.registrations import ready

_Library: Any = getattr(codegen, "JITCodeLibrary", object)
_FunctionCompiler: Any = getattr(dispatcher, "_FunctionCompiler", object)

# What this file calls or overrides.
_INSIDES = (
    (_Library, ("_optimize_final_module", "_finalize_final_module", "_finalize_dynamic_globals", "finalize")),
    (compiler.CompilerBase, ("compile_extra",)),
    (compiler.CompileResult, ("_find_referenced_environments",)),
    (cpu.CPUContext, ("insert_user_function",)),
    (_FunctionCompiler, ("compile", "fold_argument_types")),
    (dispatcher.Dispatcher, ("get_call_template", "get_overload")),
    (types, ("unliteral",)),
    (typing, ("make_concrete_template",)),
)
KNOWN = all(hasattr(owner, name) for owner, names in _INSIDES for name in names)
# Of a division by zero numba would make an exception: a branch at each division, with which no loop is vectorised.
_OPTIONS: dict[str, Any] = {"nopython": True, "nogil": True, "no_cfunc_wrapper": True, "error_model": "numpy"}


class _PartLibrary(_Library):
    """Code to link into others: neither optimised as a whole nor turned into machine code."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class _PartCompiler(compiler.Compiler):
    """Stops before machine code."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        """As numba does it, into a `_PartLibrary`."""
        state = self.state
        state.library = _PartLibrary(state.targetctx.codegen(), func.__qualname__)
        state.flags.no_compile = True
        made = super().compile_extra(func)._replace(entry_point=object())
        state.targetctx.insert_user_function(made.entry_point, made.fndesc, [made.library])
        return made


class _WholeCompiler(compiler.Compiler):
    """Compiles a kernel that Python calls."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        """As numba does it, the parts' constants found too."""
        made = super().compile_extra(func)
        # Parts have no machine code of their own to tell where their constants are; its loader does the same.
        for environment in made._find_referenced_environments():
            made.library.codegen.set_env(environment.env_name, environment)
        return made


class Parts:
    """A kernel as kernels call it: made once for each list of argument types."""

    def __init__(self, function: Callable[..., Any]) -> None:
        options = {**_OPTIONS, "no_cpython_wrapper": True}
        self.name = function.__name__
        self.made: dict[tuple[Any, ...], Any] = {}
        self._compiler = _FunctionCompiler(function, cpu_target, options, {}, _PartCompiler)

    def get_call_template(self, args: tuple[Any, ...], kws: dict[str, Any]) -> tuple[Any, Any, tuple[Any, ...], Any]:
        """As of numba's `Dispatcher`: how a call with these argument types is typed."""
        signature, args = self._compiler.fold_argument_types(args, kws)
        args = tuple(types.unliteral(arg) for arg in args)
        if args not in self.made:
            self.made[args] = self._compiler.compile(args, None)
        template = typing.make_concrete_template(
            f"CallTemplate({self.name})", key=self.name, signatures=[self.made[args].signature]
        )
        return template, signature, args, {}

    def get_overload(self, args: tuple[Any, ...]) -> Any:
        """As of numba's `Dispatcher`: the key under which the code for these argument types is known."""
        return self.made[tuple(args)].entry_point


def compiled(function: Callable[..., Any]) -> Any:
    """A dispatcher of numba for a kernel, whose `Parts` are its attribute ``parts`` where numba's insides are `KNOWN`."""
    if not KNOWN:
        return numba.njit(nogil=True, error_model="numpy")(function)
    whole: Any = numba.jit(pipeline_class=_WholeCompiler, **_OPTIONS)(function)
    whole.parts = Parts(function)
    whole.get_call_template, whole.get_overload = whole.parts.get_call_template, whole.parts.get_overload
    return whole


def machine_code(
    function: Callable[..., object], args: tuple[object, ...], called: tuple[str, ...]
) -> tuple[bytes, str, bool]:
    """Compile a kernel for `genassoc.kernels.loading`.

    Parameters
    ----------
    function : callable
        Its Python code.
    args : tuple
        Arguments of the types that it is called with.
    called : tuple of str
        Functions outside it that it may call.

    Returns
    -------
    bytes, str, bool
        The object file, the name of the function in it, whether it returns a number.

    Raises
    ------
    TypeError
        It uses what only numba brings along: memory of its own, exceptions with words, ...
    """
    ready()
    options = {**_OPTIONS, "no_cpython_wrapper": True}
    made = _FunctionCompiler(function, cpu_target, options, {}, _WholeCompiler).compile(
        tuple(map(_native_type, args)), None
    )
    module = made.library._final_module
    foreign = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
    if unknown := set(foreign) - set(called):
        raise TypeError(f"the kernel {function.__name__} calls {sorted(unknown)}, which is not there without numba")
    if made.signature.return_type not in (types.none, types.int64):
        raise TypeError(f"the kernel {function.__name__} returns {made.signature.return_type}")
    return made.library._get_compiled_object(), made.fndesc.llvm_func_name, made.signature.return_type != types.none


def _native_type(value: Any) -> Any:
    """The type of an argument of a native kernel: arrays are alike, whether they may be written to or not."""
    if isinstance(value, np.ndarray):
        return types.Array(numba.from_dtype(value.dtype), value.ndim, "C")
    if isinstance(value, tuple):
        return types.NamedTuple([_native_type(member) for member in value], type(value))
    return types.unliteral(numba.typeof(value))
