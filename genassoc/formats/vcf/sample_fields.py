"""Which fields of the sample columns of a VCF are read beside GT: told by its header, its first record and what is asked for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from genassoc.errors import InputError
from genassoc.formats.reading import AS_IT_IS, Reading
from genassoc.kernels.text import vcf_calls as calls
from genassoc.kernels.text.vcf_numbers import BILLION
from genassoc.kernels.text.vcf_samples import DS_WANTED, GP_WANTED, HDS_WANTED, Wanted

DOSAGE_FIELDS = {b"DS": DS_WANTED, b"HDS": HDS_WANTED, b"GP": GP_WANTED}
_PHRED = re.compile(rb"phred", re.IGNORECASE)
_NO_NUMBERS = re.compile(rb"[<,]Type=(String|Character|Flag)\b")
_HALF_RULES = {
    None: calls.AS_KEPT, "missing": calls.AS_MISSING, "haploid": calls.AS_HAPLOID, "reference": calls.AS_REFERENCE,
}  # fmt: skip


@dataclass(frozen=True)
class SampleFields:
    """What is read of the sample columns.

    Attributes
    ----------
    dosages : int
        Fields of dosages that are read: `DOSAGE_FIELDS`, added up.
    reading : Reading
    notes : tuple of str
        What the summary should say.
    """

    dosages: int = 0
    reading: Reading = AS_IT_IS
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, path: Path, declared: Mapping[bytes, bytes], first_record: bytes, reading: Reading) -> "SampleFields":
        """The fields of a file: ``declared`` is its FORMAT lines by name, ``first_record`` how its first record begins.

        Raises
        ------
        InputError
            The field asked for cannot be read as dosages.
        """
        columns = first_record.split(b"\t", 9)
        there = set(columns[8].split(b":")) if len(columns) > 9 else set()
        asked = reading.dosage
        dosages, notes = 0, []
        for name, bit in DOSAGE_FIELDS.items():
            line = declared.get(name, b"")
            if asked == "GT" or (asked is not None and asked != name.decode()) or not (line or name in there):
                continue
            why = _unreadable(name, line)
            if why and asked is not None:
                raise InputError(f"{path}: {name.decode()} {why}; use another field (--dosage), or GT for the calls")
            if why:
                notes.append(f"{path.name}: {name.decode()} {why}: it is not read")
            else:
                dosages |= bit
        if asked not in (None, "GT") and not dosages:
            notes.append(f"{path.name}: neither its header nor its first record has {asked}: its calls (GT) are read")
        return cls(dosages, reading, tuple(notes))

    @property
    def has_dosages(self) -> bool:
        """Whether rows may have dosages."""
        return self.dosages > 0

    @property
    def has_probabilities(self) -> bool:
        """Whether they may have probabilities of genotypes."""
        return self.dosages & (GP_WANTED | HDS_WANTED) > 0

    @property
    def wanted(self) -> Wanted:
        """As the kernels take it."""
        shares = self.reading.allele_balance
        least, most = (-1, -1) if shares is None else (_billionths(shares[0]), _billionths(shares[1]))
        return Wanted(self.dosages, _billionths(self.reading.min_gq), _billionths(self.reading.min_dp), least, most)

    @property
    def half_rule(self) -> int:
        """What a half call is, as the kernels take it."""
        return _HALF_RULES[self.reading.half_calls]


CALLS_ALONE = SampleFields()


def _billionths(number: float | None) -> int:
    return -1 if number is None else min(round(number * BILLION), 2**62)


def _unreadable(name: bytes, line: bytes) -> str:
    """Why a field that the header declares is no field of dosages; "" where it is."""
    if name == b"GP" and _PHRED.search(line):
        return "is phred-scaled by the header, so not the probabilities of genotypes that dosages are made of"
    if _NO_NUMBERS.search(line):
        return "is no number by the header"
    return ""
