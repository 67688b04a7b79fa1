"""Sample columns that all have the same shape, such as ``0|1:0.998`` or ``0|0:0.003:0.997,0.003,0``: what imputation servers write.

First the ends of all parts of the line are found, 64 bytes at a time; where there are as many in each column as in the first, each
part is then read where it lies, so that no read waits for the one before it. Whatever is odd (another shape, a dosage out of
range) is left to `genassoc.kernels.text.vcf_samples.read_fields`, which says the same, slower.
"""

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.text import vcf_calls as calls
from genassoc.kernels.text import vcf_dosages as dosages
from genassoc.kernels.text.vcf_dosages import ABSENT, MOST_PARTS, Fields
from genassoc.kernels.text.vcf_fields import COLON, COMMA, NEWLINE, RETURN, TAB
from genassoc.kernels.text.vcf_numbers import BILLION, NO_NUMBER, NOTHING, read_number
from genassoc.kernels.text.vector_bytes import word_at
from genassoc.kernels.text.vector_text import WIDTH, separator_masks, trailing_zeros
from genassoc.shapes import Int32Array, UInt8Array

_ONE, _EIGHT, _SIXTEEN, _THIRTY_TWO = np.uint64(1), np.uint64(8), np.uint64(16), np.uint64(32)
_LOW_BYTE = np.uint64(0xFF)
_ZEROS = np.uint64(0x3030303030303030)
_BEYOND_NINE = np.uint64(0x7676767676767676)
_TOP_BITS = np.uint64(0x8080808080808080)
_PAIRS = np.uint64(0x00FF00FF00FF00FF)
_QUADS = np.uint64(0x0000FFFF0000FFFF)
_LOW_HALF = np.uint64(0xFFFFFFFF)
_TEN, _HUNDRED, _TEN_THOUSAND = np.uint64(10), np.uint64(100), np.uint64(10_000)
_POINT = np.uint64(46 ^ 48)
# Three bytes of a call of the first two alleles, without the bits that tell 0 from 1 and | from /.
_CALL_BITS = np.uint64(0xFE00FE)
_CALL = np.uint64(0x300030)
_UNSOUND_SUM = BILLION // 20
_DISAGREEMENT = BILLION // 50


@jit
def find_ends(text: UInt8Array, at: int, ends: Int32Array) -> tuple[int, int]:
    """Where the parts of a line from ``at`` end, as offsets from there: (how many, offset of the newline).

    How many is -1 where there is no room for all.
    """
    L, begin, n = text.shape[0], at, 0
    while at + WIDTH <= L:
        if n + WIDTH > ends.shape[0]:
            return -1, at
        found, newlines = separator_masks(text, at)
        if newlines != 0:
            found &= newlines ^ (newlines - _ONE)  # up to the first
        base = at - begin
        while found != 0:
            ends[n] = base + trailing_zeros(found)
            n += 1
            found &= found - _ONE
        if newlines != 0:
            return n, begin + int(ends[n - 1])
        at += WIDTH
    while True:
        if n == ends.shape[0]:
            return -1, at
        c = text[at]
        if c == TAB or c == COLON or c == COMMA or c == NEWLINE or c == RETURN:
            ends[n] = at - begin
            n += 1
            if c == NEWLINE:
                return n, at
        at += 1


@jit
def _short_number(text: UInt8Array, start: int, n: int) -> int:
    """A number of n bytes in billionths, if it is a digit, or one with a point and up to five more; else -1."""
    digits = (word_at(text, start) ^ _ZEROS) & ((_ONE << np.uint64(8 * (n & 7))) - _ONE)
    point = (digits >> _EIGHT) & _LOW_BYTE
    joined = (digits & _LOW_BYTE) | ((digits >> _EIGHT) & ~_LOW_BYTE)
    odd = ((joined + _BEYOND_NINE) | joined) & _TOP_BITS
    pairs = (joined * _TEN + (joined >> _EIGHT)) & _PAIRS
    quads = (pairs * _HUNDRED + (pairs >> _SIXTEEN)) & _QUADS
    value = (quads * _TEN_THOUSAND + (quads >> _THIRTY_TWO)) & _LOW_HALF
    sound = odd == 0 and ((n == 1 and point == 0) or (n > 2 and n < 8 and point == _POINT))
    return int(np.int64(value)) * 100 if sound else -1


@jit
def _number(text: UInt8Array, start: int, n: int) -> int:
    """A number of n bytes in billionths; -1 for ``.``, -2 where it is none or below 0."""
    value = _short_number(text, start, n) if start + 8 <= text.shape[0] else -1
    if value >= 0:
        return value
    if n == 0:
        return -2
    kind, value, end = read_number(text, start)
    if kind == NOTHING and end == start + n:
        return -1
    return -2 if kind == NO_NUMBER or end != start + n or value < 0 else value


