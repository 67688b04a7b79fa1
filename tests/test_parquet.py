"""Row groups encoded once and copied: what other readers make of them, and what is refused of a stranger's footer."""

import io
import random
from itertools import pairwise

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genassoc.data import thrift
from genassoc.data.parquet import MOST_FOOTER, ParquetFile, encoded, pieces_of, read_footer
from genassoc.data.strangers import MalformedError
from genassoc.data.thrift import BINARY, I32, I64, LIST, STRUCT, TRUE, Listed, Value


def rows(start: int, stop: int) -> pl.DataFrame:
    """Some of the kinds of columns that results have."""
    numbers = range(start, stop)
    return pl.DataFrame(
        {
            "chromosome": [str(i // 700) for i in numbers],
            "base_pair_location": [10 * i for i in numbers],
            "beta": pl.Series([None if i % 5 == 0 else i / 7 for i in numbers], dtype=pl.Float64),
            "rsid": pl.Series([f"rs{i}" if i % 3 else None for i in numbers], dtype=pl.String),
            "code": pl.Series([None] * len(numbers), dtype=pl.String),
        }
    )


def file_of(*frames: pl.DataFrame, metadata: dict[bytes, bytes] | None = None) -> bytes:
    out = io.BytesIO()
    file = ParquetFile(out)
    for frame in frames:
        group, content = encoded(frame)
        file.add(group, [content])
    file.close(metadata)
    return out.getvalue()


@pytest.fixture(scope="module")
def content() -> bytes:
    return file_of(rows(0, 900), rows(0, 1).clear(), rows(900, 1500), metadata={b"of": b"a test"})


def test_other_readers_see_the_rows(content: bytes) -> None:
    expected = rows(0, 1500)
    assert pl.read_parquet(io.BytesIO(content)).equals(expected)
    file = pq.ParquetFile(io.BytesIO(content), page_checksum_verification=True)
    assert pl.DataFrame(pl.from_arrow(file.read())).equals(expected)
    assert file.schema_arrow.types == [pa.string(), pa.int64(), pa.float64(), pa.string(), pa.string()]
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [900, 600]
    assert {group.column(k).compression for group in groups for k in range(5)} == {"ZSTD"}
    statistics = groups[1].column(1).statistics
    assert (statistics.min, statistics.max) == (9000, 14990)  # readers leave out row groups by them
    assert file.metadata.metadata == {b"of": b"a test"}


def test_duckdb_sees_the_rows(content: bytes, tmp_path) -> None:
    duckdb = pytest.importorskip("duckdb")
    (tmp_path / "r.parquet").write_bytes(content)
    found = duckdb.sql(f"select count(*), sum(beta), count(rsid) from '{tmp_path}/r.parquet'").fetchall()[0]
    expected = rows(0, 1500)
    assert found == (
        1500,
        pytest.approx(expected["beta"].sum(), rel=1e-14),
        expected["rsid"].count(),
    )  # order of additions


def test_a_copied_row_group_is_the_encoded_one(content: bytes) -> None:
    out = io.BytesIO()
    copy = ParquetFile(out)
    for frame in (rows(0, 900), rows(900, 1500)):
        part = io.BytesIO(file_of(frame))
        for group, at in read_footer(part).groups:
            copy.add(group, pieces_of(part, group, at))
    copy.close({b"of": b"a test"})
    assert out.getvalue() == content
    footer = read_footer(io.BytesIO(content))
    assert (footer.n_rows, footer.metadata) == (1500, {b"of": b"a test"})
    other = rows(0, 5).rename({"code": "method"})
    with pytest.raises(MalformedError, match="columns are not those"):
        copy.add(*encoded(other))


def test_how_rows_were_put_together_does_not_show() -> None:
    whole = rows(0, 1000)
    for cuts in ((1, 999), (500,), (7, 8, 9)):
        edges = [0, *cuts, 1000]
        pieces = pl.concat([whole[a:b] for a, b in pairwise(edges)], rechunk=False)
        assert file_of(pieces) == file_of(whole)
        assert file_of(rows(0, 1200)[:1000]) == file_of(whole)


def test_a_flipped_bit_in_a_page_is_found_by_its_checksum(content: bytes) -> None:
    rng = random.Random(3)
    first, last = 4, len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    found = 0
    for _ in range(40):
        damaged = bytearray(content)
        damaged[rng.randrange(first, last)] ^= 1 << rng.randrange(8)
        try:
            table = pq.ParquetFile(io.BytesIO(bytes(damaged)), page_checksum_verification=True).read()
        except (OSError, pa.ArrowException):
            found += 1
        else:  # a bit of a header that no reader looks at
            assert pl.DataFrame(pl.from_arrow(table)).equals(rows(0, 1500))
    assert found >= 30


# a stranger's footer -----------------------------------------------------------------------------------------


def test_values_are_read_as_they_were_written() -> None:
    numbers = [0, 1, -1, 63, 64, -65, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)]
    struct = {
        1: Value(TRUE, True),
        2: Value(TRUE, False),
        3: Value(LIST, Listed(I64, numbers)),
        40: Value(BINARY, bytes(range(256))),
        41: Value(STRUCT, {1: Value(I32, -5), 300: Value(LIST, Listed(STRUCT, [{}, {7: Value(BINARY, b"")}]))}),
        42: Value(LIST, Listed(BINARY, [b"a"] * 20)),
    }
    content = thrift.written(struct)
    found, end = thrift.read_struct(content + b"more")
    assert end == len(content) and thrift.written(found) == content
    assert found[3].value.items == numbers and found[41].value[1].value == -5 and found[2].value is False


def test_the_footers_of_others_are_read_to_the_last_byte() -> None:
    for frame in (rows(0, 10), rows(0, 1).clear()):
        out = io.BytesIO()
        pq.write_table(frame.to_arrow(), out)
        data = out.getvalue()
        footer = data[-8 - int.from_bytes(data[-8:-4], "little") : -8]
        struct, end = thrift.read_struct(footer)
        assert end == len(footer) and thrift.written(struct) == footer


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "ends"),
        (b"\x15", "ends"),  # a field without its number
        (b"\x18\xff\xff\x03a", "ends within a text"),
        (b"\x19\xf5\xff\xff\xff\x7f", "ends within a list"),
        (b"\x15" + b"\xff" * 10 + b"\x01\x00", "more than 64 bits"),
        (b"\x1c" * 40, "nested too deeply"),
        (b"\x19\xfc\xff\xff\x1f" + b"\x00" * 2**19, "too many"),  # half a million empty structs
        (b"\x1b\x00\x00", "type 11"),
        (b"\x15\x02\x05\x02\x02\x00", "a number that it cannot have"),  # the same field twice
        (b"\x05\x01\x02\x00", "a number that it cannot have"),  # field -1
    ],
)
def test_what_is_no_struct_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(MalformedError, match=words):
        thrift.read_struct(data)


