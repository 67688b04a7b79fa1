"""Lines of a .bim or a .pvar: where the columns of each variant are, one row an ALT. No Python object is made for a line."""

from typing import NamedTuple

from genassoc.kernels import jit, native
from genassoc.kernels.text import vcf_fields as fields
from genassoc.shapes import Int32Array, Int64Array, UInt8Array

BLANK = 32
# Columns of `places`, one row a row of output: byte offsets into the text.
CHROM_START, CHROM_END, ID_START, ID_END, REF_START, REF_END, ALT_START, ALT_END = range(8)
FILTER_START, FILTER_END, INFO_START, INFO_END, ALTS_START, ALTS_END = range(8, 14)  # ALTS: the whole column
N_PLACES = 14
MOST_COLUMNS = 16  # that are looked at

# What is wrong with a line.
OK, FULL, FEW_COLUMNS, BAD_CONTIG, BAD_POSITION, EMPTY_FIELD, EMPTY_LINE, HEADER_LINE = range(8)
STATUS_CODE, STATUS_OFFSET, STATUS_ROWS, STATUS_LINES, STATUS_SIZE = 0, 1, 2, 3, 4
RECORDS, SPLIT, OUTSIDE, NO_ALTERNATE, REFERENCE_BLOCK, NO_REFERENCE, N_COUNTERS = 0, 1, 2, 3, 4, 5, 6


class Layout(NamedTuple):
    """Which column is what, counted from 0; -1 where there is none.

    Attributes
    ----------
    contig, position, identifier, ref, alt, filter, info : int
    n_columns : int
        A line has at least so many; at most `MOST_COLUMNS`.
    tabs : bool
        Columns are separated by one tab; otherwise by tabs and blanks, however many.
    listed : bool
        ALT is a list with commas, and "." where there is none; otherwise one allele, and "0" where it is not known.
    """

    contig: int
    position: int
    identifier: int
    ref: int
    alt: int
    filter: int
    info: int
    n_columns: int
    tabs: bool
    listed: bool


class Wanted(NamedTuple):
    """Regions to keep; everything where R is 0.

    Attributes
    ----------
    names, ends : uint8 (any,), int64 (R,)
        Contig names one after another, where each ends.
    bounds : int64 (R, 2)
        First and last position.
    """

    names: UInt8Array
    ends: Int64Array
    bounds: Int64Array


class Rows(NamedTuple):
    """Rows of output, one an ALT, with room for the same number of them; and the lines.

    Attributes
    ----------
    positions : int64 (.,)
    places : int64 (., `N_PLACES`)
    records : int64 (.,)
        Number of the record counted by counters[RECORDS].
    lines : int64 (.,)
        Number of the line, from 0.
    alt_index : int32 (.,)
        From 1.
    alleles : int32 (lines,)
        Alleles of each line, at least 2.
    """

    positions: Int64Array
    places: Int64Array
    records: Int64Array
    lines: Int64Array
    alt_index: Int32Array
    alleles: Int32Array


@jit
def _columns(text: UInt8Array, at: int, layout: Layout, starts: Int64Array, ends: Int64Array) -> tuple[int, int]:
    """Where the first columns of the line at ``at`` begin and end: (how many there are of these, the newline)."""
    end = fields.line_end(text, at)
    stop = end - 1 if end > at and text[end - 1] == fields.RETURN else end
    found = 0
    while found < layout.n_columns:
        if not layout.tabs:
            while at < stop and (text[at] == fields.TAB or text[at] == BLANK):
                at += 1
            if at == stop:
                break
        starts[found] = at
        while at < stop and text[at] != fields.TAB and (layout.tabs or text[at] != BLANK):
            at += 1
        ends[found] = at
        found += 1
        if at == stop:
            break
        at += 1
    return found, end


@jit
def _is_zero(text: UInt8Array, start: int, end: int) -> bool:
    """Whether an allele is "0" (or "."), which is not known."""
    return end - start == 1 and (text[start] == fields.ZERO or text[start] == fields.DOT)


@jit
def _place(places: Int64Array, row: int, where: int, column: int, starts: Int64Array, ends: Int64Array) -> None:
    """Write where a column is; an absent one is empty."""
    places[row, where] = 0
    places[row, where + 1] = 0
    if column >= 0:
        places[row, where] = starts[column]
        places[row, where + 1] = ends[column]


