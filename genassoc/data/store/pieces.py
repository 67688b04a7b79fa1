"""The pieces of a store: they prove that its files are those that were written.

A store keeps a list of its files (`PIECES`) with the size and the seal of each. A seal is a hash of the checksums in the file: the CRC-32C
that Zarr's codecs put behind each chunk and behind the index of a shard; for a zarr.json, of its bytes. The attribute `ROOT` is a hash of the
list and of all other attributes. So the root covers the list, the list covers the checksums, and the checksums cover the content;
a file of another store is detected by reading a few of its bytes, before its content is used.

The check detects exchanged, lost and damaged files. The root is not a signature: anyone who rewrites a store can rewrite its root.
"""

import hashlib
import json
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from genassoc.data import schema
from genassoc.data.store.shards import checked
from genassoc.errors import StoreError

PIECES = "pieces.txt"
ROOT = "root"
_METADATA = "zarr.json"
_CHUNK = re.compile(r"c(/\d+)+")
_CRC_BYTES = 4
_ABSENT = 2**64 - 1
_SIZES_AT_ONCE = (
    1000  # pieces whose sizes are looked at when a store is opened; a file system of a cluster takes a millisecond each
)


def is_piece(key: str) -> bool:
    """Whether a file is one that reading a store may meet: of an array, its metadata or a chunk."""
    array, _, rest = key.partition("/")
    return schema.is_array(array) and (rest == _METADATA or _CHUNK.fullmatch(rest) is not None)


