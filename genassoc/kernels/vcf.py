"""Scanning VCF text: whole lines of bytes in, packed genotype rows and the places of their names out.

One row an ALT. No Python object is made for a call. Two ways through a line:

- every call is ``a/b`` with one-digit alleles (what imputation servers and PLINK write): four bytes a call, read as
  32-bit words in a loop without branches;
- anything else: a call at a time.

The first is tried where the end of the line allows it, and checks every byte it reads, so that both give the same rows.
"""

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import Array, Int32Array, Int64Array, UInt8Array

# What `scan` returns in status[STATUS_CODE].
OK = 0
FULL = 1  # no room for more rows: call again from status[STATUS_OFFSET]
BAD_COLUMNS = 2  # a line with other than 9 + N columns
BAD_CONTIG = 3
BAD_POSITION = 4
EMPTY_FIELD = 5  # ID, REF or ALT is empty
BAD_FORMAT = 6  # empty or repeated FORMAT field
BAD_GENOTYPE = 7  # characters that are no genotype
BAD_ALLELE = 8  # allele number above the number of ALTs
TOO_MANY_FIELDS = 9  # a sample has more fields than FORMAT
BAD_NUMBER = 10  # letters in a field that the header declares a number
HEADER_LINE = 11  # a line that starts with # after the header

# Where `scan` leaves what it has to say.
STATUS_CODE, STATUS_OFFSET, STATUS_ROWS, STATUS_LINES, STATUS_SAMPLE, STATUS_FIELD = 0, 1, 2, 3, 4, 5
STATUS_SIZE = 6

# Counters, added to by every call.
(
    RECORDS,
    SPLIT,
    NO_GENOTYPES,
    NO_ALTERNATE,
    REFERENCE_BLOCK,
    HAPLOID_CALLS,
    HALF_MISSING,
    POLYPLOID,
    OUTSIDE,
) = range(9)
N_COUNTERS = 9

# Columns of `places`, one row a row of output: byte offsets into the text.
CHROM_START, CHROM_END, ID_START, ID_END, REF_START, REF_END, ALT_START, ALT_END = range(8)
N_PLACES = 8

# Bits of a call beside its two-bit code, while a line is read.
_HALF, _HAPLOID, _POLYPLOID = 4, 8, 16

_TAB, _NEWLINE, _RETURN, _COLON, _COMMA, _DOT, _SLASH, _BAR, _ZERO = 9, 10, 13, 58, 44, 46, 47, 124, 48


@jit
def _same(text: UInt8Array, start: int, end: int, other: UInt8Array, other_start: int, other_end: int) -> bool:
    """Whether two byte strings are equal."""
    if end - start != other_end - other_start:
        return False
    for k in range(end - start):
        if text[start + k] != other[other_start + k]:
            return False
    return True


@jit
def _field_end(text: UInt8Array, at: int) -> int:
    """Offset of the tab or line end that closes the column starting at ``at``."""
    while text[at] != _TAB and text[at] != _NEWLINE:
        at += 1
    return at


@jit
def _line_end(text: UInt8Array, at: int) -> int:
    """Offset of the newline that closes the line ``at`` lies in."""
    while text[at] != _NEWLINE:
        at += 1
    return at


@jit
def _contig_is_sound(text: UInt8Array, start: int, end: int) -> bool:
    """A name without blanks, quotes, commas and brackets, not starting with ``*`` or ``=`` (VCF 4.3, 1.6.1).

    Angle brackets around the whole name are sound: so VCF writes contigs of an assembly file.
    """
    if end - start > 2 and text[start] == 60 and text[end - 1] == 62:
        start += 1
        end -= 1
    if end == start or text[start] == 42 or text[start] == 61:
        return False
    for k in range(start, end):
        c = text[k]
        # " ' , < > [ ] ( ) { } ` and the backslash; controls and the blank
        if c <= 32 or c == 127 or c == 34 or c == 39 or c == _COMMA or c == 60 or c == 62 or c == 92:
            return False
        if c == 91 or c == 93 or c == 40 or c == 41 or c == 123 or c == 125 or c == 96:
            return False
    return True


@jit
def _position(text: UInt8Array, start: int, end: int) -> int:
    """The whole number in POS, or -1."""
    if end == start or end - start > 15:
        return -1
    value = 0
    for k in range(start, end):
        digit = np.int64(text[k]) - _ZERO
        if digit < 0 or digit > 9:
            return -1
        value = 10 * value + digit
    return value