@native
def scan_variants(
    text: UInt8Array,
    offset: int,
    layout: Layout,
    wanted: Wanted,
    rows: Rows,
    bounds: Int64Array,
    counters: Int64Array,
    status: Int64Array,
) -> None:
    """Scan whole lines of ``text`` from ``offset``, as many as there is room for.

    Parameters
    ----------
    text : uint8 (L,)
        Whole lines; the last byte is a newline.
    offset : int
    layout : Layout
    wanted : Wanted
    rows : Rows
        Filled from the first row on; ``status[STATUS_LINES]`` lines went before.
    bounds : int64 (2, `MOST_COLUMNS`)
        To work in.
    counters : int64 (`N_COUNTERS`,)
        Added to.
    status : int64 (`STATUS_SIZE`,)
        Code, offset of the line that comes next or is wrong, rows written, lines read in all.
    """
    L = text.shape[0]
    starts, ends = bounds[0], bounds[1]
    row, at = 0, offset
    lines = status[STATUS_LINES]
    status[STATUS_CODE] = OK
    while at < L:
        status[STATUS_OFFSET] = at
        status[STATUS_ROWS] = row
        status[STATUS_LINES] = lines
        found, end = _columns(text, at, layout, starts, ends)
        if found == 0 or (found == 1 and starts[0] == ends[0]):
            status[STATUS_CODE] = EMPTY_LINE
            return
        if text[starts[0]] == 35:  # '#'
            status[STATUS_CODE] = HEADER_LINE
            return
        if found < layout.n_columns:
            status[STATUS_CODE] = FEW_COLUMNS
            return
        contig, ref, alt, identifier = layout.contig, layout.ref, layout.alt, layout.identifier
        if not fields.contig_is_sound(text, starts[contig], ends[contig]):
            status[STATUS_CODE] = BAD_CONTIG
            return
        position = fields.read_position(text, starts[layout.position], ends[layout.position])
        if position < 0:
            status[STATUS_CODE] = BAD_POSITION
            return
        n_alternates = 1
        if layout.listed:
            n_alternates = fields.count_alternates(text, starts[alt], ends[alt])
        elif _is_zero(text, starts[alt], ends[alt]):
            n_alternates = 0
        if n_alternates < 0 or starts[ref] == ends[ref] or starts[identifier] == ends[identifier]:
            status[STATUS_CODE] = EMPTY_FIELD
            return
        if lines >= rows.alleles.shape[0] or row + n_alternates > rows.positions.shape[0]:
            status[STATUS_CODE] = FULL
            return
        rows.alleles[lines] = max(n_alternates, 1) + 1
        if not fields.in_regions(
            text, starts[contig], ends[contig], position, wanted.names, wanted.ends, wanted.bounds
        ):
            counters[OUTSIDE] += 1
        else:
            first = row
            counters[NO_ALTERNATE] += 1 if n_alternates == 0 else 0
            counters[NO_REFERENCE] += 1 if n_alternates > 0 and _is_zero(text, starts[ref], ends[ref]) else 0
            allele = starts[alt]
            for k in range(1, n_alternates + 1):
                stop = allele
                while stop < ends[alt] and not (layout.listed and text[stop] == fields.COMMA):
                    stop += 1
                if fields.is_reference_block(text, allele, stop):
                    counters[REFERENCE_BLOCK] += 1
                else:
                    rows.positions[row] = position
                    rows.records[row] = counters[RECORDS]
                    rows.lines[row] = lines
                    rows.alt_index[row] = k
                    _place(rows.places, row, CHROM_START, contig, starts, ends)
                    _place(rows.places, row, ID_START, identifier, starts, ends)
                    _place(rows.places, row, REF_START, ref, starts, ends)
                    rows.places[row, ALT_START] = allele
                    rows.places[row, ALT_END] = stop
                    _place(rows.places, row, FILTER_START, layout.filter, starts, ends)
                    _place(rows.places, row, INFO_START, layout.info, starts, ends)
                    _place(rows.places, row, ALTS_START, alt, starts, ends)
                    row += 1
                allele = stop + 1
            counters[SPLIT] += 1 if row - first > 1 else 0
            counters[RECORDS] += 1
        lines += 1
        at = end + 1
    status[STATUS_OFFSET] = at
    status[STATUS_ROWS] = row
    status[STATUS_LINES] = lines


@native
def copy_texts(text: UInt8Array, places: Int64Array, start: int, offsets: Int64Array, data: UInt8Array) -> None:
    """Copy the bytes ``text[places[v, start] : places[v, start + 1]]`` of each row v one after another into ``data``.

    Parameters
    ----------
    text : uint8 (L,)
    places : int64 (., `N_PLACES`)
        Of V rows.
    start : int
        A column of ``places``.
    offsets : int64 (V + 1,)
        Filled: string v is ``data[offsets[v] : offsets[v + 1]]``.
    data : uint8 (bytes of all,)
        Filled.
    """
    at = 0
    for v in range(offsets.shape[0] - 1):
        offsets[v] = at
        for k in range(places[v, start], places[v, start + 1]):
            data[at] = text[k]
            at += 1
    offsets[offsets.shape[0] - 1] = at


@native
def text_changes(text: UInt8Array, places: Int64Array, start: int, changes: UInt8Array) -> None:
    """Set ``changes`` (V,) to 1 where a column of ``places`` (as in `copy_texts`) is not that of the row before, and in the first row."""
    for v in range(changes.shape[0]):
        changes[v] = 1
        if v > 0 and fields.same(
            text, places[v, start], places[v, start + 1], text, places[v - 1, start], places[v - 1, start + 1]
        ):
            changes[v] = 0
