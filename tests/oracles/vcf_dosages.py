"""Slow twin of the dosages, masks and local alleles of VCF lines: split() and fractions, one sample at a time."""

from dataclasses import dataclass, field
from fractions import Fraction

HALF = Fraction(1, 2)
NOISE, UNSOUND, DISAGREEMENT = Fraction(1, 100), Fraction(1, 20), Fraction(1, 50)


@dataclass
class DosageRow:
    """One ALT of a record: copies and probability of two (None where not known), marks of haploid samples."""

    copies: list[Fraction | None]
    two: list[Fraction | None]
    haploid: list[bool]
    lone: bool = False  # a '.' beside a DS is one allele


@dataclass
class Choices:
    """What is read."""

    dosages: tuple[str, ...] = ("DS", "GP", "HDS")
    min_gq: float | None = None
    min_dp: float | None = None
    shares: tuple[float, float] | None = None


@dataclass
class Counts:
    """What is to be said of a record's samples."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str) -> None:
        """One more."""
        self.counts[name] = self.counts.get(name, 0) + 1

    def take(self, other: "Counts") -> None:
        """All of another."""
        for name, n in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + n


def number(text: str) -> Fraction | None:
    """A number; None for "." and nan."""
    return None if text == "." or text.lower().lstrip("+-") == "nan" else Fraction(text)


def _bounded(x: Fraction, most: int, counts: Counts | None = None) -> Fraction:
    if not -NOISE <= x <= most + NOISE:
        raise ValueError("out of range")
    if counts is not None and not 0 <= x <= most:
        counts.add("dosages_adjusted")
    return min(max(x, Fraction(0)), Fraction(most))


def _call(text: str, local: list[int] | None) -> tuple[list[int | None], bool]:
    """Alleles, and whether it is haploid."""
    parts = text.lstrip("/|").replace("|", "/").split("/")
    alleles = [None if a == "." else (int(a) if local is None else local[int(a)]) for a in parts]
    return alleles, len(alleles) == 1 and alleles[0] is not None


def row_of(
    line: str, k: int, choices: Choices, counts: Counts, whole: str | None = None
) -> tuple[DosageRow | None, list[list[int | None]]]:
    """Dosages of ALT k of a line, None where no sample has one; and the calls as masks leave them.

    ``whole``: the line with all samples of the file, where this one has some of them.
    """
    columns = line.rstrip("\r\n").split("\t")
    names, n_alts = columns[8].split(":"), len(columns[4].split(","))
    known = {name for name in names if name in choices.dosages and not (name == "HDS" and n_alts > 1)}
    row, calls, dosed, of_all = DosageRow([], [], []), [], False, Counts()
    lone, pairs = [], False
    for column in columns[9:]:
        values, said = dict(zip(names, column.split(":"))), Counts()
        local = None
        if "GT" not in names and "LAA" in names:
            listed = values.get("LAA", ".")
            local = [0] + ([] if listed == "." else [int(a) for a in listed.split(",")])
        alleles, haploid = _call(values.get("GT", values.get("LGT", ".") if local else "."), local)
        copies = two = None
        gp_copies = None
        if "GP" in known and (listed := values.get("GP", ".").split(",")):
            p = [number(x) for x in listed]
            bounded = [None if x is None else _bounded(x, 1) for x in p]
            if None not in bounded:
                if abs(sum(bounded) - 1) > UNSOUND:
                    said.add("probabilities_unsound")
                elif len(bounded) == n_alts + 1:
                    haploid = True
                    gp_copies, two = 2 * bounded[k], bounded[k]
                else:
                    pairs = [(i, j) for j in range(n_alts + 1) for i in range(j + 1)]
                    assert len(pairs) == len(bounded)
                    gp_copies = sum(((i == k) + (j == k)) * x for (i, j), x in zip(pairs, bounded))
                    two = bounded[pairs.index((k, k))]
        hds_copies = hds_two = None
        both = {"DS", "GP"} <= known  # HDS then adds nothing
        if "HDS" in known and not both and "." not in (listed := values.get("HDS", ".").split(",")):
            h = [_bounded(number(x), 1) for x in listed]
            haploid = haploid or len(h) == 1
            hds_copies = 2 * h[0] if len(h) == 1 else sum(h)
            hds_two = h[0] if len(h) == 1 else h[0] * h[1]
        if "DS" in known:
            listed = values.get("DS", ".").split(",")
            if len(listed) not in (1, n_alts):
                raise ValueError("count")
            ds = number(listed[k - 1]) if len(listed) == n_alts else None
            if ds is not None:
                copies = _bounded(ds, 2, said)
                if haploid:
                    copies = 2 * _bounded(copies, 1)
                if gp_copies is not None and abs(copies - gp_copies) > DISAGREEMENT:
                    said.add("dosages_disagree")
        if copies is None:
            copies = gp_copies if gp_copies is not None else hds_copies
        if gp_copies is None:
            two = hds_two
        from_field = copies is not None
        observed = None not in alleles and len(alleles) <= 2
        if len(alleles) > 2 and set(alleles) != {None}:
            copies, from_field, said = None, False, Counts()
        elif copies is None and observed:
            count = sum(a == k for a in alleles)
            copies = Fraction(2 * count if haploid else count)
            if known & {"GP", "HDS"}:
                two = Fraction(int(copies == 2))
            said.add("dosages_from_calls")
        if copies is None:
            two = None
        # a half call keeps its allele until the sexes are known: it is masked as a call is
        half = len(alleles) == 2 and alleles.count(None) == 1
        reason = _masked(values, alleles, choices, local) if observed or half or copies is not None else None
        text = values.get("GT", values.get("LGT", "") if local else "")
        pairs = pairs or text in ("./.", ".|.") or (haploid and bool(reason))  # masked calls tell ploidy too
        if reason:
            counts.add(reason)
            alleles, copies, two, haploid, from_field = [None], None, None, False, False
            said = Counts()
        of_all.take(said)
        dosed = dosed or from_field
        of_ds = "DS" in known and gp_copies is None and hds_copies is None and not haploid
        if text == "." and of_ds and from_field:
            lone.append(len(row.copies))
        row.copies.append(copies)
        row.two.append(two)
        row.haploid.append(haploid)
        calls.append(alleles)
    row.lone = (pairs or any(row.haploid)) and all(row.copies[i] <= 1 for i in lone)
    if whole is not None:
        told = row_of(whole, k, choices, Counts())[0]
        row.lone = told is not None and told.lone
    if row.lone:
        for i in lone:  # the record tells ploidy: one allele that is not known
            row.copies[i], row.haploid[i] = 2 * row.copies[i], True
    if dosed:
        counts.take(of_all)
    return (row if dosed else None), calls


def _masked(values: dict[str, str], alleles: list[int | None], choices: Choices, local: list[int] | None) -> str | None:
    """Why a call is not believed."""
    for name, least, reason in (("GQ", choices.min_gq, "masked_gq"), ("DP", choices.min_dp, "masked_dp")):
        x = number(values.get(name, "."))
        if least is not None and x is not None and x < Fraction(str(least)):
            return reason
    if choices.shares is not None and len(alleles) == 2 and None not in alleles and alleles[0] != alleles[1]:
        name = "AD" if "AD" in values or local is None else "LAD"
        reads = [number(x) for x in values.get(name, ".").split(",")]
        low, high = sorted(alleles if name == "AD" else [local.index(a) for a in alleles])
        if high < len(reads) and reads[low] is not None and reads[high] is not None and reads[low] + reads[high] > 0:
            share = reads[high] / (reads[low] + reads[high])
            if not Fraction(str(choices.shares[0])) <= share <= Fraction(str(choices.shares[1])):
                return "masked_allele_balance"
    return None


def steps_of(row: DosageRow) -> int:
    """1000 where exact; 16384 where each is the 16384th that its digits round; else 32767."""
    there = [x / 2 if haploid else x for x, haploid in zip(row.copies, row.haploid) if x is not None]
    if all((1000 * x).denominator == 1 for x in there):
        return 1000
    for x in there:
        digits = next((d for d in range(4, 10) if (x * 10**d).denominator == 1), 9)
        if abs(x - Fraction(round(x * 16384), 16384)) > HALF / 10**digits:
            return 32767
    return 16384
