"""What an analysis is: prepare on the samples, compute each block alone; perhaps combine what the blocks gave, in several passes."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from genassoc.data.block import Block
    from genassoc.data.cohort.cohort import Cohort

State = TypeVar("State")
Result = TypeVar("Result")
Sums = TypeVar("Sums")
Made_co = TypeVar("Made_co", covariant=True)


class BlockAnalysis(Protocol[State, Made_co]):
    """Everything computed over genotypes has this shape; of an association the results are rows."""

    def prepare(self, cohort: "Cohort") -> State:
        """Fit what is common to all variants, once a run; the state is frozen and picklable."""

    def block(self, state: State, block: "Block") -> Made_co:
        """Compute one block alone; it may depend on nothing but the state and the block."""


class SummedAnalysis(Protocol[State, Sums]):
    """An analysis whose blocks give sums over variants, in one pass over the genotypes or several.

    What the blocks of a pass gave, combined, is what the next pass is prepared with; of the last pass it is the result. Sums are
    frozen dataclasses of numpy arrays, so that they can be left on a disk and read back.
    """

    @property
    def passes(self) -> tuple[str, ...]:
        """What each pass does, in a word or two: "means", "variances"."""

    @property
    def sums(self) -> type[Sums]:
        """The class of the sums, of every pass."""

    def prepare(self, cohort: "Cohort", before: Sums | None) -> State:
        """What the blocks of a pass need; ``before`` is what the pass in front of it gave, None of the first."""

    def block(self, state: State, block: "Block") -> Sums:
        """The sums of one block alone."""

    def combine(self, one: Sums, other: Sums) -> Sums:
        """The sums of both; ``other`` is of the variants that follow."""


@runtime_checkable
class IteratedAnalysis(SummedAnalysis[State, Sums], Protocol[State, Sums]):
    """A summed analysis whose passes go on until it has enough: ``passes`` are the most that it makes.

    Both methods are of the combined sums alone, so that a killed run comes to the same number of passes.
    """

    def joined(self, before: Sums | None, sums: Sums) -> Sums:
        """The combined sums of a pass, with what it keeps of those of the passes before: what the next is prepared with."""

    def settled(self, sums: Sums) -> bool:
        """Whether no further pass is needed."""


class RereadingAnalysis(Protocol[State, Sums]):
    """What is computed of batches of items, such as traits, each from all genotypes, which are read many times.

    Attributes
    ----------
    passes : tuple of str
        One name, of what is done.
    """

    passes: ClassVar[tuple[str, ...]]

    @property
    def sums(self) -> type[Sums]:
        """The class of what a batch gives."""

    def batches(self) -> Sequence[object]:
        """The batches; the same whoever does them."""

    def prepare(self, cohort: "Cohort", before: Sums | None = None) -> State:
        """What all batches need."""

    def batch(self, state: State, number: int, blocks: "Callable[[], Iterable[Block]]") -> Sums:
        """One batch; ``blocks()`` goes through all genotypes, as often as it is called."""


class SetAnalysis(BlockAnalysis[State, Made_co], Protocol[State, Made_co]):
    """An analysis of whole sets of variants too, such as the alleles of a record: each set gives a row a trait."""

    def sets(self, state: State, block: "Block", size: int) -> Made_co:
        """Sets of ``size`` variants each, which stand one after another in the block; each alone."""
