"""Text of other programs, plain or compressed: what it is, its first bytes say."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from genassoc.errors import InputError

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


@contextmanager
def open_text(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, decompressed if they are gzip, BGZF or zstd by their first bytes, whatever the name.

    Raises
    ------
    InputError
        If the file cannot be read, or its compressed data is damaged.
    """
    try:
        with path.open("rb") as raw:
            magic = raw.read(4)
            raw.seek(0)
            if magic[:2] == GZIP:
                from isal import igzip, igzip_lib

                try:
                    with igzip.open(raw, "rb") as file:
                        yield cast(BinaryIO, file)
                except igzip_lib.IsalError as error:  # type: ignore[misc]
                    raise EOFError(str(error)) from error
            elif magic == ZSTD:
                import pyarrow as pa

                with pa.CompressedInputStream(raw, "zstd") as file:
                    yield file
            else:
                yield raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path}: the compressed data is damaged or cut short ({error}); copy the file again."
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
