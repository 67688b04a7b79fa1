"""Slow twins of `genassoc.kernels.text.vcf_annotations`: one line of text at a time, with split()."""


def find_columns(lines):
    """(FILTER, INFO) of each line, and whether FILTER differs from the line before."""
    columns = [tuple(line.split("\t")[6:8]) for line in lines]
    return columns, [v == 0 or columns[v][0] != columns[v - 1][0] for v in range(len(columns))]


def find_values(infos, name, alternates=None, alt_index=None):
    """Value of an INFO field in each text ("." where absent, "1" of a flag), and how many lists do not fit ALT."""
    values, uneven = [], 0
    for v, info in enumerate(infos):
        found = [part.partition("=") for part in info.split(";") if part.partition("=")[0] == name]
        if not found:
            values.append(".")
            continue
        _, equals, value = found[0]
        if equals and alternates is not None and value != ".":
            each = value.split(",")
            if len(each) == len(alternates[v].split(",")):
                value = each[alt_index[v] - 1]
            else:
                uneven += 1
        values.append(take_values(value) if equals else "1")
    return values, uneven


def take_values(value):
    """A value as it is written: "." in place of none."""
    return value or "."
