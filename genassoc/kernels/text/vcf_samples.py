"""The sample columns of a VCF line whose fields beside GT are read: dosages, qualities of calls, alleles of a call's own list.

A record has one dosage a sample and ALT. It is DS; where a sample has none, that of its GP; then that of its HDS; and where it
has none of them, its genotype. The probability of two copies is that of GP; without one, the product of the two haplotypes'
(HDS), which is how imputation programs make GP themselves.
"""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.text import vcf_calls as calls
from genassoc.kernels.text import vcf_dosages as dosages
from genassoc.kernels.text.vcf_calls import Calls
from genassoc.kernels.text.vcf_dosages import (
    ABSENT,
    AD,
    DOSAGE,
    DP,
    DS,
    GP,
    GQ,
    GT,
    HDS,
    LA,
    LAA,
    LAD,
    LGT,
    LOCAL,
    MOST_LOCAL,
    NUMERIC,
    SEEN,
    SKIPPED,
    TOLD,
    TWO,
    Fields,
)  # fmt: skip
from genassoc.kernels.text.vcf_fields import COLON, COMMA, NEWLINE, RETURN, TAB
from genassoc.kernels.text.vcf_numbers import BILLION, NO_NUMBER, NOTHING, read_number
from genassoc.kernels.text.vcf_regular import read_regular
from genassoc.shapes import UInt8Array

# What `read_roles` finds.
HAS_DOSAGES, HAS_MASKS, IS_LOCAL = 1, 2, 4
# Bits of `Wanted.dosages` and of `vcf_fields.dosage_fields`.
DS_WANTED, HDS_WANTED, GP_WANTED = 1, 2, 4

NOISE = BILLION // 100  # beyond its bounds a dosage or probability is rounding; it is set to the bound
UNCERTAIN_SUM = BILLION // 20  # from 1: probabilities with this sum are no probabilities
DISAGREEMENT = BILLION // 50  # of DS and GP with two decimals each


class Wanted(NamedTuple):
    """What is read of the sample columns beside GT.

    Attributes
    ----------
    dosages : int
        Fields of dosages: 1 for DS, 2 for HDS, 4 for GP, added up.
    min_gq, min_dp : int
        In billionths; -1 for none.
    least_share, most_share : int
        Of ALT reads of heterozygous calls, in billionths; -1 for none.
    """

    dosages: int
    min_gq: int
    min_dp: int
    least_share: int
    most_share: int


@jit
def _role(text: UInt8Array, at: int, stop: int) -> int:
    """What a field of FORMAT may be, by its name."""
    n = stop - at
    a = int(text[at])
    b = int(text[at + 1]) if n > 1 else 0
    c = int(text[at + 2]) if n > 2 else 0
    if n == 2:
        if a == 71:  # GT, GP, GQ
            return GT if b == 84 else (GP if b == 80 else (GQ if b == 81 else SKIPPED))
        if a == 68:  # DS, DP
            return DS if b == 83 else (DP if b == 80 else SKIPPED)
        if a == 65 and b == 68:
            return AD
        if a == 76 and b == 65:
            return LA
    elif n == 3:
        if a == 72 and b == 68 and c == 83:
            return HDS
        if a == 76 and b == 71 and c == 84:
            return LGT
        if a == 76 and b == 65:  # LAA, LAD
            return LAA if c == 65 else (LAD if c == 68 else SKIPPED)
    return SKIPPED


