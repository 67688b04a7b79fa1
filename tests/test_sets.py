"""Sets of variants: REGENIE's, SAIGE's and plain tables give the same sets; each kind of bad input has a clear word and loses nothing."""

import gzip
import os

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import variant_sets as oracle
from set_files import as_dict, shown, store_of, write

import genassoc as ga
from genassoc.data.sets import matched
from genassoc.data.sets.places import places_of
from genassoc.errors import InputError, PlanError
from genassoc.formats.sets import text

STORE = store_of()
SET_LIST = "G1\t1\t100\t1:100:A:C,1:200:A:G,1:300:C:CTT\nG2\t2\t100\t2:100:T:C\n"
ANNOTATIONS = "1:100:A:C G1 LoF 1\n1:200:A:G G1 missense 0.5\n1:300:C:CTT G1 LoF 0.25\n2:100:T:C G2 synonymous 0\n"
MASKS = "M1 LoF\nM2 LoF,missense\n"


@pytest.fixture
def files(tmp_path):
    return (
        write(tmp_path / "sets.txt", SET_LIST),
        write(tmp_path / "anno.txt", ANNOTATIONS),
        write(tmp_path / "masks.txt", MASKS),
    )


EXPECTED = {
    "G1": ([0, 1, 3], ["LoF", "missense", "LoF"], [1.0, 0.5, 0.25]),
    "G2": ([5], ["synonymous"], [0.0]),
}
TABLE = (
    "set_id\tvariant\tannotation\tweight\nG1\t1:100:A:C\tLoF\t1\nG1\tchr1_200_A_G\tmissense\t0.5\nG1\t1:300_C/CTT\tLoF\t0.25\n"
    "G2\trs5\tsynonymous\t0\n"
)
GROUPS = (
    "G1 var 1:100:A:C 1:200:A:G 1:300:C:CTT\nG1 anno LoF missense LoF\nG1 weight 1 0.5 0.25\nG2 var 2:100:T:C\nG2 anno synonymous\n"
    "G2 weight 0\n"
)


def test_every_format_gives_the_same_sets(files, tmp_path):
    sets, anno, masks = files
    table, groups = write(tmp_path / "t.tsv", TABLE), write(tmp_path / "g.txt", GROUPS)
    csv = write(tmp_path / "t.csv", TABLE.replace("\t", ","))
    packed = tmp_path / "t.tsv.gz"
    packed.write_bytes(gzip.compress(TABLE.replace("\n", "\r\n").encode()))
    read = [
        ga.read_sets(sets, anno, masks),
        ga.read_sets(table, masks=masks),
        ga.read_sets(str(groups), masks={"M1": "LoF", "M2": ["LoF", "missense"]}),
        ga.read_sets(csv, masks=masks),
        ga.read_sets(packed, masks=masks),
        ga.read_sets(pl.read_csv(table, separator="\t"), masks=masks),
    ]
    for each in read:
        found = ga.match_sets(each, STORE)
        assert as_dict(found) == EXPECTED
        assert [(m.name, sorted(found.categories[k] for k in m.annotations)) for m in found.masks] == [
            ("M1", ["LoF"]),
            ("M2", ["LoF", "missense"]),
        ]
        assert found.contigs == ("1", "2") and not found.left_out.height and not found.empty
        assert found.masks[0].of(found.annotation[0]).tolist() == [True, False, True]
        assert max(map(len, repr(each).splitlines())) <= 80
    assert len({ga.match_sets(each, STORE).digest for each in read}) == 1
    assert len({each.digest for each in (read[0], read[2])}) == 1  # the same names
    assert read[0].digest != read[1].digest


def test_without_masks_all_variants_of_a_set_are_one(tmp_path):
    found = ga.match_sets(ga.read_sets(write(tmp_path / "s", SET_LIST)), STORE)
    assert found.masks == (matched.Mask("all"),)
    assert found.masks[0].of(found.annotation[0]).all() and found.weights is None


def test_old_groups_and_weights_by_name(tmp_path):
    found = ga.match_sets(ga.read_sets(write(tmp_path / "s", "G1\t1:100_A/C;2\t1:200_A/G;NA\n")), STORE)
    assert as_dict(found)["G1"][0] == [0, 1]
    with pytest.raises(InputError, match=r"1 variants of 1 sets have no weight 'weight' \(1 of G1\)"):
        found.weights_of("weight")
    with pytest.raises(PlanError, match="no weights called 'CADD'; it has: weight"):
        found.weights_of("CADD")
    made = ga.read_sets(write(tmp_path / "t", "gene\tid\tCADD_phred\tremark\nG1\trs1\t20\tx\n"))
    assert made.weights == ("CADD_phred",) and "not read: remark" in shown(made)
    assert ga.read_sets(tmp_path / "t", weights=()).weights == ()


