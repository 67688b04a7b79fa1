"""Where a store lies, and how its files are reached: a folder, or the address of an object store that fsspec knows (s3://, gs://, https://, ...).

The door of fsspec. Credentials and endpoints are its own affair: the environment (AWS_PROFILE, FSSPEC_S3_ENDPOINT_URL, ...) and
the configuration files of each protocol. Nothing of them is read, kept or shown here.
"""

import os
import re
import stat
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from genassoc.data.integrity import signature
from genassoc.errors import OutputError, StoreError

_SEVERAL = "::"  # fsspec's mark of an address within an address
# Two letters at least: C:/ is a drive. One slash will do, since Path("s3://a/b") is "s3:/a/b".
_URL = re.compile(r"([a-z][a-z0-9+.-]+(?:::[a-z][a-z0-9+.-]+)*):/{1,3}(.+)", re.IGNORECASE)


def url_of(path: str | Path) -> str | None:
    """``path`` as an address; None if it is a path of this machine."""
    match = _URL.fullmatch(str(path))
    if match is None or Path(path).exists():
        return None
    scheme, rest = match.groups()
    return f"{scheme.lower()}://{'/' if scheme.lower() in ('file', 'local') else ''}{rest.rstrip('/')}"


def check_local(out: str | Path) -> None:
    """Refuse to write a store at an address: a killed upload would leave what looks like a store.

    Raises
    ------
    OutputError
        ``out`` is an address; says how a store gets there.
    """
    url = url_of(out)
    if url is None:
        return
    name = url.rpartition("/")[2]
    commands = {
        "s3": f"aws s3 cp --recursive --exclude zarr.json {name} {url} && aws s3 cp {name}/zarr.json {url}/zarr.json",
        "gs": f"gcloud storage rsync -r --exclude='^zarr.json$' {name} {url} && gcloud storage cp {name}/zarr.json {url}/zarr.json",
    }
    how = commands.get(url.partition(":")[0], "copy its folder there, with the top-level zarr.json last")
    raise OutputError(
        f"{url}: stores are written on a file system, where a killed conversion resumes. Convert to {name} here, then: {how}. "
        "A store that is only partly copied has no zarr.json and therefore is not opened."
    )


class LocalLocation:
    """A store in a folder. The folder may be reached by a link; nothing in it may be one.

    Parameters
    ----------
    root : Path
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folder = root.absolute()  # the process may go to another folder
        self._plain: set[str] = set()

    def _path(self, key: str) -> Path:
        """The file of a key.

        Raises
        ------
        StoreError
            It, or a folder it lies in, is a link.
        """
        folder = ""
        for part in key.split("/"):
            folder = f"{folder}/{part}" if folder else part
            if folder in self._plain:
                continue
            if (self._folder / folder).is_symlink():
                raise StoreError(
                    f"{self.root}: {folder} in it is a link. A store must not contain links, since a link may point to a file of "
                    "another store: copy the store with its files (cp -rL), or convert the input again"
                )
            if folder != key:
                self._plain.add(folder)
        return self._folder / key

    def exists(self, key: str) -> bool:
        """Whether a file is there."""
        return (self._folder / key).exists()

    def size(self, key: str) -> int | None:
        """Size of a file in bytes; None if there is no plain file (a pipe of that name would block)."""
        try:
            status = self._path(key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def read(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        """Bytes of a file, ``start`` to ``stop`` (not included)."""
        with self._path(key).open("rb") as file:
            file.seek(start)
            return file.read() if stop is None else file.read(stop - start)

    def stamp(self, key: str) -> tuple[int, ...] | None:
        """A value that changes when the file is replaced; None if it does not exist."""
        try:
            return signature(self._folder / key)
        except OSError:
            return None

    def files(self) -> Iterator[str]:
        """All files, links included, sorted."""
        for path, inner, names in os.walk(self._folder):
            folder = Path(path)
            inner.sort()
            links = [name for name in inner if (folder / name).is_symlink()]
            yield from ((folder / name).relative_to(self._folder).as_posix() for name in sorted([*names, *links]))


class RemoteLocation:
    """A store at an address.

    Parameters
    ----------
    url : str
        Of `url_of`.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    @cached_property
    def _system(self) -> tuple[Any, str]:
        if _SEVERAL in self.url:
            # Of "reference::https://..." fsspec renders the templates in the file there, in earlier versions without a sandbox, so
            # that they run what they please; and a plan or a gwas.toml of a stranger may name one.
            raise StoreError(
                f"{self.url}: an address within an address ({_SEVERAL}) is not opened, since some of them run what the file there says: "
                "give the address of the store itself, or copy it here"
            )
        try:
            import fsspec
        except ImportError as error:
            raise StoreError(
                f"{self.url}: object stores are read through fsspec: pip install genassoc[remote]"
            ) from error
        try:
            system, root = fsspec.core.url_to_fs(self.url)
        except ImportError as error:
            raise StoreError(f"{self.url}: {error}; pip install genassoc[remote] brings s3fs") from error
        except ValueError as error:
            raise StoreError(f"{self.url}: {error}; is the beginning of the address spelled right?") from error
        except Exception as error:  # whatever a protocol makes of its address
            raise self._unreachable(error) from error
        return system, str(root)

    def exists(self, key: str) -> bool:
        """Whether the object ``key`` is there; `StoreError` where the address cannot be reached, or may not be read."""
        return self.size(key) is not None

    def size(self, key: str) -> int | None:
        """Bytes of an object; None where there is none.

        Raises
        ------
        StoreError
            The address cannot be reached, or may not be read.
        """
        system, root = self._system
        try:
            size = system.info(f"{root}/{key}").get("size")
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._unreachable(error) from error
        return -1 if size is None else int(size)

    def read(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        """Bytes of an object, ``start`` to ``stop`` (not included)."""
        system, root = self._system
        try:
            return bytes(system.cat_file(f"{root}/{key}", start=start, end=stop))
        except Exception as error:
            raise self._unreachable(error) from error

    def stamp(self, key: str) -> tuple[int, ...] | None:
        """None: an object is checked once, because each check is a request."""
        return None

    def files(self) -> Iterator[str]:
        """All objects, sorted."""
        system, root = self._system
        try:
            objects = system.find(root)
        except Exception as error:
            raise self._unreachable(error) from error
        yield from sorted(path.removeprefix(root).lstrip("/") for path in objects)

    def _unreachable(self, error: Exception) -> StoreError:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return StoreError(
            f"{self.url}: cannot be read: {reason}; check the address, the network and the credentials in fsspec's environment"
        )
