"""The errors that users catch. Each says what is wrong, why it matters and what to do."""


class GenassocError(Exception):
    """Base of all errors that genassoc raises on purpose.

    The command line prints its message and leaves with code 1, never with a traceback.
    """


class InputError(GenassocError):
    """An input file cannot be read as what it claims to be (names the file and the line)."""


class SampleMismatchError(GenassocError):
    """Genotypes and phenotypes do not name the same samples (shows near misses)."""


class PhenotypeError(GenassocError):
    """A trait or covariate cannot be analysed as it stands (names the column and the values)."""


class CodingWarning(UserWarning):
    """How columns were read where that is no matter of course: which value is the case, what missing codes emptied."""


class StoreError(GenassocError):
    """A genotype store is absent, incomplete or damaged."""


class OutputError(GenassocError):
    """A result cannot be written where it was asked to be."""


class PlanError(GenassocError):
    """A plan, a part or a work folder does not fit what was asked of it."""


class ClusterError(GenassocError):
    """The machines that should do the tasks cannot be reached, died, or run other code."""


class UnreadDosagesWarning(UserWarning):
    """Imputed dosages stand beside the genotypes that are analysed, and were not read."""