@jit
def _count_alternates(text: UInt8Array, start: int, end: int) -> int:
    """Number of ALTs: 0 for ``.``, -1 where one is empty."""
    if end == start:
        return -1
    if end - start == 1 and text[start] == _DOT:
        return 0
    count = 1
    previous = start - 1
    for k in range(start, end):
        if text[k] == _COMMA:
            if k == previous + 1:
                return -1
            previous = k
            count += 1
    if previous == end - 1:
        return -1
    return count


@jit
def _is_reference_block(text: UInt8Array, start: int, end: int) -> bool:
    """``<*>`` and ``<NON_REF>``: no allele, but "anything else" of a gVCF."""
    if end - start == 3:
        return text[start] == 60 and text[start + 1] == 42 and text[start + 2] == 62
    if end - start == 9 and text[start] == 60 and text[start + 8] == 62 and text[start + 4] == 95:
        # N O N _ R E F
        return (
            text[start + 1] == 78
            and text[start + 2] == 79
            and text[start + 3] == 78
            and text[start + 5] == 82
            and text[start + 6] == 69
            and text[start + 7] == 70
        )
    return False


@jit
def _read_format(
    text: UInt8Array,
    start: int,
    end: int,
    numeric_names: UInt8Array,
    numeric_ends: Int64Array,
    numeric: UInt8Array,
) -> tuple[int, int, bool]:
    """(number of fields, GT's index or -1, any field declared a number); (-1, ..) where FORMAT is unsound.

    ``numeric[f]`` is set for fields whose name is in ``numeric_names``. Fields beyond its length are not checked.
    """
    n_fields = 0
    genotype = -1
    any_numeric = False
    at = start
    while True:
        stop = at
        while stop < end and text[stop] != _COLON:
            stop += 1
        if stop == at:
            return -1, -1, False
        if stop - at == 2 and text[at] == 71 and text[at + 1] == 84:
            if genotype >= 0:
                return -1, -1, False
            genotype = n_fields
        if n_fields < numeric.shape[0]:
            numeric[n_fields] = 0
            name_start = 0
            for k in range(numeric_ends.shape[0]):
                if _same(text, at, stop, numeric_names, name_start, numeric_ends[k]):
                    numeric[n_fields] = 1
                    any_numeric = True
                name_start = numeric_ends[k]
        n_fields += 1
        if stop == end:
            return n_fields, genotype, any_numeric
        at = stop + 1


@jit
def _is_numeric_byte(c: int) -> bool:
    """Digits, ``+ - . , e`` and the letters of nan and infinity."""
    if c >= 48 and c <= 57:
        return True
    if c == 43 or c == 45 or c == _DOT or c == _COMMA:
        return True
    c |= 32
    return c == 101 or c == 110 or c == 97 or c == 105 or c == 102 or c == 116 or c == 121


@jit
def _fixed_codes(words: Array, n_alternates: int, k: int, codes: UInt8Array) -> tuple[bool, int]:
    """Codes of ALT ``k`` from calls of four bytes ``a / b tab``; (all sound, bits seen in any call).

    ``code = 3 if either allele is '.' else (a == k) + (b == k)``, plus `_HALF` where just one is. No branches, so
    that the compiler makes vectors of it. ``'.' ^ '0'`` is 30; digits are 0..9.
    """
    bad = np.uint32(0)
    seen = np.uint32(0)
    top = np.uint32(n_alternates)
    wanted = np.uint32(k)
    for j in range(words.shape[0]):
        word = words[j]
        a = np.uint32((word & np.uint32(255)) ^ np.uint32(48))
        separator = np.uint32((word >> np.uint32(8)) & np.uint32(255))
        b = np.uint32(((word >> np.uint32(16)) & np.uint32(255)) ^ np.uint32(48))
        after = np.uint32(word >> np.uint32(24))
        a_absent = np.uint32(a == 30)
        b_absent = np.uint32(b == 30)
        bad |= np.uint32(after != 9) | np.uint32((separator != 47) & (separator != 124))
        bad |= np.uint32(a > top) & (a_absent ^ np.uint32(1))
        bad |= np.uint32(b > top) & (b_absent ^ np.uint32(1))
        count = np.uint32(a == wanted) + np.uint32(b == wanted)
        absent = a_absent | b_absent
        half = a_absent ^ b_absent
        code = np.uint32(count | (absent * np.uint32(3)) | (half << np.uint32(2)))
        # With '.', count may be 1 (one allele seen): 1 | 3 is 3 all the same.
        seen |= code
        codes[j] = np.uint8(code)
    return bad == 0, np.int64(seen)


