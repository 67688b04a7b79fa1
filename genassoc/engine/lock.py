"""One driver to a work folder: a lock file with host and process, and how to tell that its owner is dead."""

import contextlib
import json
import os
import secrets
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from genassoc.data import strangers
from genassoc.data.output import host_name, output_error, process_alive
from genassoc.data.strangers import MalformedError
from genassoc.errors import PlanError

LOCK_NAME = "driver.lock"
HEARTBEAT_SECONDS = 20.0
SILENT_SECONDS = 180.0  # another machine's driver is taken for dead after this long without a heartbeat
MOST_BYTES = 2**16  # of a lock; ours have two hundred
UNREADABLE_SECONDS = 10.0  # a lock is written at once after it is created: empty for longer means a death between


class DriverLock:
    """Held by the process that drives a work folder; ``with`` takes it and lets go of it.

    Parameters
    ----------
    folder : Path
        The work folder, which exists.

    Notes
    -----
    A driver of this machine is dead if its process is (the process's start time tells a number used again).
    One of another machine is dead if the lock's modification time, which a living driver renews, is old by
    the clock of the disk itself. Parts computed twice are harmless, so the lock saves work and confusion; the
    results do not depend on it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK_NAME
        self._token = secrets.token_hex(8)
        self._stop = threading.Event()
        self._heart: threading.Thread | None = None

    def __enter__(self) -> "DriverLock":
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock, or a dead driver's.

        Raises
        ------
        PlanError
            If a living driver holds it.
        OutputError
            If the folder cannot be written.
        """
        for _ in range(3):  # a stale lock is moved away once; a second driver may be doing the same
            if self._create():
                self._heart = threading.Thread(target=self._beat, name="genassoc-lock", daemon=True)
                self._heart.start()
                return
            seen = self._read()
            if seen is None:
                continue
            if not self._is_stale(seen):
                break
            self._move_away(seen)
        owner = _parse(self._read() or "")
        ahead = -self._silence()
        doubt = (
            f" The lock's time is {ahead:,.0f} s ahead of the disk's clock, so that nobody can tell whether its owner lives."
            if ahead > SILENT_SECONDS
            else ""
        )
        whose = f"process {owner['pid']} on {owner['host']}" if owner else "the lock does not say whose it is"
        raise PlanError(
            f"another run is using {self.path.parent} ({whose}).{doubt} Wait for it, or write to another output; if you know "
            f"that it is dead, remove {self.path} and start again."
        )

    def release(self) -> None:
        """Let go of the lock, if it is still ours."""
        self._stop.set()
        if self._heart is not None:
            self._heart.join()
            self._heart = None
        if self._is_ours():
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _create(self) -> bool:
        content = {
            "host": host_name(),
            "pid": os.getpid(),
            "started": process_start(os.getpid()),
            "token": self._token,
        }
        try:
            with self.path.open("x", encoding="utf-8") as file:
                json.dump(content, file)
        except FileExistsError:
            return False
        except OSError as error:
            with contextlib.suppress(OSError):
                self.path.unlink()
            raise output_error(error, self.path) from error
        return True

    def _read(self) -> str | None:
        """The lock's text, however odd; None where there is no lock.

        Raises
        ------
        PlanError
            What stands there is no file of ours: a folder, a pipe, or far too long.
        """
        try:
            return strangers.read_bytes(self.path, MOST_BYTES).decode(errors="replace")
        except FileNotFoundError:
            return None if not self.path.is_symlink() else ""
        except (OSError, MalformedError) as error:
            raise PlanError(
                f"{self.path} stands where the lock of a run is to be, and is none ({error}): remove it, if no run is using "
                f"{self.path.parent}, and start again."
            ) from error

    def _is_ours(self) -> bool:
        with contextlib.suppress(Exception):
            return _parse(self._read() or "").get("token") == self._token
        return False

    def _is_stale(self, text: str) -> bool:
        owner = _parse(text)
        if not owner:
            return self._silence() > UNREADABLE_SECONDS
        if owner.get("host") != host_name():
            return self._silence() > SILENT_SECONDS
        return not process_alive(owner["pid"]) or owner.get("started") != process_start(owner["pid"])

    def _silence(self) -> float:
        """Seconds since the lock was renewed, by the disk's own clock: machines disagree on the time."""
        probe = self.path.with_name(f"{LOCK_NAME}.{self._token}")
        try:
            probe.touch()
            return probe.stat().st_mtime - self.path.lstat().st_mtime
        except OSError:
            return 0.0
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()

    def _move_away(self, seen: str) -> None:
        """Remove the dead driver's lock, and no other that may have taken its place meanwhile."""
        aside = self.path.with_name(f"{LOCK_NAME}.stale.{self._token}")
        with contextlib.suppress(OSError):
            self.path.rename(aside)
            if not aside.is_symlink() and aside.read_text(encoding="utf-8", errors="replace") != seen:
                os.link(aside, self.path)  # a living driver's: put it back, unless a third one is there already
        with contextlib.suppress(OSError):
            aside.unlink()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            if self._is_ours():
                with contextlib.suppress(OSError):
                    os.utime(self.path)


def _parse(text: str) -> dict[str, Any]:
    """The lock's content; empty where it is none that we wrote."""
    try:
        content = strangers.parse_object(text.encode())
        strangers.field(content, "host", strangers.text)
        for name in ("started", "token"):
            strangers.optional(content, name, strangers.text)
        strangers.field(content, "pid", strangers.whole, 1, 2**31 - 1)
    except (MalformedError, UnicodeEncodeError):
        return {}
    return content


def process_start(pid: int) -> str:
    """When a process of this machine started, where the system tells: a number used again differs."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{ticks}"
    except (OSError, IndexError):
        return ""