@jit
def read_roles(
    text: UInt8Array, start: int, end: int, wanted: Wanted, genotype: int, numeric: UInt8Array, roles: UInt8Array
) -> int:
    """Fill ``roles`` for a sound FORMAT; what it has that is wanted (`HAS_DOSAGES`, ...), -1 where a field is there twice."""
    found = 0  # a bit a role
    at, field = start, 0
    while at < end:
        stop = at
        while stop < end and text[stop] != COLON:
            stop += 1
        role = _role(text, at, stop)
        if role != SKIPPED:
            if (found >> role) & 1:
                return -1
            found |= 1 << role
        if field < roles.shape[0]:
            roles[field] = role
        elif role != SKIPPED:
            found &= ~(1 << role)  # beyond what is looked at
        at = stop + 1
        field += 1
    n_fields = min(field, roles.shape[0])
    is_local = genotype < 0 and (found >> LGT) & 1 == 1 and ((found >> LAA) & 1 == 1 or (found >> LA) & 1 == 1)
    read_ds = (found >> DS) & 1 == 1 and wanted.dosages & DS_WANTED > 0
    read_gp = (found >> GP) & 1 == 1 and wanted.dosages & GP_WANTED > 0
    # of two haplotypes: where DS or GP does not say it all
    read_hds = (found >> HDS) & 1 == 1 and wanted.dosages & HDS_WANTED > 0 and not (read_ds and read_gp)
    read_gq = (found >> GQ) & 1 == 1 and wanted.min_gq >= 0
    read_dp = (found >> DP) & 1 == 1 and wanted.min_dp >= 0
    read_ad = wanted.least_share >= 0 and ((found >> AD) & 1 == 1 or (is_local and (found >> LAD) & 1 == 1))
    for f in range(n_fields):
        role = int(roles[f])
        keep = role == GT or (role == DS and read_ds) or (role == GP and read_gp) or (role == HDS and read_hds)
        keep = keep or (role == GQ and read_gq) or (role == DP and read_dp)
        keep = keep or (role == AD and read_ad) or (role == LAD and read_ad and is_local and (found >> AD) & 1 == 0)
        keep = keep or (is_local and (role == LGT or role == LAA or (role == LA and (found >> LAA) & 1 == 0)))
        if not keep:
            roles[f] = NUMERIC if numeric[f] == 1 else SKIPPED
    has = HAS_DOSAGES if read_ds or read_gp or read_hds else 0
    has |= HAS_MASKS if read_gq or read_dp or read_ad else 0
    return has | (IS_LOCAL if is_local else 0)


@jit
def _read_listed(text: UInt8Array, at: int, which: int, n_values: int) -> tuple[int, int, int, int]:
    """Value ``which`` (from 1) of a list of numbers: (error code, `NUMBER` or `NOTHING`, billionths, offset after the list)."""
    kind, value, at = read_number(text, at)
    if kind == NO_NUMBER:
        return calls.BAD_NUMBER, kind, value, at
    found_kind, found, n = kind, value, 1
    while text[at] == COMMA:
        n += 1
        kind, value, at = read_number(text, at + 1)
        if kind == NO_NUMBER:
            return calls.BAD_NUMBER, kind, value, at
        if n == which:
            found_kind, found = kind, value
    if n == 1 and n_values > 1:
        # of all ALTs together (Number=1): which it is of is not known
        return calls.OK, NOTHING, 0, at
    if n != n_values:
        return calls.BAD_COUNT, 0, 0, at
    return calls.OK, found_kind, found, at


@jit
def _read_probabilities(text: UInt8Array, at: int, k: int, n_alternates: int) -> tuple[int, int, int, int, int, int]:
    """GP as of ALT k: (error code, values, their sum, dosage, probability of two copies, offset after it).

    Values are 0 where one is not known. A haploid call has one probability an allele: dosage and probability are those of k. A
    diploid one has them in the order 00, 01, 11, 02, 12, 22, ...: ``dosage = sum of copies of k * P``.
    """
    n, low, high, total, copies, two, one, complete = 0, 0, 0, 0, 0, 0, 0, True
    while True:
        kind, value, at = read_number(text, at)
        if kind == NO_NUMBER:
            return calls.BAD_NUMBER, 0, 0, 0, 0, at
        if value < -NOISE or value > BILLION + NOISE:
            return calls.BAD_PROBABILITY, 0, 0, 0, 0, at
        complete = complete and kind != NOTHING
        value = min(max(value, 0), BILLION)
        total += value
        if high == k:
            copies += value
            if low == k:
                copies += value
                two = value
        elif low == k:
            copies += value
        if n == k:
            one = value
        n += 1
        if low == high:
            low, high = 0, high + 1
        else:
            low += 1
        if text[at] != COMMA:
            break
        at += 1
    alleles = n_alternates + 1
    if n == alleles * (alleles + 1) // 2:
        return calls.OK, n if complete else 0, total, copies, two, at
    if n == alleles:
        return calls.OK, n if complete else 0, total, one, one, at
    return (calls.OK if n == 1 and not complete else calls.BAD_COUNT), 0, 0, 0, 0, at


