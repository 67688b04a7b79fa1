"""Regions of long-range LD: inversions, centromeres, the HLA and regions under selection, in which variants megabases apart are correlated.

Principal components fitted with them describe these regions, not ancestry, so they are left out there.

The regions are the 24 of Price et al. (2008), Am J Hum Genet 83:132-135, as Anderson et al. (2010), Nat Protoc 5:1564-1573, and Weale (2010),
Methods Mol Biol 628:341-372, pass them on. Of GRCh37 each is the union of the two tables in use: the one of the Genome Analysis Wiki of the
University of Michigan ("Regions of high linkage disequilibrium") and the one that was lifted from NCBI36 (plinkQC); two are as wide as in flashpca.
Of GRCh38 it is the union of those ends, lifted by UCSC's hg19ToHg38 chain (the nearest base that lifts, outwards), and the table of plinkQC, without
its fragments below a megabase, which are scraps of lifting. Ends are rounded outwards to 100 kb.
"""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

import polars as pl

from genassoc.data.cohort.builds import GRCH37, GRCH38, build_named, build_of
from genassoc.data.cohort.variants import Region
from genassoc.errors import InputError

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort

# Chromosome, first and last position in units of 100 kb.
_REGIONS: Mapping[str, tuple[tuple[str, int, int], ...]] = {
    GRCH37: (
        ("1", 480, 523), ("2", 860, 1012), ("2", 1345, 1380), ("2", 1830, 1903), ("3", 475, 501), ("3", 834, 870), ("3", 890, 975),
        ("5", 439, 515), ("5", 980, 1005), ("5", 1289, 1320), ("5", 1355, 1385), ("6", 250, 350), ("6", 568, 640), ("6", 1399, 1425),
        ("7", 550, 664), ("8", 70, 130), ("8", 428, 500), ("8", 1119, 1150), ("10", 369, 437), ("11", 450, 573), ("11", 875, 909),
        ("12", 330, 418), ("12", 1095, 1120), ("20", 320, 351),
    ),
    GRCH38: (
        ("1", 475, 518), ("2", 857, 1006), ("2", 1337, 1373), ("2", 1821, 1895), ("3", 474, 500), ("3", 833, 870), ("3", 889, 978),
        ("5", 439, 522), ("5", 986, 1012), ("5", 1296, 1327), ("5", 1361, 1392), ("6", 249, 351), ("6", 570, 633), ("6", 1396, 1422),
        ("7", 549, 669), ("8", 71, 132), ("8", 430, 491), ("8", 1109, 1140), ("10", 366, 432), ("11", 450, 575), ("11", 877, 912),
        ("12", 328, 414), ("12", 1090, 1116), ("20", 334, 365),
    ),
}  # fmt: skip
_UNIT = 100_000


def long_range_ld(build: str) -> tuple[Region, ...]:
    """The regions in a build of the human genome.

    Raises
    ------
    InputError
        It is no build, or one that has no table.
    """
    name = build_named(build)
    if name is None or name not in _REGIONS:
        raise InputError(
            f"regions of long-range LD are known of {' and '.join(_REGIONS)}, not of {name}: leave them out by hand, with "
            "cohort.keep_variants(~genassoc.variants.in_region(...)), or keep them"
        )
    return tuple(Region(chromosome, first * _UNIT, last * _UNIT) for chromosome, first, last in _REGIONS[name])


def known_build(cohort: "Cohort", build: str | None = None) -> str | None:
    """The build that is given, or that the cohort or its store knows; None where nobody has said."""
    return build_named(build) or cohort.build or build_of(cohort.store)


def outside_long_range_ld(cohort: "Cohort", build: str | None = None) -> pl.Expr:
    """Keep variants outside the regions of long-range LD: an expression for `Cohort.keep_variants`.

    Parameters
    ----------
    cohort : Cohort
    build : {None, "GRCh37", "GRCh38"}
        By default what the cohort was aligned with, else what the store's files told (`known_build`); it is never guessed.

    Raises
    ------
    InputError
        The build is not known, or has no table; or the chromosomes are not those of man.
    """
    if cohort.contigs.many:
        raise InputError(
            "regions of long-range LD are known of the human genome, and this store's chromosomes are another species'"
        )
    name = known_build(cohort, build)
    if name is None:
        raise InputError(
            "the build of the genome is not known (the files do not tell), so regions of long-range LD cannot be left out: "
            'say build="GRCh37" or build="GRCh38" (in Cohort.align or here; on the command line --build)'
        )
    inside = reduce(or_, (region.expression() for region in long_range_ld(name)))
    return (~inside).alias(f"outside_long_range_ld({name})")
