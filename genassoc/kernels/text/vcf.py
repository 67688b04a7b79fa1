"""Scanning VCF text: whole lines of bytes in, packed genotype rows and the places of their names out.

One row an ALT. No Python object is made for a call. Two ways through a line:

- every call is ``a/b`` with one-digit alleles (what imputation servers and PLINK write): four bytes a call, sixteen
  calls packed at a time;
- anything else: a call at a time; where fields beside GT are read, in `genassoc.kernels.text.vcf_samples`.

The first is tried where the end of the line allows it, and checks every byte it reads, so that both give the same rows.
"""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit, native
from genassoc.kernels.genotypes.packed import gather as gather_samples
from genassoc.kernels.text import vcf_calls as calls
from genassoc.kernels.text import vcf_dosages as dosages
from genassoc.kernels.text import vcf_fields as fields
from genassoc.kernels.text import vcf_samples as samples_of
from genassoc.kernels.text.vcf_fixed import pack_fixed
from genassoc.shapes import Int32Array, Int64Array, UInt8Array

# Where `scan` leaves what it has to say.
STATUS_CODE, STATUS_OFFSET, STATUS_ROWS, STATUS_LINES, STATUS_SAMPLE, STATUS_FIELD, STATUS_LEFT_OUT = range(7)
STATUS_SIZE = 7

# Columns of `places`, one row a row of output: byte offsets into the text.
CHROM_START, CHROM_END, ID_START, ID_END, REF_START, REF_END, ALT_START, ALT_END = range(8)
N_PLACES = 8
_PACKED = -1  # in place of the bits seen in the calls of a line: its first ALT is packed


class Regions(NamedTuple):
    """What to keep by CHROM and POS, everything where R is 0; and by FILTER and ALT.

    Attributes
    ----------
    names, ends : uint8 (any,), int64 (R,)
        Contig names one after another, where each ends.
    bounds : int64 (R, 2)
        First and last POS.
    pass_only : bool
        Leave out records whose FILTER is neither PASS nor ".".
    blocks : bool
        Records that say where calls are reference (their only ALT is ".", <*> or <NON_REF>) make a row too.
    """

    names: UInt8Array
    ends: Int64Array
    bounds: Int64Array
    pass_only: bool
    blocks: bool


class Header(NamedTuple):
    """What the header says of the calls.

    Attributes
    ----------
    numeric_names, numeric_ends : uint8 (any,), int64 (F,)
        FORMAT fields that it declares Integer or Float, one after another, where each ends.
    rules : int
        As of `genassoc.kernels.text.vcf_calls.Format`.
    wanted : Wanted
        What is read beside GT.
    """

    numeric_names: UInt8Array
    numeric_ends: Int64Array
    rules: int
    wanted: samples_of.Wanted


class Rows(NamedTuple):
    """Rows of output, one an ALT, with room for the same number of them.

    Attributes
    ----------
    packed : uint8 (., B)
    haploid : uint8 (., ceil(N / 8))
        Zeroed; bits of haploid calls, and of half calls that are kept (their code is 1 where the allele is ALT, else 3).
    haploid_rows : uint8 (.,)
        1 where the row has any.
    positions : int64 (.,)
    places : int64 (., `N_PLACES`)
    records : int64 (.,)
        Number of the record counted by counters[RECORDS].
    alt_index : int32 (.,)
        From 1.
    left_out : int64 (., 2)
        Where FILTER of each record begins and ends that is left out for it; status[STATUS_LEFT_OUT] says how many there are.
    half_calls : int64 (.,)
        Zeroed; half calls of the record that are not observed, in its first row.
    dosages : DosageRoom
        Its ``steps`` zeroed.
    """

    packed: UInt8Array
    haploid: UInt8Array
    haploid_rows: UInt8Array
    positions: Int64Array
    places: Int64Array
    records: Int64Array
    alt_index: Int32Array
    left_out: Int64Array
    half_calls: Int64Array
    dosages: dosages.DosageRoom


class Room(NamedTuple):
    """What `scan` works in, for one thread at a time: `working_room`.

    Attributes
    ----------
    line : Calls
    numeric : uint8 (256,)
        Zeroed.
    columns : int64 (10,)
    fields : Fields
    """

    line: calls.Calls
    numeric: UInt8Array
    columns: Int64Array
    fields: dosages.Fields


