"""The YAML beside a GWAS-SSF file: what the GWAS Catalog asks about the study, the sample and the file."""

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genassoc.data import strangers
from genassoc.data.output import replacing, target_of
from genassoc.errors import OutputError
from genassoc.formats.sumstats.gwas_ssf import VERSION
from genassoc.provenance import genassoc_version

# As the standard's schema orders them.
_MOST_BYTES = 2**22
_STUDY = (
    "gwas_id",
    "author_notes",
    "gwas_catalog_api",
    "date_metadata_last_modified",
    "trait_description",
    "ontology_mapping",
)
_GENOTYPES = (
    "genome_assembly",
    "coordinate_system",
    "genotyping_technology",
    "imputation_panel",
    "imputation_software",
)
_SAMPLES = (
    "sample_size", "sample_ancestry_category", "sample_ancestry", "ancestry_method", "case_control_study", "case_count",
    "control_count",
)  # fmt: skip
_FILE = (
    "data_file_name", "file_type", "data_file_md5sum", "analysis_software", "adjusted_covariates",
    "minor_allele_freq_lower_limit", "is_harmonised", "is_sorted", "harmonisation_reference",
)  # fmt: skip
_LISTS = (
    "trait_description", "ontology_mapping", "genotyping_technology", "adjusted_covariates", "sample_ancestry_category",
    "sample_ancestry", "ancestry_method",
)  # fmt: skip
FIELDS = (*_STUDY, *_GENOTYPES, *_SAMPLES, "sex", *_FILE)
_OF_THE_FILE = ("data_file_name", "data_file_md5sum", "file_type", "is_sorted", "coordinate_system")


def check_fields(metadata: Mapping[str, Any]) -> None:
    """Refuse fields that the standard does not have, or that follow from the file.

    Raises
    ------
    OutputError
        Names them.
    """
    unknown = [name for name in metadata if name not in FIELDS]
    if unknown:
        raise OutputError(f"GWAS-SSF's metadata has no {', '.join(unknown)}; it has {', '.join(FIELDS)}.")
    fixed = [name for name in metadata if name in _OF_THE_FILE]
    if fixed:
        raise OutputError(f"{', '.join(fixed)} of GWAS-SSF's metadata follow from the file; leave them out.")


def metadata_path(path: Path) -> Path:
    """Where the metadata of ``path`` is: ``<path>-meta.yaml``."""
    return path.with_name(path.name + "-meta.yaml")


def write_metadata(
    path: Path, facts: Mapping[str, Any], given: Mapping[str, Any], provenance: Mapping[str, Any]
) -> Path:
    """Write the metadata of the GWAS-SSF file ``path``.

    Parameters
    ----------
    facts : mapping
        What the file itself tells: its md5, order, counts, trait.
    given : mapping
        What the user says (genome_assembly, sample_ancestry, ...); it beats what is known from the run.
    provenance : mapping
        The record of the run; covariates and the date come from it.
    """
    finished = str(provenance.get("finished", ""))[:10]
    covariates = provenance.get("parameters", {}).get("model", {}).get("covariates") or None
    known: dict[str, Any] = {
        "date_metadata_last_modified": finished or datetime.datetime.now(datetime.UTC).date().isoformat(),
        "genome_assembly": "unknown",
        "coordinate_system": "1-based",
        "file_type": VERSION,
        "analysis_software": f"genassoc {provenance.get('versions', {}).get('genassoc', genassoc_version())}",
        "adjusted_covariates": covariates,
        "is_harmonised": False,
        "data_file_name": path.name,
        **facts,
        **given,
    }
    lines = ["# Study meta-data"]
    lines += _lines(known, _STUDY, "")
    lines += ["", "# Genotyping Information", *_lines(known, _GENOTYPES, "")]
    sample = _lines(known, _SAMPLES, "    ")
    if sample:
        lines += ["", "# Sample Information", "samples:", "  - " + sample[0].lstrip(), *sample[1:]]
    lines += _lines(known, ("sex",), "")
    lines += ["", "# Summary Statistic information", *_lines(known, _FILE, "")]
    beside = metadata_path(path)
    with replacing(target_of(beside)) as file:
        file.write(("\n".join(lines) + "\n").encode())
    return beside


def _lines(known: Mapping[str, Any], names: tuple[str, ...], indent: str) -> list[str]:
    """``name: value`` of the fields that are known; texts quoted as JSON does, which YAML reads."""
    lines = []
    for name in names:
        value = known.get(name)
        if value is None:
            continue
        if name in _LISTS:
            items = [value] if isinstance(value, str) else list(value)
            lines.append(f"{indent}{name}:")
            lines += [f"{indent}  - {_scalar(item)}" for item in items]
        else:
            plain = name == "date_metadata_last_modified"  # a date, not a text
            lines.append(f"{indent}{name}: {value if plain else _scalar(value)}")
    return lines


def _scalar(value: object) -> str:
    return json.dumps(value if isinstance(value, bool | int | float) else str(value))


def read_trait(path: Path) -> str | None:
    """The first trait that the metadata beside ``path`` describes, where there is any."""
    try:
        lines = strangers.read_bytes(metadata_path(path), _MOST_BYTES).decode().splitlines()
    except (OSError, ValueError):
        return None
    for line, after in zip(lines, [*lines[1:], ""]):
        name, _, value = line.partition(":")
        if name == "trait_description":
            value = value.strip() or after.strip().removeprefix("-").strip()
            return _unquoted(value.strip("[]").strip()) or None
    return None


def _unquoted(text: str) -> str:
    if text.startswith('"'):
        try:
            return str(json.loads(text))
        except ValueError:
            return text.strip('"')
    return text.strip("'")
