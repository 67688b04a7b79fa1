"""How rows in a file are copied and pickled: by the place of the file, or with its bytes where the file goes with the session."""

import copy
import pickle
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from genassoc.data.integrity import signature
from genassoc.errors import GenassocError, printable

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort


class PickledByPlace:
    """What `Results` are as far as copies and pickles go."""

    path: Path | None
    provenance: dict[str, Any]
    cohort: "Cohort | None"
    folder: tempfile.TemporaryDirectory[str] | None
    _table: pl.DataFrame | None
    _seen: tuple[int, ...] | None

    def __copy__(self) -> Self:
        again = object.__new__(type(self))
        again.__dict__.update(self.__dict__)
        return again

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        again = copy.copy(self)  # of the same file, rows and cohort, which nothing changes
        again.provenance = copy.deepcopy(self.provenance, memo)
        return again

    def __getstate__(self) -> dict[str, object]:
        # The cohort by itself: where its store is absent, the rows are there without it.
        state = {**self.__dict__, "folder": None, "cohort": None if self.cohort is None else pickle.dumps(self.cohort)}
        if self.path is not None:
            path = self.path.absolute()  # the process that reads it may be in another folder
            state["path"] = path
            if state["_source"] is not None:
                state["_source"] = replace(state["_source"], path=path)
            if path.is_file():
                state |= {"_table": None, "rows": None if self.folder is None else path.read_bytes()}
        return state

    def __setstate__(self, state: dict[str, object]) -> None:
        rows, cohort = state.pop("rows", None), state.pop("cohort")
        self.__dict__.update(state)
        self.cohort = None
        if isinstance(cohort, bytes):
            try:
                self.cohort = pickle.loads(cohort)  # part of a pickle that is being read
            except GenassocError as error:
                text = f"these results are without their cohort, whose store cannot be opened: {error}"
                warnings.warn(printable(text), stacklevel=2)
        if isinstance(rows, bytes) and self.path is not None:
            self.folder = tempfile.TemporaryDirectory(prefix="genassoc-")
            self.path = Path(self.folder.name) / self.path.name
            self.path.write_bytes(rows)
            self._seen = signature(self.path)

    @property
    def _place(self) -> str:
        """Where the rows are, in words."""
        if self.path is None:
            return "in memory"
        return str(self.path) if self.folder is None else "in a temporary file; write() keeps them"

    @property
    def _is_gone(self) -> bool:
        """Whether the rows are those of a file that is not there any more."""
        return self.path is not None and self._table is None and not self.path.is_file()