NAMES = {
    "1:100:A:C": [0],
    "chr1_100_a_c": [0],
    "1-100-A-C": [0],
    "NC_000001.11:100:A:C": [0],
    "23:50:G:A": [7],
    "rs2": [1, 2],
    "2_150_T_<DEL>": [6],
    "sv1": [6],
    "X:60:G:A": [8],
    "1:100:C:A": "exchanged",
    "1:100:A:G": "other alleles",
    "1:101:A:G": "not in the store",
    "7:100:A:C": "no such chromosome",
    "rs99": "not in the store",
}


def test_names_are_found_or_told_why_not(tmp_path):
    lines = "".join(f"S{i}\t{name}\n" for i, name in enumerate(NAMES))
    found = ga.match_sets(ga.read_sets(write(tmp_path / "t", "set_id\tvariant\n" + lines)), STORE)
    reasons = dict(found.left_out.select("variant", "reason").iter_rows())
    for i, (name, expected) in enumerate(NAMES.items()):
        if isinstance(expected, str):
            assert expected in reasons.pop(name), name
            assert f"S{i}" in found.empty
        else:
            assert found.members[found.ids.index(f"S{i}")].tolist() == expected, name
    assert not reasons
    said = shown(found)
    assert "5 sets have no variant in the store" in said and "1 names are ids of several variants" in said
    assert "with REF and ALT exchanged: '1:100:C:A'" in said and "more than once with the same place" in said


def test_an_id_goes_before_a_place():
    """A lifted store keeps its old names: they mean the variants that bear them."""
    store = store_of([("1", 100, "A", "C", "1:90:A:C"), ("1", 190, "A", "C", "1:100:A:C")])
    found = ga.match_sets(ga.read_sets(pl.DataFrame({"set_id": ["S"], "variant": ["1:100:A:C"]})), store)
    assert found.members[0].tolist() == [1] and "the id of one variant and the place of another" in shown(found)


def test_a_variant_several_times_in_a_set():
    table = pl.DataFrame(
        {
            "set_id": ["S", "S", "S", "T"],
            "variant": ["rs1", "1:100:A:C", "rs1", "rs1"],
            "annotation": ["LoF", "missense", "LoF", None],
        }
    )
    found = ga.match_sets(ga.read_sets(table, masks={"a": "LoF", "b": "missense", "c": "synonymous"}), STORE)
    assert as_dict(found) == {"S": ([0], ["LoF&missense"], None), "T": ([0], [None], None)}
    assert [mask.of(found.annotation[0]).tolist() for mask in found.masks] == [[True], [True], [False]]
    said = shown(found)
    assert "'rs1 in S'" in said and "several annotations in a set" in said
    assert "'synonymous', which no variant has" in said and "1 variants in sets have no annotation" in said
    with pytest.raises(InputError, match="several weights 'w'"):
        ga.match_sets(ga.read_sets(table.with_columns(w=pl.Series([1, 2, 1, 1]))), STORE)


def test_sets_on_several_contigs_are_refused():
    table = pl.DataFrame({"set_id": ["S", "S", "T"], "variant": ["rs1", "rs5", "rs1"]})
    with pytest.raises(InputError, match=r"1 sets lie on several contigs.*'S' \(1, 2\)"):
        ga.match_sets(ga.read_sets(table), STORE)


def test_nothing_matches():
    table = pl.DataFrame({"set_id": ["S"], "variant": ["1:9:A:C"]})
    with pytest.raises(InputError, match=r"none of its 1 variants.*'1:9:A:C'.*'1_100_A_C' .id 'rs1'.*build"):
        ga.match_sets(ga.read_sets(table), STORE)