@jit
def _read_local(text: UInt8Array, at: int, role: int, n_alternates: int, fields: Fields) -> int:
    """The alleles that a call's own list names, REF first: how many, or -1 where it names one that is not there."""
    local = fields.state[LOCAL:]
    n = 0
    if role == LAA:
        local[0] = 0
        n = 1
    while True:
        kind, value, at = read_number(text, at)
        if kind == NOTHING:
            return max(n, 1)
        allele = value // BILLION
        if kind == NO_NUMBER or value % BILLION != 0 or allele < 0 or allele > n_alternates or n >= MOST_LOCAL:
            return -1
        local[n] = allele
        n += 1
        if text[at] != COMMA:
            return n
        at += 1


@jit
def _share(text: UInt8Array, at: int, a: int, b: int) -> int:
    """Share of the reads of alleles a and b that are of the later one, in billionths; -1 where it is not known."""
    low, high = min(a, b), max(a, b)
    n, reads_low, reads_high = 0, -1, -1
    while True:
        kind, value, at = read_number(text, at)
        if kind == NO_NUMBER:
            return -2
        if kind != NOTHING and value >= 0:
            if n == low:
                reads_low = value // BILLION
            elif n == high:
                reads_high = value // BILLION
        n += 1
        if text[at] != COMMA:
            break
        at += 1
    if reads_low < 0 or reads_high < 0 or reads_low + reads_high == 0:
        return -1
    return reads_high * BILLION // (reads_low + reads_high)


@jit
def _skip(text: UInt8Array, at: int) -> int:
    """Offset of what ends a field."""
    while text[at] != TAB and text[at] != COLON and text[at] != NEWLINE:
        at += 1
    return at


@jit
def read_samples(
    text: UInt8Array,
    at: int,
    format: calls.Format,
    wanted: Wanted,
    n_alternates: int,
    k: int,
    line: Calls,
    fields: Fields,
) -> tuple[int, int, int, int, int]:
    """As `read_fields`, by `genassoc.kernels.text.vcf_regular` where all columns have one shape."""
    end, seen = read_regular(text, at, format, k, line, fields)
    if end >= 0:
        return calls.OK, end, 0, 0, seen
    return read_fields(text, at, format, wanted, n_alternates, k, line, fields)