@jit
def _read_call(
    text: UInt8Array,
    at: int,
    n_alternates: int,
    leading_phase: bool,
    j: int,
    first: Int32Array,
    second: Int32Array,
    flags: UInt8Array,
) -> tuple[int, int]:
    """Read one genotype starting at ``at``; (error code, offset after it).

    ``first`` and ``second`` are the alleles (-1 where the call is not observed; a haploid allele stands in both).
    ``leading_phase``: a separator may come first (VCF 4.4 writes phase there).
    """
    if leading_phase and (text[at] == _SLASH or text[at] == _BAR):
        at += 1
    ploidy = 0
    absent = 0
    a = -1
    b = -1
    while True:
        c = text[at]
        allele = -1
        if c == _DOT:
            absent += 1
            at += 1
        else:
            if c < 48 or c > 57:
                return BAD_GENOTYPE, at
            allele = 0
            while text[at] >= 48 and text[at] <= 57:
                if allele < 1_000_000:
                    allele = 10 * allele + (np.int64(text[at]) - _ZERO)
                at += 1
            if allele > n_alternates:
                return BAD_ALLELE, at
        if ploidy == 0:
            a = allele
        elif ploidy == 1:
            b = allele
        ploidy += 1
        if text[at] != _SLASH and text[at] != _BAR:
            break
        at += 1
    flag = 0
    if ploidy == 1:
        b = a
        # '.' alone says nothing about ploidy.
        if a >= 0:
            flag = _HAPLOID
    elif ploidy == 2:
        if absent > 0:
            a = -1
            b = -1
            if absent == 1:
                flag = _HALF
    else:
        a = -1
        b = -1
        # all dots: missing, whatever the ploidy
        if absent < ploidy:
            flag = _POLYPLOID
    first[j] = a
    second[j] = b
    flags[j] = flag
    return OK, at


@jit
def _read_calls(
    text: UInt8Array,
    at: int,
    n_fields: int,
    genotype: int,
    numeric: UInt8Array,
    any_numeric: bool,
    n_alternates: int,
    leading_phase: bool,
    first: Int32Array,
    second: Int32Array,
    flags: UInt8Array,
) -> tuple[int, int, int, int, int]:
    """Read the sample columns from ``at``; (error code, offset, file column, FORMAT field, bits seen in any call)."""
    L = text.shape[0]
    n_columns = first.shape[0]
    seen = 0
    for j in range(n_columns):
        first[j] = -1
        second[j] = -1
        flags[j] = 0
        field = 0
        while True:
            if field == genotype:
                # Shortcuts for the two commonest shapes; `_read_call` says the same, slower.
                if at + 3 < L:
                    c1 = text[at + 1]
                    a = np.int64(text[at]) - _ZERO
                    if a >= 0 and a <= 9 and a <= n_alternates:
                        if c1 == _TAB or c1 == _COLON:
                            first[j] = a
                            second[j] = a
                            flags[j] = _HAPLOID
                            seen |= _HAPLOID
                            at += 1
                            if c1 == _TAB:
                                break
                            field += 1
                            at += 1
                            if field >= n_fields:
                                return TOO_MANY_FIELDS, at, j, field, 0
                            continue
                        b = np.int64(text[at + 2]) - _ZERO
                        if (c1 == _SLASH or c1 == _BAR) and b >= 0 and b <= 9 and b <= n_alternates:
                            c3 = text[at + 3]
                            if c3 == _TAB or c3 == _COLON:
                                first[j] = a
                                second[j] = b
                                at += 3
                                if c3 == _TAB:
                                    break
                                field += 1
                                at += 1
                                if field >= n_fields:
                                    return TOO_MANY_FIELDS, at, j, field, 0
                                continue
                code, at = _read_call(text, at, n_alternates, leading_phase, j, first, second, flags)
                if code != OK:
                    return code, at, j, field, 0
                c = text[at]
                if c != _TAB and c != _COLON and c != _NEWLINE and not (c == _RETURN and text[at + 1] == _NEWLINE):
                    return BAD_GENOTYPE, at, j, field, 0
                seen |= flags[j]
            elif any_numeric and field < numeric.shape[0] and numeric[field] == 1:
                while text[at] != _TAB and text[at] != _COLON and text[at] > _RETURN:
                    if not _is_numeric_byte(text[at]):
                        return BAD_NUMBER, at, j, field, 0
                    at += 1
            else:
                while text[at] != _TAB and text[at] != _COLON and text[at] != _NEWLINE:
                    at += 1
            if text[at] == _RETURN and text[at + 1] == _NEWLINE:
                at += 1
            if text[at] != _COLON:
                break
            at += 1
            field += 1
            if field >= n_fields:
                return TOO_MANY_FIELDS, at, j, field, 0
        if text[at] == _TAB:
            if j == n_columns - 1:
                return BAD_COLUMNS, at, j, field, 0
            at += 1
        elif text[at] == _NEWLINE:
            if j < n_columns - 1:
                return BAD_COLUMNS, at, j, field, 0
        else:
            return BAD_NUMBER, at, j, field, 0
    return OK, at, 0, 0, seen


