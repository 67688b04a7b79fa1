"""Slow twins of `genassoc.kernels.text.variant_lines`: strings, a line at a time."""


def scan_variants(text, columns, tabs, listed):
    """A row an ALT: (line, contig, position, id, REF, ALT, number of the ALT, FILTER or None, INFO or None)."""
    rows = []
    for number, line in enumerate(text.removesuffix("\n").split("\n")):
        fields = line.removesuffix("\r").split("\t") if tabs else line.split()
        value = {name: fields[at] for name, at in columns.items()}
        alternates = value["ALT"].split(",") if listed else [value["ALT"]]
        if alternates == ["."] or (not listed and alternates == ["0"]):
            alternates = []
        for k, alternate in enumerate(alternates, start=1):
            if alternate not in ("<*>", "<NON_REF>"):
                row = (number, value["CHROM"], int(value["POS"]), value["ID"], value["REF"], alternate, k)
                rows.append((*row, value.get("FILTER"), value.get("INFO")))
    return rows


def copy_texts(text, places, start):
    """The strings between two places of each row."""
    return [bytes(text[row[start] : row[start + 1]]) for row in places]


def text_changes(texts):
    """1 where a text is not that before it."""
    return [int(v == 0 or texts[v] != texts[v - 1]) for v in range(len(texts))]