@jit
def read_fields(
    text: UInt8Array,
    at: int,
    format: calls.Format,
    wanted: Wanted,
    n_alternates: int,
    k: int,
    line: Calls,
    fields: Fields,
) -> tuple[int, int, int, int, int]:
    """Read the sample columns from ``at`` as of ALT k: as `vcf_calls.read_calls`, and `Fields`.

    (error code, offset, file column, FORMAT field, bits seen in any call)
    """
    first, second, flags = line.first, line.second, line.flags
    roles = fields.roles
    n_fields, rules = format.n_fields, format.rules
    n_columns = first.shape[0]
    L = text.shape[0]
    seen, told = 0, 0
    probable = False
    for f in range(min(n_fields, roles.shape[0])):
        probable = probable or roles[f] == GP or (roles[f] == HDS and n_alternates == 1)
    for j in range(n_columns):
        first[j] = -1
        second[j] = -1
        flags[j] = 0
        ds, gp, gp_two, hds, hds_two = -1, -1, -1, -1, -1
        gq, dp, ad_at, lad_at, local_at, call_at, local_role = -1, -1, -1, -1, -1, -1, LAA
        call_field, single, note, unknown_alleles = 0, False, 0, 0
        field = 0
        while True:
            role = int(roles[field]) if field < roles.shape[0] else SKIPPED
            if role == DS:
                code, kind, ds, at = _read_listed(text, at, k, n_alternates)
                if code != calls.OK:
                    return code, at, j, field, 0
                if ds < -NOISE or ds > 2 * BILLION + NOISE:
                    return calls.BAD_DOSAGE, at, j, field, 0
                if ds < 0 or ds > 2 * BILLION:
                    note |= dosages.ADJUSTED
                    ds = min(max(ds, 0), 2 * BILLION)
                if kind == NOTHING:
                    ds = -1
            elif role == GT:
                simple = False
                if at + 3 < L:
                    a, b, c3 = int(text[at]) - 48, int(text[at + 2]) - 48, int(text[at + 3])
                    c1 = int(text[at + 1])
                    simple = a >= 0 and a <= 9 and a <= n_alternates and b >= 0 and b <= 9 and b <= n_alternates
                    simple = simple and (c1 == 47 or c1 == 124) and (c3 == COLON or c3 == TAB)
                    if simple:
                        first[j] = a
                        second[j] = b
                        at += 3
                if not simple:
                    call_start = at
                    code, at = calls.read_call(text, at, n_alternates, rules, j, first, second, flags)
                    if code != calls.OK:
                        return code, at, j, field, 0
                    c = text[at]
                    if c != TAB and c != COLON and c != NEWLINE and not (c == RETURN and text[at + 1] == NEWLINE):
                        return calls.BAD_GENOTYPE, at, j, field, 0
                    unknown_alleles = at - call_start if first[j] < 0 and flags[j] == 0 else 0
            elif role == GP:
                code, n, total, gp, gp_two, at = _read_probabilities(text, at, k, n_alternates)
                if code != calls.OK:
                    return code, at, j, field, 0
                if n == 0 or abs(total - BILLION) > UNCERTAIN_SUM:
                    note |= dosages.UNSOUND if n > 0 else 0
                    gp = -1
                    gp_two = -1
                elif n == n_alternates + 1:
                    single = True
                    gp *= 2
            elif role == HDS and n_alternates == 1:
                kind, hds, at = read_number(text, at)
                other, other_kind = 0, NOTHING
                if kind == NO_NUMBER:
                    return calls.BAD_NUMBER, at, j, field, 0
                alone = text[at] != COMMA
                if not alone:
                    other_kind, other, at = read_number(text, at + 1)
                    if other_kind == NO_NUMBER:
                        return calls.BAD_NUMBER, at, j, field, 0
                    if text[at] == COMMA:
                        return calls.BAD_COUNT, at, j, field, 0
                if min(hds, other) < -NOISE or max(hds, other) > BILLION + NOISE:
                    return calls.BAD_DOSAGE, at, j, field, 0
                hds = min(max(hds, 0), BILLION)
                other = min(max(other, 0), BILLION)
                if kind == NOTHING or (not alone and other_kind == NOTHING):
                    hds = -1
                elif alone:
                    single = True
                    hds_two = hds
                    hds *= 2
                else:
                    hds_two = (hds * other + BILLION // 2) // BILLION
                    hds += other
            elif role == NUMERIC:
                while text[at] != TAB and text[at] != COLON and text[at] > RETURN:
                    if not calls.is_numeric_byte(text[at]):
                        return calls.BAD_NUMBER, at, j, field, 0
                    at += 1
            elif role == GQ or role == DP:
                kind, value, at = read_number(text, at)
                if kind == NO_NUMBER:
                    return calls.BAD_NUMBER, at, j, field, 0
                value = -1 if kind == NOTHING else max(value, 0)
                if role == GQ:
                    gq = value
                else:
                    dp = value
            else:
                # what can be read when the whole column is known
                if role == AD:
                    ad_at = at
                elif role == LAD:
                    lad_at = at
                elif role == LAA or role == LA:
                    local_at = at
                    local_role = role
                elif role == LGT:
                    call_at = at
                    call_field = field
                at = _skip(text, at)
                if text[at] == NEWLINE and text[at - 1] == RETURN:
                    at -= 1
            if text[at] == RETURN and text[at + 1] == NEWLINE:
                at += 1
            if text[at] != COLON:
                break
            at += 1
            field += 1
            if field >= n_fields:
                return calls.TOO_MANY_FIELDS, at, j, field, 0
        if text[at] != TAB and text[at] != NEWLINE:
            return calls.BAD_NUMBER, at, j, field, 0
        if (text[at] == TAB) == (j == n_columns - 1):
            return calls.BAD_COLUMNS, at, j, field, 0
        local_a, local_b = -1, -1
        if call_at >= 0:
            n_local = 1
            if local_at >= 0:
                n_local = _read_local(text, local_at, local_role, n_alternates, fields)
                if n_local < 0:
                    return calls.BAD_LOCAL, at, j, call_field, 0
            code, end = calls.read_call(text, call_at, n_local - 1, rules, j, first, second, flags)
            if code == calls.OK and text[end] != TAB and text[end] != COLON and text[end] > RETURN:
                code = calls.BAD_GENOTYPE
            if code != calls.OK:
                return (calls.BAD_LOCAL if code == calls.BAD_ALLELE else code), at, j, call_field, 0
            unknown_alleles = end - call_at if first[j] < 0 and flags[j] == 0 else 0
            local_a, local_b = int(first[j]), int(second[j])
            if local_a >= 0:
                first[j] = fields.state[LOCAL + local_a]
                second[j] = fields.state[LOCAL + local_b]
        call = int(flags[j])
        # The dosage: of DS, GP, HDS, or the call.
        dosage, two = -1, -1
        if single:
            call |= calls.HAPLOID
        haploid = call & calls.HAPLOID > 0
        if ds >= 0:
            dosage = ds
            if haploid:
                if ds > BILLION + NOISE:
                    return calls.BAD_HAPLOID, at, j, 0, 0
                dosage = 2 * min(ds, BILLION)
            if gp >= 0 and abs(dosage - gp) > DISAGREEMENT:
                note |= dosages.DISAGREES
        elif gp >= 0:
            dosage = gp
        elif hds >= 0:
            dosage = hds
        if gp >= 0:
            two = gp_two
        elif hds >= 0:
            two = hds_two
        if dosage >= 0:
            note |= dosages.DOSED
        elif first[j] >= 0 and call & calls.KEPT == 0:
            copies = int(first[j] == k) + int(second[j] == k)
            dosage = BILLION * copies
            if probable:
                two = BILLION if copies == 2 else 0
            note |= dosages.FROM_CALL
        if call & calls.POLYPLOID:
            dosage = -1
            note = 0
        # What is not believed is not observed.
        low = 0
        if first[j] >= 0 or dosage >= 0:
            if gq >= 0 and gq < wanted.min_gq:
                low = dosages.LOW_GQ
            elif dp >= 0 and dp < wanted.min_dp:
                low = dosages.LOW_DP
            elif (ad_at >= 0 or lad_at >= 0) and first[j] != second[j] and first[j] >= 0:
                if ad_at >= 0:
                    share = _share(text, ad_at, int(np.int64(first[j])), int(np.int64(second[j])))
                else:
                    share = _share(text, lad_at, local_a, local_b)
                if share == -2:
                    return calls.BAD_NUMBER, at, j, 0, 0
                if share >= 0 and (share < wanted.least_share or share > wanted.most_share):
                    low = dosages.UNBALANCED
            if low > 0:
                note = low
                first[j] = -1
                second[j] = -1
                call = 0
                dosage = -1
        if unknown_alleles == 3 or (low > 0 and haploid):  # a mask does not take away what a call tells of ploidy
            call |= dosages.PAIR
        elif unknown_alleles == 1 and ds >= 0 and gp < 0 and hds < 0 and not haploid:
            call |= dosages.LONE
        fields.copies[DOSAGE, j] = dosage if dosage >= 0 else ABSENT
        fields.copies[TWO, j] = two if two >= 0 and dosage >= 0 else ABSENT
        fields.notes[j] = note
        flags[j] = call
        seen |= call
        told |= note
        if j < n_columns - 1:
            at += 1
    seen = dosages.settle_lone(seen, flags, fields.copies[DOSAGE])
    fields.state[TOLD] = told
    fields.state[SEEN] = seen
    return calls.OK, at, 0, 0, seen
