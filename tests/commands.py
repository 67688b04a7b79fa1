"""What tests of the commands share: arguments of `assoc`, phenotypes with a change, what a refusal looks like."""

import polars as pl


def assoc(files, out, *more, phenotypes=None, store=None, trait="ldl", model="linear"):
    return [
        "assoc", store or files.store, phenotypes or files.phenotypes, "--model", model, "--trait", trait, "--out", out,
        *more,
    ]  # fmt: skip


def refused(result, out=None, *words, code=1):
    found, _, errors = result
    assert found == code, errors
    assert "Traceback" not in errors
    for word in words:
        assert word in errors, errors
    if out is not None:
        left = [path.name for path in out.parent.iterdir() if path.name.startswith((out.name, f"wip_{out.name}"))]
        assert left == []


def edited(files, tmp_path, change):
    table = pl.read_csv(files.phenotypes, separator="\t", infer_schema=False)
    path = tmp_path / "edited.tsv"
    path.write_text(change(table).write_csv(separator="\t"))
    return path