@jit
def _codes_of(k: int, first: Int32Array, second: Int32Array, flags: UInt8Array, codes: UInt8Array) -> None:
    """``code = 3 if not observed else (first == k) + (second == k)``, with the flags."""
    for j in range(first.shape[0]):
        code = 0
        if first[j] < 0:
            code = 3
        else:
            code = np.int64(first[j] == k) + np.int64(second[j] == k)
        codes[j] = code | flags[j]


@jit
def _pack_row(codes: UInt8Array, n_samples: int, packed: UInt8Array) -> None:
    """Pack codes (flags above the two bits are dropped) into one row (B,) of the layout in `packed`; padding is 3."""
    whole = n_samples >> 2
    for b in range(whole):
        packed[b] = (
            (codes[4 * b] & 3)
            | ((codes[4 * b + 1] & 3) << 2)
            | ((codes[4 * b + 2] & 3) << 4)
            | ((codes[4 * b + 3] & 3) << 6)
        )
    for b in range(whole, packed.shape[0]):
        byte = 0
        for j in range(4):
            i = 4 * b + j
            code = codes[i] & 3 if i < n_samples else 3
            byte |= code << (2 * j)
        packed[b] = byte


@jit
def _write_row(
    codes: UInt8Array,
    source: Int64Array,
    in_order: bool,
    seen: int,
    gathered: UInt8Array,
    packed: UInt8Array,
    haploid: UInt8Array,
    counters: Int64Array,
    count: bool,
) -> bool:
    """Put codes (file columns) in store order, pack them, mark haploid calls, count; whether any is haploid."""
    n_samples = source.shape[0]
    row = codes
    if not in_order:
        for i in range(n_samples):
            gathered[i] = codes[source[i]]
        row = gathered
    _pack_row(row, n_samples, packed)
    any_haploid = False
    if seen & (_HALF | _HAPLOID | _POLYPLOID):
        n_haploid = 0
        n_half = 0
        n_polyploid = 0
        for i in range(n_samples):
            code = np.int64(row[i])
            n_haploid += (code >> 3) & 1
            n_half += (code >> 2) & 1
            n_polyploid += (code >> 4) & 1
        if n_haploid > 0:
            any_haploid = True
            for i in range(n_samples):
                haploid[i >> 3] |= np.uint8(((row[i] >> 3) & 1) << (i & 7))
        if count:
            counters[HAPLOID_CALLS] += n_haploid
            counters[HALF_MISSING] += n_half
            counters[POLYPLOID] += n_polyploid
    return any_haploid


@jit
def _in_regions(
    text: UInt8Array,
    start: int,
    end: int,
    position: int,
    region_names: UInt8Array,
    region_ends: Int64Array,
    region_bounds: Int64Array,
) -> bool:
    """Whether a record's POS lies in any region (inclusive bounds); no regions: always."""
    n_regions = region_ends.shape[0]
    if n_regions == 0:
        return True
    name_start = 0
    for r in range(n_regions):
        if position >= region_bounds[r, 0] and position <= region_bounds[r, 1]:
            if _same(text, start, end, region_names, name_start, region_ends[r]):
                return True
        name_start = region_ends[r]
    return False


