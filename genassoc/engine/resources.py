"""How much memory this process may use, and how much it holds: machine, container, batch system."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_UNLIMITED = 2**62  # version 1 of cgroups writes about 2**63 where there is no limit


@dataclass(frozen=True)
class Grant:
    """The memory that this process may use, and who says so.

    Attributes
    ----------
    n_bytes : int
        Bytes.
    source : str
        "this machine", "the container's limit", "SLURM".
    """

    n_bytes: int
    source: str


def granted_memory(
    environment: Mapping[str, str] | None = None,
    mount: Path = Path("/sys/fs/cgroup"),
    membership: Path = Path("/proc/self/cgroup"),
) -> Grant | None:
    """The least of the machine's memory, the limits of its cgroups (version 1 or 2) and SLURM's; None if none is known."""
    environment = os.environ if environment is None else environment
    grants: list[Grant] = []
    with contextlib.suppress(ValueError, OSError, AttributeError):
        grants.append(Grant(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "this machine"))
    grants += [Grant(limit, "the container's limit") for limit in _cgroup_limits(mount, membership)]
    slurm = _slurm_memory(environment)
    if slurm is not None:
        grants.append(Grant(slurm, "SLURM"))
    return min(grants, key=lambda grant: grant.n_bytes, default=None)


def _cgroup_limits(mount: Path, membership: Path) -> Iterator[int]:
    """Limits of the process's cgroups and of all above them: a parent's binds its children."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        root = mount / "memory" if controllers else mount
        folder = root / path.lstrip("/")
        for level in (folder, *folder.parents):
            if not level.is_relative_to(root):
                break
            for name in ("memory.limit_in_bytes",) if controllers else ("memory.max", "memory.high"):
                with contextlib.suppress(OSError, ValueError):  # "max" is no number
                    limit = int((level / name).read_text())
                    if 0 < limit < _UNLIMITED:
                        yield limit


def _slurm_memory(environment: Mapping[str, str]) -> int | None:
    """SLURM's grant in bytes: it writes mebibytes; 0 is the whole node."""
    node = environment.get("SLURM_MEM_PER_NODE", "")
    if node.isdigit() and int(node) > 0:
        return int(node) * 2**20
    cpu = environment.get("SLURM_MEM_PER_CPU", "")
    cpus = environment.get("SLURM_CPUS_PER_TASK") or environment.get("SLURM_CPUS_ON_NODE") or "1"
    if cpu.isdigit() and int(cpu) > 0 and cpus.isdigit():
        return int(cpu) * max(1, int(cpus)) * 2**20
    return None
