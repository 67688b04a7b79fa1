"""Files that appear whole or not at all: a ``wip_`` file, fsync, then rename; disk errors put into words."""

import contextlib
import errno
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from genassoc.errors import OutputError

WIP_PREFIX = "wip_"

_REASONS = {
    errno.ENOSPC: ("no space left on the disk", "free some space or choose another folder"),
    errno.EDQUOT: (
        "your disk quota is used up: no space left for you",
        "free some space or choose another folder",
    ),
    errno.EFBIG: (
        "the file would exceed the largest size allowed here",
        "raise the limit (ulimit -f) or write elsewhere",
    ),
    errno.EACCES: ("permission denied", "choose a folder that you may write to"),
    errno.EPERM: ("permission denied", "choose a folder that you may write to"),
    errno.EROFS: ("the disk is mounted read-only", "choose a folder that you may write to"),
    errno.ENOENT: ("the folder does not exist", "create it first (mkdir -p)"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "choose another path"),
    errno.EISDIR: ("it is a folder", "name a file"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
    errno.ELOOP: ("it is a link that leads to itself", "remove it, or choose another name"),
    errno.EIO: ("the disk reports an input/output error", "check the disk"),
}


def host_name() -> str:
    """This machine's name, fit for a file name."""
    return "".join(c if c.isalnum() or c == "-" else "-" for c in socket.gethostname()) or "host"


def process_alive(pid: int) -> bool:
    """Whether a process of this machine with this number exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def output_error(error: OSError, path: Path, afterwards: str = "") -> OutputError:
    """The operating system's refusal to write ``path``, in words, with what to do.

    Parameters
    ----------
    error : OSError
        What the operating system said.
    path : Path
        The file or folder being written.
    afterwards : str
        A sentence on what became of the work done so far.
    """
    reason, remedy = _REASONS.get(error.errno or 0, (error.strerror or str(error), "check the path and the disk"))
    message = f"cannot write {path}: {reason}; {remedy}."
    return OutputError(f"{message} {afterwards}".strip())


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` last through a power failure, where the file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def wip_path(path: Path) -> Path:
    """A name beside ``path`` that no other writer uses, and that tells whose it is."""
    return path.with_name(f"{WIP_PREFIX}{path.name}.{host_name()}.{os.getpid()}.{secrets.token_hex(4)}")


def target_of(path: Path) -> Path:
    """The file to write for an output named ``path``: the target if it is a link (the link stays), else ``path`` itself.

    Raises
    ------
    OutputError
        The link leads to no place.
    """
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise output_error(OSError(errno.ELOOP, "links in a circle"), path)
    return target


@contextlib.contextmanager
def replacing(
    path: Path, afterwards: str = "", *, private: bool = False, sealed: Callable[[], None] | None = None
) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of ``path`` only when the block ends without an error.

    Readers see the old file or the whole new one; two writers at once are harmless: the last one wins. A link is replaced
    too: what people named goes through `target_of`, and what lies in a folder of ours is no link.

    Parameters
    ----------
    path : Path
    afterwards : str
        A sentence on what becomes of the work done so far if the file cannot be written.
    private : bool
        Whether nobody else may read it.
    sealed : callable, optional
        Called when all bytes are on the disk, before they appear as ``path``: what it writes is there first.

    Raises
    ------
    OutputError
        If the folder cannot be written or the disk is full; the unfinished file is removed.
    """
    wip = wip_path(path)
    try:
        with wip.open("x+b", buffering=2**20) as file:
            if private:
                os.fchmod(file.fileno(), 0o600)  # while it is empty
            yield file
            file.flush()
            os.fsync(file.fileno())
        if sealed is not None:
            sealed()
        wip.replace(path)
    except OSError as error:
        raise output_error(error, path, afterwards) from error
    finally:
        with contextlib.suppress(OSError):
            wip.unlink()
    sync_folder(path.parent)


def sweep_unfinished(folder: Path, name: str = "*") -> None:
    """Remove ``wip_`` files of ``name`` that killed processes of this machine left behind."""
    with contextlib.suppress(OSError):
        for wip in folder.iterdir():
            owner = wip.name.rsplit(".", 3)  # wip_<name>, host, pid, token
            if len(owner) != 4 or not owner[0].startswith(WIP_PREFIX) or not owner[2].isdigit():
                continue
            ours = owner[1] == host_name() and name in ("*", owner[0].removeprefix(WIP_PREFIX))
            if ours and not process_alive(int(owner[2])):
                wip.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Check that a file can be created at ``path`` before hours of work are spent.

    Raises
    ------
    OutputError
        If ``path`` is a folder, or its folder is absent or cannot be written.
    """
    if path.is_dir():
        raise output_error(OSError(errno.EISDIR, "is a folder"), path)
    probe = wip_path(target_of(path))
    try:
        with probe.open("xb") as file:
            file.write(b"genassoc")
            file.flush()
    except OSError as error:
        raise output_error(error, path, "Nothing was computed.") from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def check_outputs(outputs: Sequence[Path], inputs: Sequence[Path] = ()) -> None:
    """Refuse an output that would replace an input, lie inside a store or a work folder, or be the same file as another output.

    Parameters
    ----------
    outputs : sequence of Path
        Files, or folders that files are put into.
    inputs : sequence of Path
        Files and stores that are read.

    Raises
    ------
    OutputError
        Names both.
    """
    for number, out in enumerate(outputs):
        for read in inputs:
            if _same_file(out, read):
                raise OutputError(f"{out} is read by this very command; choose another name for the output.")
        for other in outputs[:number]:
            if _same_file(out, other):
                raise OutputError(f"{out} is asked for twice, as two outputs; give each a name of its own.")
        for folder in Path(os.path.realpath(out)).parents:  # resolve() fails on links in a circle
            if (folder / "zarr.json").exists():
                raise OutputError(f"{out} lies in the genotype store {folder}; write elsewhere.")
            if _is_work_folder(folder):
                raise OutputError(f"{out} lies in {folder}, the work folder of a run; write elsewhere.")


def _is_work_folder(folder: Path) -> bool:
    plan = folder / "plan.json"
    with contextlib.suppress(OSError):
        if plan.is_file():  # opening a pipe would wait for a writer
            with plan.open("rb") as file:
                return b'"genassoc-plan"' in file.read(200)
    return False


def _same_file(one: Path, other: Path) -> bool:
    """Whether two paths are, or will be, one file."""
    with contextlib.suppress(OSError):
        return one.samefile(other)
    return os.path.realpath(one) == os.path.realpath(other)
