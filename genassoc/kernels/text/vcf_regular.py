"""Sample columns that all have the same shape, such as ``0|1:0.998`` or ``0|0:0.003:0.997,0.003,0``: what imputation servers write.

First the ends of all parts of the line are found, 64 bytes at a time; where there are as many in each column as in the first, each
part is then read where it lies, so that no read waits for the one before it. Whatever is odd (another shape, a dosage out of
range) is left to `genassoc.kernels.text.vcf_samples.read_fields`, which says the same, slower.
"""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import DISABLE_JIT, jit
from genassoc.kernels.text import vcf_calls as calls
from genassoc.kernels.text import vcf_dosages as dosages
from genassoc.kernels.text.vcf_dosages import ABSENT, COLONS, DOSAGE, MOST_PARTS, SEEN, SHAPE, TOLD, TWO, Fields
from genassoc.kernels.text.vcf_fields import COLON, COMMA, NEWLINE, RETURN, TAB
from genassoc.kernels.text.vcf_numbers import BILLION, NO_NUMBER, NOTHING, read_number
from genassoc.kernels.text.vector_bytes import word_at
from genassoc.kernels.text.vector_numbers import NUMBERS, UNIT, short_numbers
from genassoc.kernels.text.vector_text import WIDTH, ones, separator_masks, trailing_zeros
from genassoc.shapes import Int32Array, Int64Array, UInt8Array, UInt32Array

_ONE = np.uint64(1)
# ``a|b:`` of the first two alleles, without the bits that tell 0 from 1; the separator is compared alone.
_CALL_BITS, _CALL = np.uint64(0xFFFE00FE), np.uint64(0x3A300030)
_SEPARATOR_BITS, _PHASED, _UNPHASED = np.uint64(0xFF00), np.uint64(124 << 8), np.uint64(47 << 8)
# in units of the numbers read
_COPY = BILLION // UNIT
_UNSOUND_SUM = _COPY // 20
_DISAGREEMENT = _COPY // 50


class Shape(NamedTuple):
    """What the parts of a column are: the first of GT, of DS (as of the ALT wanted) and of GP, -1 if there is none."""

    parts: int
    call: int
    ds: int
    gp: int


@jit
def find_ends(text: UInt8Array, at: int, ends: Int32Array) -> tuple[int, int, int, int]:
    """Where the parts of a line from ``at`` end, as offsets from there: (how many, offset of the newline, tabs, commas).

    How many is -1 where there is no room for all.
    """
    L, begin, n, tabs, commas = text.shape[0], at, 0, 0, 0
    while at + WIDTH <= L:
        if n + 2 * WIDTH > ends.shape[0]:
            return -1, at, 0, 0
        found, newlines, tab, comma = separator_masks(text, at)
        if newlines != 0:
            line = newlines ^ (newlines - _ONE)  # up to the first
            found &= line
            tab &= line
            comma &= line
        tabs += ones(tab)
        commas += ones(comma)
        base = at - begin
        here = ones(found)
        while True:
            for i in range(8):  # without a question for each; what is too many is written over
                ends[n + i] = base + trailing_zeros(found)
                found &= found - _ONE
            if here <= 8:
                break
            n += 8
            here -= 8
        n += here
        if newlines != 0:
            return n, begin + int(ends[n - 1]), tabs, commas
        at += WIDTH
    while True:
        if n + WIDTH > ends.shape[0]:
            return -1, at, 0, 0
        c = text[at]
        if c == TAB or c == COLON or c == COMMA or c == NEWLINE or c == RETURN:
            ends[n] = at - begin
            n += 1
            tabs += int(c == TAB)
            commas += int(c == COMMA)
            if c == NEWLINE:
                return n, at, tabs, commas
        at += 1


if DISABLE_JIT:
    # numpy warns of the wrap-around when no bit is left
    find_ends = np.errstate(over="ignore")(find_ends)


@jit
def read_numbers(text: UInt8Array, at: int, ends: Int32Array, n: int, numbers: UInt32Array) -> int:
    """Numbers of the n parts of a line but the first and some of the last: the first part that is not read."""
    t = 1
    # Eight bytes are read from where each part begins: the text may end before, and the parts be no multiple of eight.
    while t + NUMBERS <= n and at + int(ends[t + NUMBERS - 2]) + 9 <= text.shape[0]:
        short_numbers(text, at, ends, t, numbers)
        t += NUMBERS
    return t