@jit
def read_regular(
    text: UInt8Array, at: int, format: calls.Format, n_alternates: int, k: int, line: calls.Calls, fields: Fields
) -> tuple[int, int]:
    """Read the sample columns from ``at`` as of ALT k, if they all have one shape: (end of the line or -1, bits seen).

    Without the alleles of the calls, which the dosages make needless: there is one in at least one column.
    """
    roles, shape, ends = fields.roles, fields.shape, fields.ends
    first, second, flags = line.first, line.second, line.flags
    dosage, homozygous, notes = fields.dosage, fields.homozygous, fields.notes
    n_columns = first.shape[0]
    # the shape of the first column
    parts, field, begun, call_part, ds_part, gp_part = 0, 0, 0, -1, -1, -1
    end = at
    while True:
        c = int(text[end])
        if c == COLON or c == COMMA or c == TAB or c == NEWLINE or c == RETURN:
            if parts == MOST_PARTS:
                return -1, 0
            shape[parts] = c
            parts += 1
            if c != COMMA:
                role = int(roles[field])
                n = parts - begun
                if role == dosages.GT:
                    call_part = begun
                elif role == dosages.DS:
                    ds_part = begun + k - 1
                    if n != n_alternates:
                        return -1, 0
                elif role == dosages.GP:
                    gp_part = begun
                    if n != 3 or n_alternates != 1:
                        return -1, 0
                elif role != dosages.SKIPPED and role != dosages.NUMERIC:
                    return -1, 0
                if c != COLON:
                    break
                begun = parts
                field += 1
                if field >= format.n_fields or field >= roles.shape[0]:
                    return -1, 0
        end += 1
    if ds_part < 0 and gp_part < 0:
        return -1, 0
    shape[parts - 1] = TAB
    found, line_end = find_ends(text, at, ends)
    if found > 1 and ends[found - 2] == line_end - at - 1 and text[line_end - 1] == RETURN:
        found -= 1
    if found != parts * n_columns:
        return -1, 0
    seen, told = 0, 0
    for j in range(n_columns):
        base = parts * j
        odd = 0
        for part in range(parts - 1):
            odd |= int(text[at + ends[base + part]]) ^ int(shape[part])
        if j < n_columns - 1:
            odd |= int(text[at + ends[base + parts - 1]]) ^ TAB
        if odd:
            return -1, 0
        flag, copies = 0, -1
        if call_part >= 0:
            start = at + (ends[base + call_part - 1] + 1 if base + call_part > 0 else 0)
            n = at + ends[base + call_part] - start
            sound = False
            if start + 8 <= text.shape[0]:
                word = word_at(text, start)
                separator = (word >> _EIGHT) & _LOW_BYTE
                sound = n == 3 and (word & _CALL_BITS) == _CALL and (separator == 124 or separator == 47)
            if sound:
                a, b = int(text[start]) - 48, int(text[start + 2]) - 48
                copies = int(a == k) + int(b == k)
            else:
                flags[j] = 0
                code, stop = calls.read_call(text, start, n_alternates, format.rules, j, first, second, flags)
                if code != calls.OK or stop != start + n:
                    return -1, 0
                flag = int(flags[j])
                if first[j] >= 0 and flag & calls.KEPT == 0:
                    copies = int(first[j] == k) + int(second[j] == k)
        ds, gp, two, note = -1, -1, -1, 0
        if ds_part >= 0:
            start = at + (ends[base + ds_part - 1] + 1 if base + ds_part > 0 else 0)
            ds = _number(text, start, at + ends[base + ds_part] - start)
            if ds > 2 * BILLION or ds < -1:
                return -1, 0
        if gp_part >= 0:
            start = at + (ends[base + gp_part - 1] + 1 if base + gp_part > 0 else 0)
            e0, e1, e2 = at + ends[base + gp_part], at + ends[base + gp_part + 1], at + ends[base + gp_part + 2]
            p0 = _number(text, start, e0 - start)
            p1 = _number(text, e0 + 1, e1 - e0 - 1)
            p2 = _number(text, e1 + 1, e2 - e1 - 1)
            if min(p0, p1, p2) < 0 or max(p0, p1, p2) > BILLION or abs(p0 + p1 + p2 - BILLION) > _UNSOUND_SUM:
                return -1, 0
            gp = p1 + 2 * p2
            two = p2
        if flag:
            seen |= flag
            if flag & calls.HAPLOID and ds > BILLION:
                return -1, 0
            if flag & calls.HAPLOID and ds >= 0:
                ds *= 2
        value = ds
        if ds < 0:
            value = gp
        elif gp >= 0 and abs(ds - gp) > _DISAGREEMENT:
            note |= dosages.DISAGREES
        if value >= 0:
            note |= dosages.DOSED
        elif copies >= 0:
            value = BILLION * copies
            note |= dosages.FROM_CALL
        if flag & calls.POLYPLOID:
            value = -1
            note = 0
        dosage[j] = value if value >= 0 else ABSENT
        homozygous[j] = two if two >= 0 and value >= 0 else ABSENT
        notes[j] = note
        flags[j] = flag
        told |= note
    fields.state[2] = told
    fields.state[3] = seen
    return (line_end if told & dosages.DOSED else -1), seen
