"""Reading the first sheet of an Excel workbook as text, by fastexcel, an extra."""

import re
from pathlib import Path

import numpy as np
import polars as pl

from genassoc.data.phenotypes.tables import TextTable, checked_header
from genassoc.errors import InputError

WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")  # as fastexcel writes it
# What a cell with an error shows, by fastexcel's name of the error.
_ERRORS = {
    "Ref": "#REF!", "Div0": "#DIV/0!", "Value": "#VALUE!", "NA": "#N/A", "Name": "#NAME?", "Num": "#NUM!", "Null": "#NULL!",
}  # fmt: skip


def read_workbook(path: Path) -> TextTable:
    """The first sheet of a workbook: its first row that is not empty has the names, the rows below are samples.

    Raises
    ------
    InputError
        It cannot be read, has no rows, or fastexcel is not installed.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such file")
    try:
        import fastexcel
    except ImportError:
        raise InputError(
            f"{path}: workbooks are read by fastexcel, which is not installed: pip install 'genassoc[excel]', or export the "
            "sheet as TSV or CSV"
        ) from None
    try:
        book = fastexcel.read_excel(path)
        sheet = book.load_sheet(0, header_row=None, skip_rows=0, dtypes="string")
        batch, errors = sheet.to_arrow_with_errors()
        numbers = book.load_sheet(0, header_row=None, skip_rows=0, dtypes="float").to_arrow()
    except fastexcel.FastExcelError as error:
        raise InputError(f"{path}: cannot be read as a workbook ({str(error).splitlines()[0]})") from None
    columns = [
        [_exact(text, number) for text, number in zip(column.to_pylist(), found.to_pylist())]
        for column, found in zip(batch.columns, numbers.columns)
    ]
    for cell in [] if errors is None else errors.errors:
        row, column = cell.offset_position
        columns[column][row] = _error_text(cell.detail)  # it would be null: silently missing
    cells = pl.DataFrame([pl.Series(str(i), values, dtype=pl.String) for i, values in enumerate(columns)])
    cells = cells.select(pl.all().str.strip_chars().str.replace(" 00:00:00$", "").fill_null(""))
    filled = np.zeros(0, np.int64)
    if cells.width:
        filled = np.flatnonzero(cells.select(pl.any_horizontal(pl.all() != "")).to_series().to_numpy()).astype(np.int64)
    if filled.size < 2:
        raise InputError(
            f"{path}: the sheet '{sheet.name}' has {filled.size} rows; a row of names and one row a sample are needed"
        )
    header, rows = int(filled[0]), filled[1:]
    names, finish = checked_header(path, [str(name) for name in cells.row(header)], header + 1)
    body = cells[rows]
    table = TextTable(body.rename(dict(zip(body.columns, names))), rows + 1)
    others = [name for name in book.sheet_names if name != sheet.name]
    more = f"; not read: {', '.join(others[:3])}{', ...' if len(others) > 3 else ''}" if others else ""
    return finish(table, (f"the sheet '{sheet.name}' of {path.name} was read{more}",))


def _exact(text: str | None, number: float | None) -> str | None:
    """A cell's text, numbers with all digits: fastexcel's own text keeps nine decimals (1e-10 becomes 0)."""
    if text is None or number is None or not _NUMBER.fullmatch(text) or float(text) == number:
        return text
    return repr(number)


def _error_text(detail: str) -> str:
    """The error that a cell shows, from fastexcel's message "... got 'Error(Ref)'"."""
    return next((shown for name, shown in _ERRORS.items() if f"Error({name})" in detail), "#VALUE!")