def test_a_changed_footer_is_read_or_refused_and_nothing_else(content: bytes) -> None:
    rng = random.Random(5)
    length = int.from_bytes(content[-8:-4], "little")
    refused = 0
    for _ in range(1500):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 1, 3, 20))):
            damaged[-8 - length + rng.randrange(length + 8)] = rng.randrange(256)
        try:
            footer = read_footer(io.BytesIO(bytes(damaged)))
        except MalformedError:
            refused += 1
            continue
        assert sum(group.n_bytes for group, _ in footer.groups) == len(content) - 4 - length - 8
        assert footer.n_rows == sum(group.n_rows for group, _ in footer.groups)
    assert refused > 500
    for cut in range(0, len(content), 997):
        with pytest.raises(MalformedError):
            read_footer(io.BytesIO(content[:cut]))
    with pytest.raises(MalformedError, match="end like a parquet file"):
        read_footer(io.BytesIO(b"PAR1" + b"\0" * 100 + (MOST_FOOTER + 1).to_bytes(4, "little") + b"PAR1"))


def test_columns_that_are_elsewhere_are_refused(content: bytes) -> None:
    """Offsets beyond the row group: a copy would point into the rows of others."""
    length = int.from_bytes(content[-8:-4], "little")
    struct, _ = thrift.read_struct(content[-8 - length : -8])
    for group, column, field, by in [
        (0, 0, 9, 2**20),
        (0, 1, 7, 1),
        (1, 2, 9, -1),
        (1, 0, 11, 2**40),
        (0, 4, 9, -(2**40)),
    ]:
        changed, _ = thrift.read_struct(thrift.written(struct))
        entry = changed[4].value.items[group][1].value.items[column][3].value
        if field in entry:
            entry[field] = Value(I64, entry[field].value + by)
        else:
            entry[field] = Value(I64, by)
        footer = thrift.written(changed)
        elsewhere = io.BytesIO(content[: -8 - length] + footer + len(footer).to_bytes(4, "little") + b"PAR1")
        with pytest.raises(MalformedError, match=r"not where its footer says|another type"):
            read_footer(elsewhere)


@pytest.mark.parametrize(
    "change",
    [
        lambda footer: footer[5].value.items[0].update({2: Value(I64, 2**50)}),  # a text as long as a number says
        lambda footer: footer[5].value.items[0].update({1: Value(I64, -1)}),
        lambda footer: footer[4].value.items[0][1].value.items[0].update({3: Value(LIST, Listed(9, []))}),
    ],
)
def test_a_field_of_another_type_is_refused(content: bytes, change) -> None:
    length = int.from_bytes(content[-8:-4], "little")
    struct, _ = thrift.read_struct(content[-8 - length : -8])
    change(struct)
    footer = thrift.written(struct)
    data = content[: -8 - length] + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    with pytest.raises(MalformedError, match="another type"):
        read_footer(io.BytesIO(data))
