"""Where a store lies: a folder, or the address of an object store that fsspec knows (s3://, gs://, https://, ...).

The door of fsspec. Credentials and endpoints are its own affair: the environment (AWS_PROFILE, FSSPEC_S3_ENDPOINT_URL, ...) and
the configuration files of each protocol. Nothing of them is read, kept or shown here.
"""

import re
from functools import cached_property
from pathlib import Path
from typing import Any

from genassoc.errors import OutputError, StoreError

# Two letters at least: C:/ is a drive. One slash will do, since Path("s3://a/b") is "s3:/a/b".
_URL = re.compile(r"([a-z][a-z0-9+.-]+(?:::[a-z][a-z0-9+.-]+)*):/{1,3}(.+)", re.IGNORECASE)


def url_of(path: str | Path) -> str | None:
    """The address that ``path`` is; None where it is a path of this machine."""
    found = _URL.fullmatch(str(path))
    if found is None or Path(path).exists():
        return None
    scheme, rest = found.groups()
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
    how = commands.get(url.partition(":")[0], "copy its folder there, zarr.json at its top last")
    raise OutputError(
        f"{url}: stores are written on a file system, where a killed conversion resumes. Convert to {name} here, then: {how}. "
        "Without its zarr.json a store that is half there is not taken for one."
    )


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
        return system, str(root)

    def exists(self, key: str) -> bool:
        """Whether the object ``key`` is there.

        Raises
        ------
        StoreError
            The address cannot be reached, or may not be read.
        """
        system, root = self._system
        try:
            system.info(f"{root}/{key}")
            return True
        except FileNotFoundError:
            return False
        except Exception as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> StoreError:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        return StoreError(
            f"{self.url}: cannot be read: {said}; check the address, the network and the credentials in fsspec's environment"
        )
