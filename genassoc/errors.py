"""The errors that users catch. Each says what is wrong, why it matters and what to do."""

# What a terminal obeys in place of showing it: control bytes, and marks that turn the direction of writing; and halves of
# characters, which names of files and JSON may hold and nothing can print.
_OBEYED = (
    *range(0x20), *range(0x7F, 0xA0), 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000),
)  # fmt: skip
_SHOWN = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _OBEYED if chr(code) not in "\n\t"}


def printable(text: str) -> str:
    """``text`` with what a terminal would obey written as ``\\x1b``: ids and names of files come from strangers."""
    return text.translate(_SHOWN)


class GenassocError(Exception):
    """Base of all errors that genassoc raises on purpose.

    The command line prints its message and leaves with code 1, never with a traceback. The message may quote ids, columns
    and names of files; it holds no byte that a terminal obeys.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class UncheckedWarning(UserWarning):
    """A file of results is read that has no digest to check it against."""


class KinshipWarning(UserWarning):
    """Kinship is less certain than it looks, or not known of some samples."""


class InputError(GenassocError):
    """An input file cannot be read as what it claims to be (names the file and the line)."""


class MissingExtraError(GenassocError):
    """A format needs a package that is not installed (says which, and how to install it)."""


class DosageError(GenassocError):
    """Dosages do not hold what a model asks of genotypes (names the model, and what to read or choose in its place)."""


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


class WithheldError(GenassocError):
    """A picture or a number shows fewer people than a policy lets leave (says which)."""


class PlanError(GenassocError):
    """A plan, a part or a work folder does not fit what was asked of it."""


class ClusterError(GenassocError):
    """The machines that should do the tasks cannot be reached, died, or run other code."""


class UnreadDosagesWarning(UserWarning):
    """Imputed dosages stand beside the genotypes that are analysed, and were not read."""


class StructureWarning(UserWarning):
    """Relatives or ancestry among the samples, or what they do to p values, that a run does not account for (says what to do)."""


class ReusedWarning(UserWarning):
    """Results were asked for that are there already: they were checked and not computed again."""
