"""The fixed columns of a VCF line: small loops over bytes. A line ends with a newline, so no loop runs over its end."""

from genassoc.kernels import jit
from genassoc.shapes import Int64Array, UInt8Array

TAB, NEWLINE, RETURN, COLON, COMMA, DOT, SLASH, BAR, ZERO = 9, 10, 13, 58, 44, 46, 47, 124, 48


@jit
def same(text: UInt8Array, start: int, end: int, other: UInt8Array, other_start: int, other_end: int) -> bool:
    """Whether two byte strings are equal."""
    if end - start != other_end - other_start:
        return False
    for k in range(end - start):
        if text[start + k] != other[other_start + k]:
            return False
    return True


@jit
def field_end(text: UInt8Array, at: int) -> int:
    """Offset of the tab or line end that closes the column starting at ``at``."""
    while text[at] != TAB and text[at] != NEWLINE:
        at += 1
    return at


@jit
def line_end(text: UInt8Array, at: int) -> int:
    """Offset of the newline that closes the line ``at`` lies in."""
    while text[at] != NEWLINE:
        at += 1
    return at


@jit
def read_columns(text: UInt8Array, at: int, columns: Int64Array) -> int:
    """Where each of the nine fixed columns starts, and the first sample; how many columns there are up to nine."""
    columns[0] = at
    for c in range(9):
        end = field_end(text, columns[c])
        if text[end] != TAB:
            return c
        columns[c + 1] = end + 1
    return 9


@jit
def count_samples(text: UInt8Array, at: int) -> tuple[int, int]:
    """Columns from ``at`` to the end of the line, and where the line ends."""
    tabs = 0
    while text[at] != NEWLINE:
        tabs += int(text[at] == TAB)
        at += 1
    return tabs + 1, at


@jit
def contig_is_sound(text: UInt8Array, start: int, end: int) -> bool:
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
        if c <= 32 or c == 127 or c == 34 or c == 39 or c == COMMA or c == 60 or c == 62 or c == 92:
            return False
        if c == 91 or c == 93 or c == 40 or c == 41 or c == 123 or c == 125 or c == 96:
            return False
    return True


@jit
def read_position(text: UInt8Array, start: int, end: int) -> int:
    """The whole number in POS, or -1."""
    if end == start or end - start > 15:
        return -1
    value = 0
    for k in range(start, end):
        digit = int(text[k]) - ZERO
        if digit < 0 or digit > 9:
            return -1
        value = 10 * value + digit
    return value


@jit
def count_alternates(text: UInt8Array, start: int, end: int) -> int:
    """Number of ALTs: 0 for ``.``, -1 where one is empty."""
    if end == start:
        return -1
    if end - start == 1 and text[start] == DOT:
        return 0
    count = 1
    previous = start - 1
    for k in range(start, end):
        if text[k] == COMMA:
            if k == previous + 1:
                return -1
            previous = k
            count += 1
    if previous == end - 1:
        return -1
    return count


@jit
def is_reference_block(text: UInt8Array, start: int, end: int) -> bool:
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
def passes(text: UInt8Array, start: int, end: int) -> bool:
    """Whether FILTER is PASS or ``.``: nothing was found against the record, or nobody looked."""
    if end - start == 1:
        return text[start] == DOT
    # P A S S
    return end - start == 4 and (
        text[start] == 80 and text[start + 1] == 65 and text[start + 2] == 83 and text[start + 3] == 83
    )


@jit
def read_format(
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
        while stop < end and text[stop] != COLON:
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
                if same(text, at, stop, numeric_names, name_start, numeric_ends[k]):
                    numeric[n_fields] = 1
                    any_numeric = True
                name_start = numeric_ends[k]
        n_fields += 1
        if stop == end:
            return n_fields, genotype, any_numeric
        at = stop + 1


@jit
def dosage_fields(text: UInt8Array, start: int, end: int) -> int:
    """Which fields of a FORMAT hold dosages or probabilities: 1 for DS, 2 for HDS, 4 for GP, added up."""
    found = 0
    at = start
    while at < end:
        stop = at
        while stop < end and text[stop] != COLON:
            stop += 1
        # D S, H D S, G P
        if stop - at == 2 and text[at] == 68 and text[at + 1] == 83:
            found |= 1
        elif stop - at == 3 and text[at] == 72 and text[at + 1] == 68 and text[at + 2] == 83:
            found |= 2
        elif stop - at == 2 and text[at] == 71 and text[at + 1] == 80:
            found |= 4
        at = stop + 1
    return found


@jit
def in_regions(
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
            if same(text, start, end, region_names, name_start, region_ends[r]):
                return True
        name_start = region_ends[r]
    return False