def working_room(samples: calls.Samples) -> Room:
    """Room for one thread."""
    columns = np.empty(10, dtype=np.int64)
    return Room(calls.room_of(samples), np.zeros(256, dtype=np.uint8), columns, dosages.fields_of(samples))


class Report(NamedTuple):
    """What `scan` has to say.

    Attributes
    ----------
    counters : int64 (`N_COUNTERS`,)
        Added to.
    status : int64 (`STATUS_SIZE`,)
        Code, offset, rows written, lines read, for an error the file column and FORMAT field it is in, and records left out.
    """

    counters: Int64Array
    status: Int64Array


class Record(NamedTuple):
    """The fixed columns of a line: where each begins (10,), POS, number of ALTs; whether one of reference calls makes a row; what of its
    fields is read, and how.
    """

    columns: Int64Array
    position: int
    n_alternates: int
    blocks: bool
    has: int
    found: int
    format: calls.Format
    wanted: samples_of.Wanted


@jit
def _read_fixed(text: UInt8Array, samples: int, n_columns: int, n_alternates: int, row: UInt8Array) -> tuple[int, int]:
    """Pack the first ALT into ``row`` if every call from ``samples`` on is four bytes: (end of the line or -1, half calls)."""
    stop = samples + 4 * n_columns - 1  # the last call's fourth byte ends the line
    if n_alternates > 9 or stop >= text.shape[0]:
        return -1, 0
    if text[stop] != fields.NEWLINE and not (
        text[stop] == fields.RETURN and stop + 1 < text.shape[0] and text[stop + 1] == fields.NEWLINE
    ):
        return -1, 0
    sound, n_half = pack_fixed(text, samples, n_columns, n_alternates, 1, row)
    return (fields.line_end(text, stop) if sound else -1), n_half


@jit
def _write_rows(
    text: UInt8Array,
    record: Record,
    seen: int,
    room: Room,
    samples: calls.Samples,
    rows: Rows,
    counters: Int64Array,
    row: int,
) -> int:
    """One row an ALT from ``row`` on, reference blocks left out; the row behind the last.

    ``seen`` is bits of the calls, or `_PACKED`: the first ALT lies packed already, in its row if the samples are in order,
    else in ``line.file_row``.
    """
    begin, columns, places, line = row, record.columns, rows.places, room.line
    packed, haploid, in_order = rows.packed, rows.haploid, samples.in_order
    half_before = counters[calls.HALF_MISSING]
    alt_start = columns[4]
    alone = record.blocks and record.n_alternates <= 1
    for k in range(1, max(record.n_alternates, int(alone)) + 1):
        alt_end = alt_start
        while text[alt_end] != fields.COMMA and text[alt_end] != fields.TAB:
            alt_end += 1
        if not alone and fields.is_reference_block(text, alt_start, alt_end):
            counters[calls.REFERENCE_BLOCK] += 1
            alt_start = alt_end + 1
            continue
        any_haploid = False
        dosed = 0
        if record.has and k > 1:  # what was sound for the first ALT is so for all
            samples_of.read_samples(
                text, columns[9], record.format, record.wanted, record.n_alternates, k, line, room.fields
            )
        if record.has & samples_of.HAS_DOSAGES:
            dosed = dosages.write_dosages(line, room.fields, samples, rows.dosages, packed[row], haploid[row], row)
            if dosed == 0 and not in_order:
                # others have dosages, and so their calls were not looked at
                _, _, _, _, seen = samples_of.read_fields(
                    text, columns[9], record.format, record.wanted, record.n_alternates, k, line, room.fields
                )
            if dosed == 0 and row == begin and record.n_alternates > 1:
                for i in range(3):
                    counters[calls.DOSAGES + i] += (record.found >> i) & 1
        if record.has and row == begin:
            dosages.count_notes(line, room.fields, samples, dosed > 0, counters)
        if dosed:
            any_haploid = dosed > 1
            counters[calls.ROUNDED_ROWS] += int(rows.dosages.steps[row] == dosages.MOST_STEPS)
        elif seen == _PACKED:
            if k > 1:
                target = packed[row] if in_order else line.file_row[0]
                pack_fixed(text, columns[9], samples.n_columns, record.n_alternates, k, target)
            if not in_order:
                gather_samples(line.file_row, samples.source, packed[row : row + 1])
        else:
            calls.code_calls(k, line)
            any_haploid = calls.write_row(line, samples, seen, packed[row], haploid[row], counters, row == begin)
        rows.haploid_rows[row] = 1 if any_haploid else 0
        rows.positions[row] = record.position
        places[row, CHROM_START] = columns[0]
        places[row, CHROM_END] = columns[1] - 1
        places[row, ID_START] = columns[2]
        places[row, ID_END] = columns[3] - 1
        places[row, REF_START] = columns[3]
        places[row, REF_END] = columns[4] - 1
        places[row, ALT_START] = alt_start
        places[row, ALT_END] = alt_end
        rows.records[row] = counters[calls.RECORDS]
        rows.alt_index[row] = k
        row += 1
        alt_start = alt_end + 1
    if row > begin:
        rows.half_calls[begin] = counters[calls.HALF_MISSING] - half_before
    if row - begin > 1:
        counters[calls.SPLIT] += 1
    return row


