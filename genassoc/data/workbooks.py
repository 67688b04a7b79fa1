"""Reading the first sheet of an Excel workbook as text, by fastexcel, an extra."""

from pathlib import Path

import numpy as np
import polars as pl

from genassoc.data.tables import TextTable, checked_header
from genassoc.errors import InputError

WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods")


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
        sheet = book.load_sheet(0, header_row=None, dtypes="string")
        cells = pl.DataFrame(sheet.to_polars())
    except fastexcel.FastExcelError as error:
        raise InputError(f"{path}: cannot be read as a workbook ({str(error).splitlines()[0]})") from None
    first = sheet.name
    cells = cells.select(pl.all().cast(pl.String).str.strip_chars().fill_null(""))
    filled = (
        np.flatnonzero(cells.select(pl.any_horizontal(pl.all() != "")).to_series().to_numpy()) if cells.width else []
    )
    if len(filled) < 2:
        raise InputError(
            f"{path}: the sheet '{first}' has {len(filled)} rows; a row of names and one row a sample are needed"
        )
    header = int(filled[0])
    names, empty = checked_header(path, [str(name) for name in cells.row(header)], header + 1)
    body = cells[np.asarray(filled[1:])]
    table = TextTable(body.rename(dict(zip(body.columns, names))), np.asarray(filled[1:], dtype=np.int64) + 1)
    others = [name for name in book.sheet_names if name != first]
    more = f"; {len(others)} more sheets were not read ({', '.join(others[:3])})" if others else ""
    return empty(table, (f"the sheet '{first}' was read{more}",))