HEAD = "set_id\tvariant\tweight\n"
BAD = {
    "empty": ("", "is empty"),
    "only a header": (HEAD, "no variant of any set"),
    "a list of ids": ("rs1\nrs2\n", "none of a file of sets"),
    "weight too large": (HEAD + "S\trs1\t1e300\n", r"the weight '1e300' is no number from 0 to 1e\+30"),
    "negative weight": (HEAD + "S\trs1\t1\n\nS\trs2\t-1\n", r":4: the weight '-1' is no number from 0"),
    "NaN": (HEAD + "S\trs1\tnan\n", ":2: the weight 'nan'"),
    "infinite": (HEAD + "S\trs1\tinf\n", ":2: the weight 'inf'"),
    "words": (HEAD + "S\trs1\thigh\n", ":2: the weight 'high'"),
    "too few fields": (HEAD + "S\trs1\n", ":2: has fewer fields than the header, which has 3"),
    "too many fields": (HEAD + "S\trs1\t1\t2\n", ":2: has more fields"),
    "no name of the variant": (HEAD + "S\t\t1\n", ":2: the variant has no name"),
    "no name of the set": (HEAD + "\trs1\t1\n", ":2: the set has no name"),
    "no column of sets": ("variant\tannotation\nrs1\tLoF\n", "no column of sets"),
    "Latin-1": (HEAD.encode() + b"S\trs\xe9\t1\n", ":2: is no text in UTF-8"),
    "zero byte": (HEAD + "S\trs\0\t1\n", ":2: is no text"),
    "damaged gzip": (gzip.compress(HEAD.encode() * 99)[:40], "damaged"),
    "no variants in a set list": ("G 1 1 ,\n", ":1: the set has no variant"),
    "position": ("G 1 1 rs1\nH 1 x rs1\n", ":2: the third field"),
    "set list with blanks": ("G 1 1 rs1\nH 1 2 rs1, rs2\n", ":2: a set list has four fields"),
    "set list cut": ("G 1 1 rs1\nH 1 2\n", ":2: a set list has four fields"),
    "a set on two chromosomes": ("G 1 1 rs1\nG 2 1 rs5\n", ":2: the set 'G' is on chromosome 2 here"),
    "lists of two lengths": ("G var a b\nG anno x\n", ":2: has 1 values, and the set has 2 variants"),
    "annotations without variants": ("G var a\nG anno x\nH anno x\n", ":3: the set has no line of variants"),
    "two lists of variants": ("G var a\nG var b\n", ":2: the set has this line twice"),
    "another kind": ("G var a\nG foo b\n", ":2: a line of a group file"),
    "weight of a group": ("G var a b\nG weight 1 -2\n", ":2: the weight '-2'"),
    "no values": ("G var a\nG anno\n", ":2: the line has no values"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_files_are_refused_by_name_and_line(what, tmp_path):
    content, words = BAD[what]
    with pytest.raises(InputError, match=words) as told:
        ga.read_sets(write(tmp_path / "f.txt", content))
    assert "f.txt" in str(told.value)


def test_no_plain_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, words in (
        (tmp_path, "no plain file"),
        (tmp_path / "pipe", "no plain file"),
        (tmp_path / "none", "no such file"),
    ):
        with pytest.raises(InputError, match=words):
            ga.read_sets(path)
    write(tmp_path / "t", TABLE)
    (tmp_path / "link").symlink_to(tmp_path / "t")
    assert ga.read_sets(tmp_path / "link").n_sets == 2


def test_masks_and_annotations_that_do_not_fit(files, tmp_path):
    sets, anno, _ = files
    for content, words in (
        ("M1\n", ":1: the mask 'M1' names no annotation"),
        ("M1 LoF\nM1 x\n", ":2: there are two masks 'M1'"),
        ("", "has no mask"),
    ):
        with pytest.raises(InputError, match=words):
            ga.read_sets(sets, anno, write(tmp_path / "m", content))
    said = shown(ga.read_sets(sets, anno, write(tmp_path / "m", "M1 lof\n")))
    assert "'lof', which no variant has (there is 'LoF')" in said and "mask M1 is empty" in said
    with pytest.raises(InputError, match="no variant has an annotation"):
        ga.read_sets(sets, masks={"M": "LoF"})
    more = write(tmp_path / "more", ANNOTATIONS + "9:9:A:C G1 LoF 1\n1:100:A:C G1 LoF 1\n")
    said = shown(ga.read_sets(sets, more))
    assert (
        "1 annotations are of variants that are in no set" in said
        and "'9:9:A:C'" in said
        and "1 lines are there twice" in said
    )
    with pytest.raises(InputError, match="none of its 1 annotations is of a variant in a set"):
        ga.read_sets(sets, write(tmp_path / "other", "rs1 G9 LoF\n"))
    for content, words in (
        ("a G1 LoF 1\nb G1 LoF\n", ":2: has fewer fields"),
        ("a G1 LoF 1\nb G1 LoF -1\n", ":2: the weight '-1'"),
    ):
        with pytest.raises(InputError, match=words):
            ga.read_sets(sets, write(tmp_path / "other", content))


def test_domains(files, tmp_path):
    sets, _, _ = files
    anno = write(
        tmp_path / "anno", "1:100:A:C G1 D1 LoF\n1:200:A:G G1 D2 missense\n1:300:C:CTT G1 D1 LoF\n2:100:T:C G2 D1 LoF\n"
    )
    found = ga.match_sets(ga.read_sets(sets, anno), STORE)
    members = {name: values[0] for name, values in as_dict(found).items()}
    assert members == {"G1": [0, 1, 3], "G1.D1": [0, 3], "G1.D2": [1], "G2": [5], "G2.D1": [5]}
    assert "taken for domains" in shown(found)


def test_annotations_of_variants_whatever_the_set(tmp_path):
    sets = write(tmp_path / "s", "set_id variant\nA rs1\nB rs1\nB rs4\n")
    anno = write(tmp_path / "a", "variant,annotation,CADD\nrs1,LoF,30\nrs4,missense,\n")
    found = ga.match_sets(ga.read_sets(sets, anno), STORE)
    assert as_dict(found)["B"][1] == ["LoF", "missense"] and found.weight_columns["CADD"][0].tolist() == [30.0]


def test_stretches_of_any_size_give_the_same(files, tmp_path, monkeypatch):
    """Sets that lie across the stretches in which a file is read."""
    groups = write(tmp_path / "g.txt", GROUPS.replace("\n", "\r"))
    whole = [ga.read_sets(files[0], files[1]).table, ga.read_sets(groups).table]
    for size in (7, 33, 64):
        monkeypatch.setattr(text, "STRETCH", size)
        assert ga.read_sets(files[0], files[1]).table.equals(whole[0])
        assert ga.read_sets(groups).table.equals(whole[1])
    monkeypatch.setattr(text, "STRETCH", 7)
    monkeypatch.setattr(text, "MOST_LINE", 20)
    with pytest.raises(InputError, match="a line of more than"):
        ga.read_sets(files[0])


def test_comments_headers_and_marks_of_editors(tmp_path):
    found = ga.read_sets(write(tmp_path / "t", "\ufeff##made by x\n# a word\n#gene\tsnp\n#1\trs1\n"))
    assert found.table.rows() == [("#1", "rs1", None)]
    found = ga.read_sets(write(tmp_path / "s", "# a word\n" + SET_LIST), write(tmp_path / "a", "#x\n" + ANNOTATIONS))
    assert found.n_sets == 2 and "lines that begin with '#' are comments" in shown(found)


def test_places_of_names():
    names = pl.Series(
        [
            "chrUn_KI270742v1_5_A_C",
            "1:5:A:<DUP:TANDEM>",
            "HLA-A*01:01:7:G:T",
            "rs5",
            "1:5",
            "1:5:A:]2:7]A",
            "1:99999999999:A:C",
        ]
    )
    found = places_of(names).with_columns(pl.col("chromosome").cast(pl.String)).rows()
    assert found[:3] == [("chrUn_KI270742v1", 5, "A", "C"), ("1", 5, "A", "<DUP:TANDEM>"), ("HLA-A*01:01", 7, "G", "T")]
    assert all(row == (None, None, None, None) for row in found[3:])


alleles = st.sampled_from(["A", "C", "CT"])
rows = st.tuples(
    st.sampled_from(["1", "2"]), st.integers(1, 4), alleles, alleles, st.sampled_from(["rs1", "rs2", "1:2:A:C", None])
)


@settings(max_examples=40, deadline=None)
@given(
    variants=st.lists(rows, min_size=1, max_size=12).map(lambda rows: sorted(rows, key=lambda r: r[:2])),
    names=st.lists(
        st.tuples(st.sampled_from("ST"), rows.map(lambda r: r[4] or f"chr{r[0]}:{r[1]}:{r[2]}:{r[3]}"), st.sampled_from(["x", "y", None])),
        min_size=1, max_size=10,
    ),
)  # fmt: skip
def test_matching_against_its_slow_twin(variants, names):
    expected = oracle.match(names, variants)
    table = pl.DataFrame(
        names, schema={"set_id": pl.String, "variant": pl.String, "annotation": pl.String}, orient="row"
    )
    contigs = {s: {variants[k][0] for k in members} for s, members in expected.items()}
    try:
        found = ga.match_sets(ga.read_sets(table), store_of(variants))
    except InputError as error:
        assert (
            any(len(c) > 1 for c in contigs.values()) if "several contigs" in str(error) else not any(expected.values())
        )
        return
    assert {name: dict(zip(values[0], values[1])) for name, values in as_dict(found).items()} == {
        s: members for s, members in expected.items() if members
    }
    assert [m[0] for m in found.members] == sorted(m[0] for m in found.members)


def test_annotations_without_masks_are_said(tmp_path):
    (tmp_path / "sets").write_text("G 1 5 1_5_A_C,1_6_A_C\n")
    (tmp_path / "annotations").write_text("1_5_A_C G pLoF\n1_6_A_C G synonymous\n")
    sets = ga.read_sets(tmp_path / "sets", tmp_path / "annotations")
    assert any("there are no masks" in line for line in sets.lines())
    masked = ga.read_sets(tmp_path / "sets", tmp_path / "annotations", {"lof": "pLoF"})
    assert not any("there are no masks" in line for line in masked.lines())