@jit
def _check_line(text: UInt8Array, columns: Int64Array, position: int, n_alternates: int) -> int:
    """What is wrong with the fixed columns, if anything."""
    if not fields.contig_is_sound(text, columns[0], columns[1] - 1):
        return calls.BAD_CONTIG
    if position < 0:
        return calls.BAD_POSITION
    if columns[3] - columns[2] == 1 or columns[4] - columns[3] == 1 or n_alternates < 0:
        return calls.EMPTY_FIELD
    return calls.OK


@jit
def _region_of(text: UInt8Array, start: int, end: int, position: int, regions: Regions, last: int) -> int:
    """The region that a record lies in (inclusive bounds), or -1; 0 where there are none. That of the record before is tried first."""
    n_regions = regions.ends.shape[0]
    if n_regions == 0:
        return 0
    r = max(last, 0)
    for _ in range(n_regions):
        if position >= regions.bounds[r, 0] and position <= regions.bounds[r, 1]:
            name_start = regions.ends[r - 1] if r > 0 else 0
            if fields.same(text, start, end, regions.names, name_start, regions.ends[r]):
                return r
        r = r + 1 if r + 1 < n_regions else 0
    return -1


@native
def scan(
    text: UInt8Array,
    offset: int,
    samples: calls.Samples,
    header: Header,
    regions: Regions,
    rows: Rows,
    room: Room,
    report: Report,
) -> None:
    """Scan whole lines of ``text`` from ``offset``.

    Parameters
    ----------
    text : uint8 (L,)
        Whole lines; the last byte is a newline.
    samples, header, regions
    rows, report
        Filled.
    room
    """
    L = text.shape[0]
    n_columns, line, numeric, columns = samples.n_columns, room.line, room.numeric, room.columns
    packed, file_row, in_order = rows.packed, line.file_row, samples.in_order
    counters, status = report.counters, report.status
    format_start, format_end = 0, 0  # the last FORMAT that was read
    n_fields, genotype, any_numeric, found, has_fields = 0, -1, False, 0, 0
    row, lines, at, left_out, region = 0, 0, offset, 0, 0
    status[:] = 0
    room.fields.state[:] = 0
    while at < L:
        if text[at] == fields.NEWLINE or (text[at] == fields.RETURN and text[at + 1] == fields.NEWLINE):
            at = fields.line_end(text, at) + 1
            lines += 1
            continue
        status[STATUS_OFFSET] = at
        status[STATUS_ROWS] = row
        status[STATUS_LINES] = lines
        status[STATUS_LEFT_OUT] = left_out
        if text[at] == 35:  # '#'
            status[STATUS_CODE] = calls.HEADER_LINE
            return
        if fields.read_columns(text, at, columns) < 9:
            status[STATUS_CODE] = calls.BAD_COLUMNS
            return
        position = fields.read_position(text, columns[1], columns[2] - 1)
        n_alternates = fields.count_alternates(text, columns[4], columns[5] - 1)
        status[STATUS_CODE] = _check_line(text, columns, position, n_alternates)
        if status[STATUS_CODE] != calls.OK:
            return
        region = _region_of(text, columns[0], columns[1] - 1, position, regions, region)
        if region < 0:
            counters[calls.OUTSIDE] += 1
            at = fields.line_end(text, columns[9]) + 1
            lines += 1
            continue
        if regions.pass_only and not fields.passes(text, columns[6], columns[7] - 1):
            if left_out == rows.left_out.shape[0]:
                status[STATUS_CODE] = calls.FULL
                return
            rows.left_out[left_out, 0] = columns[6]
            rows.left_out[left_out, 1] = columns[7] - 1
            left_out += 1
            counters[calls.RECORDS] += 1
            at = fields.line_end(text, columns[9]) + 1
            lines += 1
            continue
        if not fields.same(text, columns[8], columns[9] - 1, text, format_start, format_end):
            format_start = columns[8]
            format_end = columns[9] - 1
            n_fields, genotype, any_numeric = fields.read_format(
                text, format_start, format_end, header.numeric_names, header.numeric_ends, numeric
            )
            if n_fields < 0:
                status[STATUS_CODE] = calls.BAD_FORMAT
                return
            found = fields.dosage_fields(text, format_start, format_end)
            has_fields = samples_of.read_roles(
                text, format_start, format_end, header.wanted, genotype, numeric, room.fields.roles
            )
            if has_fields < 0:
                status[STATUS_CODE] = calls.BAD_FORMAT
                return
        has = has_fields
        if n_alternates == 0 or (n_alternates > 1 and found & header.wanted.dosages == samples_of.HDS_WANTED):
            has &= ~samples_of.HAS_DOSAGES  # of several ALTs it is not defined which haplotype carries which
        if (genotype < 0 and has & ~samples_of.HAS_MASKS == 0) or (n_alternates == 0 and not regions.blocks):
            # Nothing to keep. The columns are counted all the same.
            n_found, end = fields.count_samples(text, columns[9])
            if n_found != n_columns:
                status[STATUS_CODE] = calls.BAD_COLUMNS
                return
            counters[calls.NO_GENOTYPES if genotype < 0 else calls.NO_ALTERNATE] += 1
        else:
            if row + max(n_alternates, 1) > packed.shape[0]:
                status[STATUS_CODE] = calls.FULL
                return
            end, n_half = -1, 0
            if n_fields == 1 and has == 0:
                target = packed[row] if in_order else file_row[0]
                end, n_half = _read_fixed(text, columns[9], n_columns, n_alternates, target)
            seen = _PACKED
            format = calls.Format(n_fields, genotype, n_alternates, numeric, any_numeric, header.rules)
            # whose calls are half missing is not known of packed rows
            if end < 0 or n_half > 0:
                if has == 0:
                    code, end, j, field, seen = calls.read_calls(text, columns[9], format, n_alternates, line)
                else:
                    code, end, j, field, seen = samples_of.read_samples(
                        text, columns[9], format, header.wanted, n_alternates, 1, line, room.fields
                    )
                if code != calls.OK:
                    status[STATUS_CODE] = code
                    status[STATUS_SAMPLE] = j
                    status[STATUS_FIELD] = field
                    return
            record = Record(columns, position, n_alternates, regions.blocks, has, found, format, header.wanted)
            row = _write_rows(text, record, seen, room, samples, rows, counters, row)
        counters[calls.RECORDS] += 1
        if has & samples_of.HAS_DOSAGES == 0:
            for k in range(3):
                counters[calls.DOSAGES + k] += (found >> k) & 1
        at = end + 1
        lines += 1
    status[STATUS_OFFSET] = at
    status[STATUS_ROWS] = row
    status[STATUS_LINES] = lines
    status[STATUS_LEFT_OUT] = left_out


@native
def take_names(text: UInt8Array, places: Int64Array, offsets: Int64Array, data: UInt8Array, same: UInt8Array) -> None:
    """Copy ID, REF and ALT of rows, and tell where CHROM changes.

    Parameters
    ----------
    text : uint8 (L,)
    places : int64 (., `N_PLACES`)
        Of V rows, from `scan`.
    offsets : int64 (3, V + 1)
        Filled: column c of row v is ``data[offsets[c, v] : offsets[c, v + 1]]``.
    data : uint8 (bytes of all,)
        Filled.
    same : uint8 (V,)
        Filled: 1 where CHROM is that of the row before.
    """
    V = same.shape[0]
    at = 0
    for c in range(3):
        for v in range(V):
            offsets[c, v] = at
            for k in range(places[v, ID_START + 2 * c], places[v, ID_END + 2 * c]):
                data[at] = text[k]
                at += 1
        offsets[c, V] = at
    for v in range(V):
        same[v] = 0
        if v > 0 and fields.same(
            text,
            places[v, CHROM_START],
            places[v, CHROM_END],
            text,
            places[v - 1, CHROM_START],
            places[v - 1, CHROM_END],
        ):
            same[v] = 1
