"""The outcomes of a whole-genome regression, by name."""

from collections.abc import Mapping

from genassoc.analyses.whole_genome.binary import Binary
from genassoc.analyses.whole_genome.frame import Outcome
from genassoc.analyses.whole_genome.quantitative import Quantitative
from genassoc.analyses.whole_genome.survival import TimeToEvent

OUTCOMES: Mapping[str, Outcome] = {"quantitative": Quantitative(), "binary": Binary(), "survival": TimeToEvent()}
