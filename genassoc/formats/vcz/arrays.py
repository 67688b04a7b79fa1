"""Arrays of Zarr (versions 2 and 3) that a stranger made, read chunk by chunk.

zarr itself takes what the metadata say at their word: it allocates chunks of any claimed size, unpacks what is packed to any size,
and loads codecs by name, of which one (pickle) runs code. Here the codecs are a closed list, numcodecs' own, and every claim
is held against a bound before memory is taken (docs/decisions/0066-vcf-zarr.md).
"""

import json
import math
import re
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genassoc.errors import InputError
from genassoc.formats.vcz.files import MOST_METADATA_BYTES, Files
from genassoc.shapes import Array, Int64Array

MOST_CHUNK_BYTES = 2**30  # unpacked
MOST_LENGTH = 2**40  # of a dimension
MOST_STRING_BYTES = 2**28  # of a chunk of strings, unpacked
_BLOSC_HEADER = 16
_NUMBERS = {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64", "bool"}
Document = dict[str, Any]  # an object of JSON
DType = np.dtype[Any]
_PACKERS = ("blosc", "zstd", "gzip", "zlib", "lz4", "bz2", "lzma")


class _Layout(NamedTuple):
    """How values are laid out, as far as the metadata have been read."""

    dtype: DType | None
    separator: tuple[str, str]
    packers: tuple[Document, ...]
    fill: object
    order: str
    dimensions: object


@dataclass(frozen=True, eq=False, kw_only=True)
class ZarrArray:
    """One array.

    Attributes
    ----------
    path, name
        Of the store, and in it.
    shape, chunks : tuple of int
    dtype : numpy dtype, or None of strings (vlen-utf8)
    separator : str
        Between the numbers of a chunk, and what stands before them.
    packers : tuple of mapping
        What packs the bytes of a chunk: numcodecs' configurations, the last applied first when reading.
    fill : scalar
        What chunks that are not there hold; 0 if the metadata do not say, as zarr has it.
    absent : list
        As long as the number of chunks that were not there.
    order : {"C", "F"}
    dimensions : tuple of str
    description : str
        What the field is, as the header of a VCF says it.
    """

    path: Path
    name: str
    files: Files
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: Any
    separator: tuple[str, str]
    packers: tuple[Document, ...]
    fill: Any
    order: str = "C"
    dimensions: tuple[str, ...] = ()
    description: str = ""
    absent: list[int] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path, files: Files, name: str) -> "ZarrArray | None":
        """The array of a name; None if there is none; `InputError` if it cannot be read."""
        for file, read in ((".zarray", cls._version_2), ("zarr.json", cls._version_3)):
            content = files.read(f"{name}/{file}", MOST_METADATA_BYTES)
            if content is None:
                continue
            try:
                document = json.loads(content)
                if not isinstance(document, dict):
                    raise ValueError("it is no table")
                attributes = document.get("attributes", {})
                if file == ".zarray":
                    more = files.read(f"{name}/.zattrs", MOST_METADATA_BYTES)
                    attributes = {} if more is None else json.loads(more)
                elif document.get("node_type") != "array":
                    return None
                attributes = attributes if isinstance(attributes, dict) else {}
                said = re.sub(r'[^ -~]|"', " ", str(attributes.get("description", "")))[:1000]
                return replace(read(path, files, name, document, attributes), description=said)
            except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
                reason = " ".join(str(error).split())[:200] or type(error).__name__
                raise InputError(f"{path}: {name}/{file} cannot be read as an array of Zarr: {reason}") from error
        return None

    @classmethod
    def _version_2(cls, path: Path, files: Files, name: str, document: Document, attributes: Document) -> "ZarrArray":
        filters = document.get("filters") or []
        compressor = document.get("compressor")
        names = [_text(one["id"]) for one in filters]
        dtype: DType | None = _dtype(np.dtype(_text(document["dtype"])))
        if names == ["vlen-utf8"] and dtype == np.dtype("O"):
            dtype = None
        elif names or dtype == np.dtype("O"):
            _refuse_codec(names or ["objects"])
        packers = () if compressor is None else (_packer(compressor, _text(compressor["id"])),)
        separator = _text(document.get("dimension_separator", "."))
        if separator not in (".", "/"):
            raise ValueError(f"the separator {separator!r}")
        order = _text(document.get("order", "C"))
        if order not in ("C", "F"):
            raise ValueError(f"the order {order!r}")
        dimensions = attributes.get("_ARRAY_DIMENSIONS", [])
        return cls._checked(
            path, files, name, document["shape"], document["chunks"],
            layout=_Layout(dtype, (separator, ""), packers, document.get("fill_value"), order, dimensions),
        )  # fmt: skip

    @classmethod
    def _version_3(cls, path: Path, files: Files, name: str, document: Document, _: Document) -> "ZarrArray":
        grid, keys = document["chunk_grid"], document["chunk_key_encoding"]
        if grid["name"] != "regular":
            raise ValueError(f"chunks of the kind {grid['name']!r}")
        codecs = [(_text(codec["name"]), codec.get("configuration") or {}) for codec in document["codecs"]]
        kind = document["data_type"]
        dtype: Any = None
        order, packers = "C", []
        if codecs and codecs[0][0] == "transpose":
            axes = codecs.pop(0)[1]["order"]
            if list(axes) != list(range(len(axes)))[::-1] and list(axes) != list(range(len(axes))):
                raise ValueError("axes in another order")
            order = "C" if list(axes) == list(range(len(axes))) else "F"
        if kind == "string":
            if not codecs or codecs.pop(0)[0] != "vlen-utf8":
                raise ValueError("strings in another form than vlen-utf8")
        else:
            if not isinstance(kind, str) or kind not in _NUMBERS:
                raise ValueError(f"the type {kind!r}")
            encoding = codecs.pop(0) if codecs else ("", {})
            if encoding[0] != "bytes":
                _refuse_codec([encoding[0]])
            dtype = np.dtype(kind).newbyteorder(">" if encoding[1].get("endian") == "big" else "<")
        for codec, configuration in codecs:
            if codec == "crc32c":
                packers.append({"id": "crc32c"})
            else:
                packers.append(_packer({**configuration, "id": codec}, codec))
        default = keys["name"] == "default"
        if not default and keys["name"] != "v2":
            raise ValueError(f"keys of the kind {keys['name']!r}")
        separator = _text((keys.get("configuration") or {}).get("separator", "/" if default else "."))
        if separator not in (".", "/"):
            raise ValueError(f"the separator {separator!r}")
        return cls._checked(
            path, files, name, document["shape"], grid["configuration"]["chunk_shape"], layout=_Layout(
                dtype, (separator, "c" if default else ""), tuple(packers), document.get("fill_value"), order,
                document.get("dimension_names") or [],
            ),
        )  # fmt: skip

    @classmethod
    def _checked(
        cls, path: Path, files: Files, name: str, shape: list[int], chunks: list[int], *, layout: "_Layout"
    ) -> "ZarrArray":
        dtype = layout.dtype
        lengths = tuple(_whole(n, 0) for n in shape)
        sizes = tuple(_whole(n, 1) for n in chunks)
        if not 1 <= len(lengths) == len(sizes) <= 4:
            raise ValueError(f"{len(lengths)} dimensions and {len(sizes)} of a chunk")
        if len(layout.packers) > 3:
            raise ValueError(f"{len(layout.packers)} codecs one in another")
        itemsize = 16 if dtype is None else dtype.itemsize
        # a chunk is stored whole, however few of its rows the array has
        if math.prod(sizes) * itemsize > MOST_CHUNK_BYTES:
            raise ValueError(f"chunks of {math.prod(sizes) * itemsize:,} bytes; at most {MOST_CHUNK_BYTES:,} are read")
        fill = None if dtype is None else _fill(layout.fill, dtype)
        named = layout.dimensions
        dimensions = tuple(str(one) for one in named) if isinstance(named, list | tuple) else ()
        return cls(
            path=path, name=name, files=files, shape=lengths, chunks=sizes, dtype=dtype, separator=layout.separator,
            packers=layout.packers, fill=fill, order=layout.order, dimensions=dimensions,
        )  # fmt: skip

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row, unpacked."""
        return math.prod(self.shape[1:]) * (16 if self.dtype is None else self.dtype.itemsize)

    def whole(self, most: int) -> Array:
        """All of it, of at most ``most`` bytes."""
        if len(self) * max(self.row_bytes, 1) > most:
            raise InputError(
                f"{self.path}: {self.name} has the shape {self.shape}, for which there is no room; is it damaged?"
            )
        return self.rows(0, len(self))

    def rows(self, start: int, stop: int, columns: Int64Array | None = None) -> Array:
        """Rows from start to stop: all of each, or of its second dimension those ``columns``, in their order."""
        dtype = object if self.dtype is None else self.dtype.newbyteorder("=")
        behind = [range(math.ceil(n / c)) for n, c in zip(self.shape[1:], self.chunks[1:])]
        if columns is not None and np.array_equal(columns, np.arange(self.shape[1])):
            columns = None
        shape = self.shape[1:] if columns is None else (columns.size, *self.shape[2:])
        out = np.empty((stop - start, *shape), dtype=dtype)
        for number in range(start // self.chunks[0], math.ceil(stop / self.chunks[0])):
            first = number * self.chunks[0]
            a, b = max(start, first), min(stop, first + self.chunks[0])
            for others in np.ndindex(*(len(one) for one in behind)):
                where: list[Any] = [
                    slice(k * c, min((k + 1) * c, n)) for k, c, n in zip(others, self.chunks[1:], self.shape[1:])
                ]
                part: list[Any] = [slice(0, one.stop - one.start) for one in where]
                if columns is not None:
                    wanted = np.flatnonzero((columns >= where[0].start) & (columns < where[0].stop))
                    if not wanted.size:
                        continue
                    part[0] = columns[wanted] - where[0].start
                    where[0] = wanted
                chunk = self.chunk((number, *others))[a - first : b - first]
                out[(slice(a - start, b - start), *where)] = chunk[(slice(None), *part)]
        return out

    def chunk(self, number: tuple[int, ...]) -> Array:
        """One chunk, whole: of the size of `chunks` even at the end of the array."""
        between, before = self.separator
        key = between.join([before, *map(str, number)] if before else [*map(str, number)])
        size = None if self.dtype is None else math.prod(self.chunks) * self.dtype.itemsize
        most = MOST_STRING_BYTES if size is None else size
        packed = self.files.read(f"{self.name}/{key}", 2 * most + 2**16)
        if packed is None:
            return self._absent()
        try:
            data = packed
            for packer in reversed(self.packers):
                data = _unpacked(packer, data, most)
            if size is None:
                return _strings(data, self.chunks, self.order)
            if len(data) != size:
                raise ValueError(f"has {len(data):,} bytes where its chunk has {size:,}")
            return np.frombuffer(data, self.dtype).reshape(self.chunks, order=self.order)  # type: ignore[call-overload]
        except MemoryError as error:
            raise InputError(f"{self.path}: {self.name}/{key}: there is no room to unpack it") from error
        except Exception as error:  # whatever damaged bytes make of a codec
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise InputError(f"{self.path}: {self.name}/{key} is damaged: {reason}") from error

    def _absent(self) -> Array:
        """A chunk that is not there: all of it is the fill value, by the rules of Zarr, which leaves such chunks out."""
        self.absent.append(1)
        if self.dtype is None:
            out = np.empty(self.chunks, dtype=object)
            out.fill("")
            return out
        return np.full(self.chunks, self.fill, self.dtype)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{str(value)[:40]!r} where a name is expected")
    return value


def _whole(value: object, least: int) -> int:
    if type(value) is not int or not least <= value <= MOST_LENGTH:
        raise ValueError(f"{str(value)[:40]} where a length is expected")
    return value


def _dtype(dtype: DType) -> DType:
    if dtype.name not in _NUMBERS and dtype != np.dtype("O"):
        raise ValueError(f"the type {dtype.name}")
    return dtype


def _fill(value: object, dtype: DType) -> Array:
    """The fill value, as it is in JSON."""
    if value is None:
        return np.zeros((), dtype)
    if value in ("NaN", "Infinity", "-Infinity") and dtype.kind == "f":
        return np.asarray(float(str(value).replace("Infinity", "inf")), dtype)
    if not isinstance(value, bool | int | float):
        raise ValueError(f"the fill value {str(value)[:40]!r}")
    return np.asarray(value).astype(dtype, casting="unsafe")


def _refuse_codec(names: list[str]) -> None:
    known = ", ".join(("vlen-utf8", *_PACKERS, "crc32c"))
    raise ValueError(
        f"the codec {', '.join(names)[:60]!r} is not among those that are read ({known}): others may run code"
    )


def _packer(configuration: Document, name: str) -> Document:
    """What unpacking needs to know of a codec."""
    if name not in _PACKERS:
        _refuse_codec([name])
    return {"id": name, "format": configuration.get("format")}


def _unpacked(packer: Document, data: bytes, most: int) -> bytes:
    """What bytes are unpacked to, of which there are at most ``most``: what they claim is looked at first."""
    name = packer["id"]
    if name == "crc32c":
        import google_crc32c

        if google_crc32c.value(data[:-4]) != int.from_bytes(data[-4:], "little"):
            raise ValueError("its checksum is wrong")
        return data[:-4]
    if name in ("gzip", "zlib", "bz2", "lzma"):
        return _inflated(name, packer, data, most)
    if name == "zstd":
        import zstandard

        return zstandard.ZstdDecompressor().decompress(_framed(data, most), max_output_size=most)
    claimed = len(data)
    if name == "blosc":
        if len(data) < _BLOSC_HEADER or int.from_bytes(data[12:16], "little") > len(data):
            raise ValueError("it is cut")
        claimed = int.from_bytes(data[4:8], "little")
    elif name == "lz4":
        claimed = int.from_bytes(data[:4], "little")
    if claimed > most:
        raise ValueError(f"it unpacks to {claimed:,} bytes where at most {most:,} can be")
    from numcodecs import blosc, lz4

    return bytes(memoryview(blosc.decompress(data) if name == "blosc" else lz4.decompress(data)))


def _framed(data: bytes, most: int) -> bytes:
    """A zstd frame, once what it says of its size is within bounds."""
    import zstandard

    claimed = zstandard.frame_content_size(data)
    if claimed > most:
        raise ValueError(f"it unpacks to {claimed:,} bytes where at most {most:,} can be")
    return data


def _inflated(name: str, packer: Document, data: bytes, most: int) -> bytes:
    """What older packers, whose data do not say their size, unpack to."""
    if name in ("gzip", "zlib"):
        inflater: Any = zlib.decompressobj(31 if name == "gzip" else 15)
        found: bytes = inflater.decompress(data, most + 1)
    elif name == "bz2":
        import bz2

        inflater = bz2.BZ2Decompressor()
        found = inflater.decompress(data, most + 1)
    else:
        import lzma

        if packer["format"] not in (None, lzma.FORMAT_AUTO, lzma.FORMAT_XZ, lzma.FORMAT_ALONE):
            raise ValueError("a form of LZMA whose settings are not in it")
        inflater = lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=2**28)
        found = inflater.decompress(data, most + 1)
    if len(found) > most:
        raise ValueError(f"it unpacks to more than {most:,} bytes")
    if not inflater.eof:
        raise ValueError("it is cut")
    return found


def _strings(data: bytes, chunks: tuple[int, ...], order: str) -> Array:
    """Strings of the form vlen-utf8: their number, then of each its length and its bytes."""
    n = math.prod(chunks)
    if len(data) < 4 or int.from_bytes(data[:4], "little") != n or len(data) < 4 + 4 * n:
        raise ValueError(f"does not hold the {n:,} strings of its chunk")
    texts, at = [], 4
    for _ in range(n):
        length = int.from_bytes(data[at : at + 4], "little")
        at += 4
        if at + length > len(data):
            raise ValueError("a string goes beyond its end")
        texts.append(data[at : at + length].decode("utf-8"))
        at += length
    out = np.empty(n, dtype=object)
    out[:] = texts
    return out.reshape(chunks, order=order)  # type: ignore[call-overload]
