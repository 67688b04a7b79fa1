"""What sources share whose records are, or become, lines of VCF."""

from genassoc.formats.annotations import Annotations
from genassoc.formats.source import FileSource
from genassoc.formats.vcf.header import VcfHeader
from genassoc.formats.vcf.sample_fields import SampleFields


class LineSource(FileSource):
    """A file of lines of VCF: which of their fields are read follows from the header and what was chosen."""

    _sample_fields: SampleFields
    _annotations: Annotations

    def _choose_sample_fields(self, header: VcfHeader, first_line: bytes) -> None:
        """Which fields of the sample columns are read; ``first_line`` is how the first record begins."""
        fields = self._sample_fields = SampleFields.of(self.path, header.dosage_formats, first_line, self.reading)
        self.has_dosages, self.has_probabilities = fields.has_dosages, fields.has_probabilities
        self.notes += fields.notes

    def _choose_annotations(self, header: VcfHeader) -> None:
        """Which columns of text the rows have."""
        chosen = self._annotations = Annotations.of(self.path.name, header.info_fields, self.reading)
        self.annotations, self.info_source, self.subfields = chosen.names, chosen.source, chosen.subfields
        self.notes += chosen.notes
