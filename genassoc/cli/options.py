"""What the commands share: options with one meaning everywhere."""

from typing import TYPE_CHECKING, Annotated

import click

from genassoc.cli.signatures import Option
from genassoc.cli.speech import progress as progress
from genassoc.cli.speech import say as say
from genassoc.cli.speech import tell as tell

if TYPE_CHECKING:
    from genassoc.engine.executors import Threads as ThreadsExecutor

_RUNNING = "How it is run"
Threads = Annotated[
    int | None,
    Option(min=1, help="Threads; by default all usable CPUs. Results do not depend on it.", panel=_RUNNING),
]
Memory = Annotated[
    str | None,
    Option(
        metavar="SIZE",
        help="Memory limit of this process, such as 4GiB; sets threads and blocks.",
        panel=_RUNNING,
    ),
]
Dask = Annotated[
    str | None,
    Option(
        metavar="ADDRESS",
        help="Run on a Dask scheduler, or local:N for N processes.",
        panel=_RUNNING,
    ),
]
Audit = Annotated[
    int,
    Option(min=0, max=10**9, help="Rows fitted again by independent dense code; 0: none.", panel=_RUNNING),
]
Force = Annotated[
    bool,
    Option(
        "--force",
        help="Start again: replace results, unfinished work, or a store of another VCF.",
        panel=_RUNNING,
    ),
]
NoRelatedness = Annotated[
    bool,
    Option(
        "--no-relatedness",
        help="Do not look for relatives and ancestry among the samples, nor for inflation; the results are the same.",
        panel=_RUNNING,
    ),
]
Policy = Annotated[
    str | None,
    Option(
        metavar="snds|casd|ukb|finngen",
        help="What may leave: no count of people under 11 (snds; casd: nor by a difference) or 5 (ukb, finngen).",
    ),
]
Json = Annotated[bool, Option("--json", help="Print JSON for programs.")]
IdRule = Annotated[
    str | None,
    Option(
        metavar="RULE[+RULE]",
        help="How sample ids are changed before they are compared: exact, trim, casefold, nfc, strip_zeros, iid, fid_iid, ...",
    ),
]


def check_policy(name: str | None) -> None:
    """Refuse the name of a policy that is none, as a wrong option.

    Raises
    ------
    click.BadParameter
        Names those there are.
    """
    from genassoc.data.disclosure import policy_of

    try:
        policy_of(name)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--policy") from error


def executor(threads: int | None) -> "ThreadsExecutor":
    """So many threads of this process."""
    from genassoc.engine.executors import Threads as ThreadsExecutor

    return ThreadsExecutor(threads)