class Location(Protocol):
    """Where the files of a store lie; ``key`` is a file's name in it, parts joined by "/"."""

    def exists(self, key: str) -> bool:
        """Whether anything is there."""
        ...

    def size(self, key: str) -> int | None:
        """Bytes of a plain file; None where there is none. `StoreError` where it is a link."""
        ...

    def read(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        """Bytes of a file."""
        ...

    def stamp(self, key: str) -> tuple[int, ...] | None:
        """A value that changes when the file is replaced; None if it does not exist, or if checking costs as much as reading."""
        ...

    def files(self) -> Iterator[str]:
        """All files, sorted; links among them."""
        ...


@dataclass(frozen=True)
class Piece:
    """A file of a store: its size, and the seal of the checksums in it."""

    size: int
    seal: str


class Stretches(NamedTuple):
    """Bytes that are not in one place: how many they are, and the stretches they come in."""

    n_bytes: int
    buffers: Iterable[memoryview]


def hash_of(*parts: bytes | memoryview | Stretches) -> str:
    """Short hash that fingerprints, seals and the root are made of."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Stretches):
            digest.update(part.n_bytes.to_bytes(8, "little"))
            for buffer in part.buffers:
                digest.update(buffer)
        else:
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    return digest.hexdigest()[:32]


# writing -----------------------------------------------------------------------------------------------------


def shard_piece(index: bytes, checksums: Iterable[bytes], size: int) -> Piece:
    """The piece of a shard, from its index (with its CRC-32C) and the checksums of its chunks."""
    return Piece(size, hash_of(index, *checksums))


def piece_of(location: Location, key: str, size: int, per_shard: int | None) -> Piece:
    """The piece of a file as it is on disk.

    Parameters
    ----------
    per_shard : int or None
        Chunks of a shard; None where the file is one chunk.

    Raises
    ------
    ValueError
        Its index is none.
    """
    if key.rpartition("/")[2] == _METADATA:
        return Piece(size, hash_of(location.read(key)))
    if per_shard is None:
        return Piece(size, hash_of(location.read(key, max(0, size - _CRC_BYTES), size)))
    index, places = _index_of(location, key, size, per_shard)
    return shard_piece(index, (location.read(key, stop - _CRC_BYTES, stop) for _, stop in places), size)


def _index_of(location: Location, key: str, size: int, per_shard: int) -> tuple[bytes, list[tuple[int, int]]]:
    """The index of a shard, and where its chunks begin and end."""
    first = size - 16 * per_shard - _CRC_BYTES
    if first < 0:
        raise ValueError("it is too short to have an index")
    index = location.read(key, first, size)
    entries = struct.iter_unpack("<2Q", index[:-_CRC_BYTES])
    places = [(at, at + length) for at, length in entries if at != _ABSENT]
    if any(stop > first or stop - start < _CRC_BYTES for start, stop in places):
        raise ValueError("its index points elsewhere")
    return index, places


def pieces_text(pieces: dict[str, Piece]) -> bytes:
    """The list of pieces as the text that is stored."""
    return "".join(f"{piece.seal} {piece.size} {key}\n" for key, piece in sorted(pieces.items())).encode()


def root_of(document: dict[str, Any], listed: bytes) -> str:
    """The root of a store, of the zarr.json at its top and its list of pieces."""
    attributes = {name: value for name, value in document["attributes"].items() if name != ROOT}
    whole = json.dumps({**document, "attributes": attributes}, sort_keys=True, separators=(",", ":"))
    return hash_of(whole.encode(), listed)


def chunks_in_a_shard(metadata: bytes) -> int | None:
    """Chunks in a shard of an array, by its zarr.json; None if a file is one chunk."""
    content = json.loads(metadata)
    codec = content["codecs"][0]
    if codec["name"] != "sharding_indexed":
        return None
    outer, inner = content["chunk_grid"]["configuration"]["chunk_shape"], codec["configuration"]["chunk_shape"]
    n = 1
    for whole, part in zip(outer, inner):
        n *= whole // part
    return n


# reading -----------------------------------------------------------------------------------------------------


@dataclass
class Pieces:
    """The pieces of a store that is being read.

    Attributes
    ----------
    path : str
        Of the store, for messages.
    location : Location
    listed : dict or None
        By key; None in a store of an earlier version, which has no root.
    """

    path: str
    location: Location
    listed: dict[str, Piece] | None
    _checked: dict[str, tuple[int, ...] | None] = field(default_factory=dict)  # what each looked like then
    _per_shard: dict[str, int | None] = field(default_factory=dict)

    @classmethod
    def of(cls, path: str, location: Location) -> "Pieces":
        """The list of pieces of a store, verified by its root.

        Raises
        ------
        StoreError
            The root is not that of the attributes and the list.
        """
        document = json.loads(location.read(_METADATA))
        root = document["attributes"].get(ROOT)
        has_pieces = location.size(PIECES) is not None
        if root is None and not has_pieces:
            return cls(path, location, None)
        if root is None or not has_pieces:
            fault = (
                f"the file {PIECES} is missing" if root else f"{_METADATA} is not the one that belongs to its {PIECES}"
            )
            raise StoreError(f"{path}: is damaged: {fault}; {_REMEDY}")
        text = location.read(PIECES)
        if root_of(document, text) != root:
            raise StoreError(
                f"{path}: is damaged: {_METADATA} and {PIECES} do not belong to each other (their hash differs from the stored "
                f"root): one of them was changed, or comes from another store; {_REMEDY}"
            )
        listed = {}
        for line in text.decode().splitlines():
            seal, size, key = line.split(" ", 2)
            listed[key] = Piece(int(size), seal)
        return cls(path, location, listed)

    def check_opened(self, arrays: Iterable[str], sizes: bool) -> None:
        """Check the metadata of all arrays, and, if there are not too many, with ``sizes`` those of all files.

        Raises
        ------
        StoreError
            Names the first that is missing, a link, or another store's.
        """
        if self.listed is None:
            for key in (f"{name}/{_METADATA}" for name in arrays):
                if self.location.size(key) is None and self.location.exists(
                    key
                ):  # `size` refuses links; this is a pipe
                    raise self.missing(key)
            return
        for key in self.listed:
            if key.rpartition("/")[2] == _METADATA:
                self.check(key)
        if sizes and len(self.listed) <= _SIZES_AT_ONCE:
            for key, piece in self.listed.items():
                self._check_size(key, piece)

    def check(self, key: str) -> None:
        """Check by its checksums that a file is the one that was written: before it is first read, and again if it changed since.

        Raises
        ------
        StoreError
            It is missing, a link, or another; names it.
        """
        stamp = self.location.stamp(key)
        if key in self._checked and self._checked[key] == stamp:
            return
        if self.listed is not None:
            problem = self._problem(key)
            if problem is not None:
                raise problem
        elif self.location.size(key) is None:
            raise self.missing(key)
        elif key in self._checked:
            raise StoreError(f"{self.path}: the file {key} was written to since the store was opened: open it again")
        self._checked[key] = stamp

    def missing(self, key: str) -> StoreError:
        """The message for a missing file."""
        return StoreError(f"{self.path}: is damaged: the file {key} is missing; {_REMEDY}")

    def _check_size(self, key: str, piece: Piece) -> None:
        size = self.location.size(key)
        if size is None:
            raise self.missing(key)
        if size != piece.size:
            raise StoreError(
                f"{self.path}: is damaged: the file {key} has {size:,} bytes and not {piece.size:,}: it was cut short, or is "
                f"not the one that the store was written with; {_REMEDY}"
            )

    def _problem(self, key: str) -> StoreError | None:
        assert self.listed is not None
        piece = self.listed.get(key)
        if piece is None:
            return StoreError(
                f"{self.path}: is damaged: the file {key} is not in its {PIECES}: it was added later; {_REMEDY}"
            )
        try:
            self._check_size(key, piece)
            actual = piece_of(self.location, key, piece.size, self.per_shard(key))
        except StoreError as error:
            return error
        except ValueError as error:
            return StoreError(f"{self.path}: is damaged: the file {key} cannot be read: {error}; {_REMEDY}")
        if actual == piece:
            return None
        return StoreError(
            f"{self.path}: is damaged: the file {key} is not the one that the store was written with (its checksums "
            f"differ): it was damaged, or comes from another store; {_REMEDY}"
        )

    def per_shard(self, key: str) -> int | None:
        """Chunks in a file, where it is a shard."""
        array = key.partition("/")[0]
        if key == f"{array}/{_METADATA}":
            return None
        if array not in self._per_shard:
            metadata = f"{array}/{_METADATA}"
            self.check(metadata)
            self._per_shard[array] = chunks_in_a_shard(self.location.read(metadata))
        return self._per_shard[array]

    def verified(self) -> Iterator[tuple[str, int, StoreError | None]]:
        """Read all files whole; yield for each its key, its size and what is wrong with it.

        In a store without a root each chunk is held against its checksum; that its files belong together is not known.
        """
        for key in sorted({*self.location.files(), *(self.listed or ())}):
            size, problem = 0, None
            try:
                if not is_piece(key):
                    self.location.size(key)  # refuses links; other files are not read
                    continue
                self.check(key)
                size = self.location.size(key) or 0
                self._read_whole(key, size)
            except StoreError as error:
                problem = error
            yield key, size, problem

    def _read_whole(self, key: str, size: int) -> None:
        """Check the whole content of a file against the checksums in it; metadata is checked by its seal alone."""
        if key.rpartition("/")[2] == _METADATA:
            return
        per_shard = self.per_shard(key)
        try:
            places = [(0, size)] if per_shard is None else _index_of(self.location, key, size, per_shard)[1]
            if per_shard is not None:
                checked(self.location.read(key, size - 16 * per_shard - _CRC_BYTES, size))
        except ValueError as error:
            raise StoreError(f"{self.path}: is damaged: the file {key}: {error}; {_REMEDY}") from error
        for number, (start, stop) in enumerate(places):
            try:
                checked(self.location.read(key, start, stop))
            except ValueError as error:
                which = "" if per_shard is None else f"chunk {number} of "
                raise StoreError(f"{self.path}: is damaged: {which}the file {key}: {error}; {_REMEDY}") from error


_REMEDY = "convert the input again, or copy the store again"
