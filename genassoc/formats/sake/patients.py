"""The table of patients of a lake: sex, family and parents of each sample, as phenotypes."""

from pathlib import Path

import polars as pl

from genassoc.errors import InputError
from genassoc.formats.sake.lake import PATIENTS, SAMPLES, Lake, reading, scan

MALE, FEMALE, UNKNOWN = 1, 2, 0
_SEX = {
    "M": MALE,
    "H": MALE,
    "F": FEMALE,
    "HOMME": MALE,
    "FEMME": FEMALE,
    "MALE": MALE,
    "FEMALE": FEMALE,
    "1": MALE,
    "2": FEMALE,
}
_MOTHER, _FATHER = "mere", "pere"
_CHILDREN = ("patient", "frere", "soeur", "jumeau", "jumelle")  # whose parents are the family's
_MOST_PATIENTS = 2**24


def read_sake_patients(lake: str | Path) -> pl.DataFrame:
    """The patients of a lake, a row each, ready for `Cohort.align` (``sample_id="IID", sex="sex"``).

    Parameters
    ----------
    lake : path
        Its folder, or the table (``samples/patients.parquet``).

    Returns
    -------
    DataFrame
        ``FID`` (pid_crc, the prescription of a family), ``IID`` (sample), ``father``, ``mother`` (IID, null where unknown), ``sex``
        (1 male, 2 female, 0 unknown), then the table's other columns. H and M are male (homme, masculin), F female. Parents
        are those of the index case (link "patient") and of its siblings; of other links nothing is concluded.

    Raises
    ------
    InputError
        There is no such table, it lacks columns, a sample is in it twice, or a family has two mothers or fathers.
    """
    path = Path(lake)
    file = path if path.is_file() else _table_of(path)
    with reading(file):
        schema = pl.scan_parquet(file, glob=False).collect_schema()
        if pl.scan_parquet(file, glob=False).select(pl.len()).collect().item() > _MOST_PATIENTS:
            raise InputError(f"{file}: has more than {_MOST_PATIENTS:,} rows: is it a table of patients?")
    frame = scan(
        file,
        [
            "sample",
            "gender",
            "link",
            "pid_crc",
            *(n for n in schema if n not in ("sample", "gender", "link", "pid_crc")),
        ],
    )
    with reading(file):
        table = frame.collect()
    texts = table.select(pl.col("sample", "gender", "link", "pid_crc").cast(pl.String))
    if texts["sample"].null_count() or texts["sample"].is_duplicated().any():
        raise InputError(f"{file}: a sample has no name, or is there twice")
    link = texts["link"].str.to_lowercase().str.replace_all("è", "e").str.replace_all("é", "e").str.strip_chars()
    parents = {}
    for name, word in (("mother", _MOTHER), ("father", _FATHER)):
        found = texts.filter(link == word).drop_nulls("pid_crc")
        if found["pid_crc"].is_duplicated().any():
            family = found.filter(found["pid_crc"].is_duplicated())["pid_crc"][0]
            raise InputError(f"{file}: the family {family} has two samples whose link is {word!r}")
        parents[name] = dict(zip(found["pid_crc"].to_list(), found["sample"].to_list()))
    child = link.is_in(_CHILDREN).fill_null(False).to_list()
    families = texts["pid_crc"].to_list()
    links = {
        name: pl.Series(
            [of.get(family) if is_child else None for family, is_child in zip(families, child)], dtype=pl.String
        )
        for name, of in parents.items()
    }
    rest = [name for name in table.columns if name not in ("sample", "gender", "pid_crc")]
    return pl.DataFrame(
        {"FID": texts["pid_crc"], "IID": texts["sample"], "father": links["father"], "mother": links["mother"], "sex": _sex(texts["gender"])}
    ).hstack(table.select(rest).get_columns())  # fmt: skip


def _table_of(path: Path) -> Path:
    table = path / SAMPLES / PATIENTS
    found = table if table.is_file() else Lake.of(path).patients
    if found is None:
        raise InputError(f"{path}: has no table of patients ({table})")
    return found


def _sex(gender: pl.Series) -> pl.Series:
    words = gender.str.strip_chars().str.to_uppercase()
    return words.replace_strict(_SEX, default=UNKNOWN, return_dtype=pl.Int8)


def sexes_of(file: Path, sample_ids: tuple[str, ...]) -> tuple[int, ...]:
    """Sex of samples by a lake's table: 1 male, 2 female, 0 not stated."""
    frame = scan(file, ["sample", "gender"])
    with reading(file):
        table = frame.head(_MOST_PATIENTS).collect().cast(pl.String)
    sex = dict(zip(table["sample"].to_list(), _sex(table["gender"]).to_list()))
    return tuple(sex.get(name, UNKNOWN) for name in sample_ids)