@jit
def _shape_of(text: UInt8Array, at: int, n_fields: int, n_alternates: int, k: int, fields: Fields) -> Shape:
    """The shape of the column at ``at``; no parts where it is none that is read here."""
    roles, shape = fields.roles, fields.state[SHAPE:]
    none = Shape(0, -1, -1, -1)
    parts, field, begun, call, ds, gp = 0, 0, 0, -1, -1, -1
    while True:
        c = int(text[at])
        at += 1
        if c != COLON and c != COMMA and c != TAB and c != NEWLINE and c != RETURN:
            continue
        if parts == MOST_PARTS:
            return none
        shape[parts] = c
        parts += 1
        if c == COMMA:
            continue
        role, n = int(roles[field]), parts - begun
        if role == dosages.GT and n == 1:
            call = begun
        elif role == dosages.DS and n == n_alternates:
            ds = begun + k - 1
        elif role == dosages.GP and n == 3 and n_alternates == 1:
            gp = begun
        elif role != dosages.SKIPPED and role != dosages.NUMERIC:
            return none
        if c != COLON:
            break
        begun = parts
        field += 1
        if field >= n_fields or field >= roles.shape[0]:
            return none
    shape[parts - 1] = TAB
    return Shape(parts if ds >= 0 or gp >= 0 else 0, call, ds, gp)


@jit
def _list_colons(state: Int64Array, parts: int, call: int) -> int:
    """The parts before a colon that are looked at, beside that of GT: how many."""
    n = 0
    for part in range(parts - 1):
        if state[SHAPE + part] == COLON and part != call:
            state[COLONS + n] = part
            n += 1
    return n


@jit
def _number(text: UInt8Array, start: int, end: int) -> int:
    """A number in billionths; -1 for ``.``, -2 where it is none or below 0."""
    if start == end:
        return -2
    kind, value, stop = read_number(text, start)
    if kind == NO_NUMBER or stop != end or value < 0:
        return -2
    return -1 if kind == NOTHING else value


@jit
def _read_odd(
    text: UInt8Array, at: int, j: int, shape: Shape, format: calls.Format, k: int, line: calls.Calls, fields: Fields
) -> bool:
    """Read column j, in which something is other than usual; False where it is left to others."""
    ends, base = fields.ends, shape.parts * j
    flags = line.flags
    for part in range(shape.parts):
        c = int(text[at + int(ends[base + part])])
        if c != fields.state[SHAPE + part] and not (
            part == shape.parts - 1 and c <= RETURN and c != TAB and j == flags.shape[0] - 1
        ):
            return False
    flag, copies = 0, -1
    if shape.call >= 0:
        part = base + shape.call
        start = at + (int(ends[part - 1]) + 1 if part > 0 else 0)
        flags[j] = 0
        code, stop = calls.read_call(text, start, format.n_alternates, format.rules, j, line.first, line.second, flags)
        if code != calls.OK or stop != at + ends[part]:
            return False
        flag = int(flags[j])
        if line.first[j] < 0 and flag == 0 and stop - start == 3:
            flag |= dosages.PAIR
        elif line.first[j] < 0 and stop - start == 1 and shape.gp < 0:
            flag |= dosages.LONE
        if line.first[j] >= 0 and flag & calls.KEPT == 0:
            copies = int(line.first[j] == k) + int(line.second[j] == k)
    haploid = flag & calls.HAPLOID > 0
    value, two, note = -1, -1, 0
    if shape.ds >= 0:
        part = base + shape.ds
        start = at + (int(ends[part - 1]) + 1 if part > 0 else 0)
        value = _number(text, start, at + int(ends[part]))
        if value < -1 or value > (BILLION if haploid else 2 * BILLION):
            return False
        if haploid and value >= 0:
            value *= 2
    if shape.gp >= 0:
        part = base + shape.gp
        start = at + (int(ends[part - 1]) + 1 if part > 0 else 0)
        e0, e1, e2 = at + int(ends[part]), at + int(ends[part + 1]), at + int(ends[part + 2])
        p0, p1, p2 = _number(text, start, e0), _number(text, e0 + 1, e1), _number(text, e1 + 1, e2)
        sound = min(p0, p1, p2) >= 0 and max(p0, p1, p2) <= BILLION
        if not sound or abs(p0 + p1 + p2 - BILLION) > UNIT * _UNSOUND_SUM:
            return False
        two = p2
        if value < 0:
            value = p1 + 2 * p2
        elif abs(value - p1 - 2 * p2) > UNIT * _DISAGREEMENT:
            note |= dosages.DISAGREES
    if value >= 0:
        note |= dosages.DOSED
    elif copies >= 0:
        value = BILLION * copies
        note |= dosages.FROM_CALL
    if flag & calls.POLYPLOID:
        value = -1
        note = 0
    fields.copies[DOSAGE, j] = value if value >= 0 else ABSENT
    fields.copies[TWO, j] = two if two >= 0 and value >= 0 else ABSENT
    fields.notes[j] = note
    flags[j] = flag
    return True