@jit
def scan(
    text: UInt8Array,
    offset: int,
    n_columns: int,
    source: Int64Array,
    in_order: bool,
    leading_phase: bool,
    region_names: UInt8Array,
    region_ends: Int64Array,
    region_bounds: Int64Array,
    numeric_names: UInt8Array,
    numeric_ends: Int64Array,
    packed: UInt8Array,
    haploid: UInt8Array,
    haploid_rows: UInt8Array,
    positions: Int64Array,
    places: Int64Array,
    records: Int64Array,
    alt_index: Int32Array,
    counters: Int64Array,
    status: Int64Array,
) -> None:
    """Scan whole lines of ``text`` from ``offset``.

    Parameters
    ----------
    text : uint8 (L,)
        Whole lines; the last byte is a newline.
    n_columns : int
        Sample columns of the file, at least 1.
    source : int64 (N,)
        File column of each sample of the store. ``in_order``: it is 0, 1, .., n_columns - 1.
    leading_phase : bool
        Whether genotypes may begin with a separator (VCF 4.4 and later).
    region_names, region_ends, region_bounds : uint8 (any,), int64 (R,), int64 (R, 2)
        Contig names one after another, where each ends, first and last POS. R = 0: everything.
    numeric_names, numeric_ends : uint8 (any,), int64 (F,)
        FORMAT fields that the header declares Integer or Float.
    packed, haploid, haploid_rows, positions, places, records, alt_index
        Outputs with room for the same number of rows: (., B), (., ceil(N / 8)) zeroed, (.,) 1 where the row has
        haploid calls, (.,), (., `N_PLACES`), (.,) number of the record counted by counters[RECORDS], (.,) from 1.
    counters : int64 (`N_COUNTERS`,)
        Added to.
    status : int64 (`STATUS_SIZE`,)
        Code, offset, rows written, lines read, and for an error the file column and FORMAT field it is in.
    """
    L = text.shape[0]
    capacity = packed.shape[0]
    first = np.empty(n_columns, dtype=np.int32)
    second = np.empty(n_columns, dtype=np.int32)
    flags = np.empty(n_columns, dtype=np.uint8)
    codes = np.empty(n_columns, dtype=np.uint8)
    gathered = np.empty(source.shape[0], dtype=np.uint8)
    numeric = np.zeros(256, dtype=np.uint8)
    columns = np.empty(10, dtype=np.int64)  # where each of the nine fixed columns starts, and the first sample
    last_format_start = 0
    last_format_end = 0
    n_fields = 0
    genotype = -1
    any_numeric = False
    rows = 0
    lines = 0
    at = offset
    status[:] = 0
    while at < L:
        line = at
        if text[at] == _NEWLINE:
            at += 1
            lines += 1
            continue
        if text[at] == _RETURN and text[at + 1] == _NEWLINE:
            at += 2
            lines += 1
            continue
        status[STATUS_OFFSET] = line
        status[STATUS_ROWS] = rows
        status[STATUS_LINES] = lines
        if text[at] == 35:
            status[STATUS_CODE] = HEADER_LINE
            return
        # The nine fixed columns.
        columns[0] = at
        for c in range(9):
            end = _field_end(text, columns[c])
            if text[end] != _TAB:
                status[STATUS_CODE] = BAD_COLUMNS
                status[STATUS_SAMPLE] = c - 9
                return
            columns[c + 1] = end + 1
        position = _position(text, columns[1], columns[2] - 1)
        if not _contig_is_sound(text, columns[0], columns[1] - 1):
            status[STATUS_CODE] = BAD_CONTIG
            return
        if position < 0:
            status[STATUS_CODE] = BAD_POSITION
            return
        if not _in_regions(text, columns[0], columns[1] - 1, position, region_names, region_ends, region_bounds):
            counters[OUTSIDE] += 1
            at = _line_end(text, columns[9]) + 1
            lines += 1
            continue
        n_alternates = _count_alternates(text, columns[4], columns[5] - 1)
        if columns[3] - columns[2] == 1 or columns[4] - columns[3] == 1 or n_alternates < 0:
            status[STATUS_CODE] = EMPTY_FIELD
            return
        if last_format_end == 0 or not _same(
            text, columns[8], columns[9] - 1, text, last_format_start, last_format_end
        ):
            last_format_start = columns[8]
            last_format_end = columns[9] - 1
            n_fields, genotype, any_numeric = _read_format(
                text, last_format_start, last_format_end, numeric_names, numeric_ends, numeric
            )
            if n_fields < 0:
                status[STATUS_CODE] = BAD_FORMAT
                return
        if genotype < 0 or n_alternates == 0:
            # Nothing to keep. The columns are counted all the same.
            end = columns[9]
            tabs = 0
            while text[end] != _NEWLINE:
                tabs += np.int64(text[end] == _TAB)
                end += 1
            if tabs != n_columns - 1:
                status[STATUS_CODE] = BAD_COLUMNS
                status[STATUS_SAMPLE] = tabs
                return
            counters[RECORDS] += 1
            counters[NO_GENOTYPES if genotype < 0 else NO_ALTERNATE] += 1
            at = end + 1
            lines += 1
            continue
        if rows + n_alternates > capacity:
            status[STATUS_CODE] = FULL
            return
        # The calls: four bytes each, or one at a time.
        samples = columns[9]
        last = samples + 4 * (n_columns - 1)  # the last call, whose fourth byte is no tab
        fixed = False
        seen = 0
        line_stop = last + 3
        if n_fields == 1 and n_alternates <= 9 and line_stop < L:
            fixed = text[line_stop] == _NEWLINE or (
                text[line_stop] == _RETURN and line_stop + 1 < L and text[line_stop + 1] == _NEWLINE
            )
        if fixed:
            sound, seen = _fixed_codes(text[samples:last].view(np.uint32), n_alternates, 1, codes)
            code = OK
            if sound:
                code, stop = _read_call(text, last, n_alternates, leading_phase, n_columns - 1, first, second, flags)
                sound = stop == line_stop
            fixed = sound and code == OK
        if not fixed:
            code, stop, j, field, seen = _read_calls(
                text,
                samples,
                n_fields,
                genotype,
                numeric,
                any_numeric,
                n_alternates,
                leading_phase,
                first,
                second,
                flags,
            )
            if code != OK:
                status[STATUS_CODE] = code
                status[STATUS_SAMPLE] = j
                status[STATUS_FIELD] = field
                if code == BAD_COLUMNS:
                    # how many sample columns there are
                    tabs = 0
                    end = samples
                    while text[end] != _NEWLINE:
                        tabs += np.int64(text[end] == _TAB)
                        end += 1
                    status[STATUS_SAMPLE] = tabs
                return
            line_stop = stop
        # One row an ALT.
        kept = 0
        alt_start = columns[4]
        for k in range(1, n_alternates + 1):
            alt_end = alt_start
            while text[alt_end] != _COMMA and text[alt_end] != _TAB:
                alt_end += 1
            if _is_reference_block(text, alt_start, alt_end):
                counters[REFERENCE_BLOCK] += 1
                alt_start = alt_end + 1
                continue
            if fixed:
                if k > 1:
                    _fixed_codes(text[samples:last].view(np.uint32), n_alternates, k, codes)
                j = n_columns - 1
                code = 3
                if first[j] >= 0:
                    code = np.int64(first[j] == k) + np.int64(second[j] == k)
                codes[j] = code | flags[j]
                row_seen = seen | np.int64(flags[j])
            else:
                _codes_of(k, first, second, flags, codes)
                row_seen = seen
            any_haploid = _write_row(
                codes, source, in_order, row_seen, gathered, packed[rows], haploid[rows], counters, kept == 0
            )
            haploid_rows[rows] = 1 if any_haploid else 0
            positions[rows] = position
            places[rows, CHROM_START] = columns[0]
            places[rows, CHROM_END] = columns[1] - 1
            places[rows, ID_START] = columns[2]
            places[rows, ID_END] = columns[3] - 1
            places[rows, REF_START] = columns[3]
            places[rows, REF_END] = columns[4] - 1
            places[rows, ALT_START] = alt_start
            places[rows, ALT_END] = alt_end
            records[rows] = counters[RECORDS]
            alt_index[rows] = k
            rows += 1
            kept += 1
            alt_start = alt_end + 1
        if kept > 1:
            counters[SPLIT] += 1
        counters[RECORDS] += 1
        at = _line_end(text, line_stop) + 1
        lines += 1
    status[STATUS_CODE] = OK
    status[STATUS_OFFSET] = at
    status[STATUS_ROWS] = rows
    status[STATUS_LINES] = lines


@jit
def gather(text: UInt8Array, starts: Int64Array, ends: Int64Array, offsets: Int64Array, out: UInt8Array) -> None:
    """Copy pieces of ``text`` one after another into ``out``; ``offsets`` (V + 1,) says where each begins."""
    at = 0
    for v in range(starts.shape[0]):
        offsets[v] = at
        for k in range(starts[v], ends[v]):
            out[at] = text[k]
            at += 1
    offsets[starts.shape[0]] = at


@jit
def same_as_previous(text: UInt8Array, starts: Int64Array, ends: Int64Array, same: UInt8Array) -> None:
    """``same[v]`` is 1 where piece v equals piece v - 1; ``same[0]`` is 0."""
    for v in range(starts.shape[0]):
        same[v] = 0
        if v > 0:
            same[v] = _same(text, starts[v], ends[v], text, starts[v - 1], ends[v - 1])