@jit
def read_regular(
    text: UInt8Array, at: int, format: calls.Format, k: int, line: calls.Calls, fields: Fields
) -> tuple[int, int]:
    """Read the sample columns from ``at`` as of ALT k, if they all have one shape: (end of the line or -1, bits seen).

    Without the alleles of the calls, which the dosages make needless: at least one column has a dosage.
    """
    ends, numbers = fields.ends, fields.numbers
    odd = numbers  # those of columns that are read are not needed again
    flags, dosage, homozygous, notes = line.flags, fields.copies[DOSAGE], fields.copies[TWO], fields.notes
    n_columns = flags.shape[0]
    shape = _shape_of(text, at, format.n_fields, format.n_alternates, k, fields)
    parts, call, ds, gp = shape.parts, shape.call, shape.ds, shape.gp
    if parts == 0:
        return -1, 0
    n, line_end, tabs, commas = find_ends(text, at, ends)
    if n > 1 and int(ends[n - 2]) == line_end - at - 1 and text[line_end - 1] == RETURN:
        n -= 1
    # As many parts as if all columns had those of the first, with as many tabs and commas. That each column's last ends with a
    # tab, and those before a colon with one, is looked at below: then all have its shape.
    n_colons = _list_colons(fields.state, parts, call)
    n_commas = 0
    for part in range(parts - 1):
        n_commas += int(fields.state[SHAPE + part] == COMMA)
    if n != parts * n_columns or tabs != n_columns - 1 or commas != n_commas * n_columns:
        return -1, 0
    t = read_numbers(text, at, ends, n, numbers)
    for j in range(n_columns):
        notes[j] = dosages.DOSED
        flags[j] = 0
        homozygous[j] = ABSENT
    n_usual = min(t // parts, n_columns - 1)  # columns before are whole in the numbers; the last is ended by the line
    n_odd, told = 1, 0
    odd[0] = 0
    # Places that are never negative: indices without a sign are not looked at twice.
    step, one = np.uint64(parts), np.uint64(1)
    at_call, at_ds, at_gp = np.uint64(max(call, 0)), np.uint64(max(ds, 0)), np.uint64(max(gp, 0))
    colon = np.uint64(fields.state[COLONS] if n_colons > 0 else parts - 1)
    ended = np.uint64(COLON if n_colons > 0 else TAB)
    begin = np.uint64(at)
    base = np.uint64(0)
    for j in range(1, n_usual):
        base += step
        wrong = np.uint64(text[begin + np.uint64(ends[base + step - one])]) ^ np.uint64(9)
        wrong |= np.uint64(text[begin + np.uint64(ends[base + colon])]) ^ ended
        for i in range(1, n_colons):
            wrong |= np.uint64(text[at + int(ends[parts * j + fields.state[COLONS + i]])]) ^ np.uint64(COLON)
        if call >= 0:
            word = word_at(text, at + int(ends[base + at_call - one]) + 1)
            separator = word & _SEPARATOR_BITS
            wrong |= (word & _CALL_BITS) ^ _CALL
            wrong |= (separator ^ _PHASED) if separator != _UNPHASED else np.uint64(0)
        value, excess = 0, 0
        if ds >= 0:
            value = int(numbers[base + at_ds])
            excess = value - 2 * _COPY
        if gp >= 0:
            p0 = int(numbers[base + at_gp])
            p1 = int(numbers[base + at_gp + one])
            p2 = int(numbers[base + at_gp + one + one])
            excess = max(excess, abs(p0 + p1 + p2 - _COPY) - _UNSOUND_SUM, max(p0, p1, p2) - _COPY)
            homozygous[j] = UNIT * min(p2, _COPY)
            if ds < 0:
                value = p1 + 2 * p2
            elif abs(value - p1 - 2 * p2) > _DISAGREEMENT:
                notes[j] = dosages.DOSED | dosages.DISAGREES
                told |= dosages.DISAGREES
        dosage[j] = UNIT * min(value, 2 * _COPY)  # of more than two copies `_read_odd` says what becomes of it
        if wrong != 0 or excess > 0:
            odd[n_odd] = j
            n_odd += 1
    if n_odd < n_usual:
        told |= dosages.DOSED  # one at least was as usual
    for j in range(max(n_usual, 1), n_columns):
        odd[n_odd] = j
        n_odd += 1
    seen = 0
    for i in range(n_odd):
        j = int(np.int64(odd[i]))  # not uint32, which would compile what it calls again
        if not _read_odd(text, at, j, shape, format, k, line, fields):
            return -1, 0
        told |= int(notes[j])
        seen |= int(flags[j])
    seen = dosages.settle_lone(seen, flags, dosage)
    fields.state[TOLD] = told
    fields.state[SEEN] = seen
    return (line_end if told & dosages.DOSED else -1), seen
