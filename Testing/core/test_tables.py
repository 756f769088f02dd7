"""CSV files as spreadsheet programs write them: read whole and right, or refused with the line."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from MeWMLib.core.errors import ClinicalDataError, InputError, UnreadableFileError
from MeWMLib.core.tables import MAX_BYTES, fold, known, read_csv


@pytest.fixture
def table(tmp_path):
    """Writes a table and reads it."""

    def read(text: str | bytes, name: str = "t.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_csv(path, "The clinical table", ClinicalDataError)

    return read


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_line_ends_and_quotes(table, separator, end):
    lines = [["id", "note"], ["a", f"one{separator} two"], ["b", f'said "x"{end}and more'], ["c", " "]]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator=end).writerows(lines)
    found = table(text.getvalue())
    assert found.columns == ("id", "note") and found.separator == separator
    assert [cells for _, cells in found.records] == [tuple(c.strip() for c in line) for line in lines[1:]]
    assert [line for line, _ in found.records] == [2, 3, 5]


def test_the_beginnings_that_programs_write(table):
    text = '\ufeff#Patient Identifier\tOverall "Survival\n#STRING\tNUMBER\n#1\t1\nPATIENT_ID\tOS\np\t3\n\n\t\n'
    found = table(text)
    assert found.columns == ("PATIENT_ID", "OS") and found.records == ((5, ("p", "3")),)
    assert table("sep=;\nid;note, free\na;1, 2\n").records == ((3, ("a", "1, 2")),)
    assert table(gzip.compress(b"id,n\na,1\n")).records == ((2, ("a", "1")),)


def test_the_separator_is_the_one_that_fits_every_row(table):
    assert table("id;note, free\na;1\nb;2\n").columns == ("id", "note, free")
    assert table('id,"a;b;c"\nx,1\n').columns == ("id", "a;b;c")
    for text in ("id;a,b\nx;1,2\n", "id;a,b\nx\n"):
        with pytest.raises(ClinicalDataError, match=r"separator .* not clear.*comma and semicolon"):
            table(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,n\na,1\nb,2,3\n", r"line 3 of t.csv: 3 cells, 2 columns"),
        ("id,n\na,1\nb\n", r"line 3 of t.csv: 1 cells, 2 columns"),
        ('id,n\n"a\nb",1\nc\n', r"line 4 of t.csv: 1 cells"),
        ('id,n\na,"1\n', "line 2 of t.csv .unexpected end"),
        ('id,n\na,"1"2\n', "Close every quote"),
        ("id,n,n\na,1,2\n", "column is in the clinical table twice.*'n'"),
        ("id,OS MONTHS,os_months\na,1,2\n", "'OS MONTHS' and 'os_months'"),
        ("id,OS-Months,os.months\na,1,2\n", "twice"),
        ("id,n,,\na,1,,2\nb,1,3,\n", "Two columns .* have no name"),
        ("Our cohort,,\nid,n,m\na,1,2\n", "Two columns .* have no name.*without a title"),
        ("id," + "x" * 140_000 + "\na,1\n", "field larger"),
    ],
)
def test_what_cannot_be_a_table_is_refused_by_line_or_name(table, text, message):
    with pytest.raises(ClinicalDataError, match=message):
        table(text)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no rows"),
        (b"id,n\n", "no rows"),
        (b"# only a comment\n", "no rows"),
        ("id,n\na,ü\n".encode("cp1252"), "line 2 holds the byte 0xfc, as in Windows-1252"),
        ("id,n\na,1\n".encode("utf-16"), "text in UTF-16"),
        ("id,n\na,1\n".encode("utf-16-le"), "text in UTF-16"),
        ("id,n\na,1\n".encode("utf-32"), "text in UTF-32"),
        (b"id,n\na,\x001\n", "null bytes"),
        (b"PK\x03\x04rest", "a spreadsheet or ZIP file"),
        (b"\xd0\xcf\x11\xe0rest", "old format"),
        (gzip.compress(b"id,n\na,1\n" * 99, mtime=0)[:-20], "cannot be read"),
    ],
)
def test_files_that_are_no_text_in_utf_8_are_named(table, data, message):
    with pytest.raises(UnreadableFileError, match=message):
        table(data)


def test_files_that_cannot_be_opened(tmp_path):
    for path in (tmp_path / "missing.csv", tmp_path, Path("a\0b")):
        with pytest.raises(UnreadableFileError, match="cannot be read"):
            read_csv(path)
    bomb = tmp_path / "t.csv.gz"
    bomb.write_bytes(gzip.compress(b"a,b\n" * (MAX_BYTES // 4 + 1), 9))
    with pytest.raises(UnreadableFileError, match="larger than"):
        read_csv(bomb)


@pytest.mark.parametrize(
    "cell", ["", "n/a", "N/A", "NA", "NaN", "-", "unknown", "[Not Available]", "Not reported", "."]
)
def test_words_for_not_known(table, cell):
    (row,) = table(f"id,n\na,{cell}\n").rows()
    assert row.number("n") is None and row.flag("n") is None and row.known("n") == "" and known(cell) == ""


@pytest.mark.parametrize(
    "cell",
    ["12 months", ">60", "<5", "~3", "1_000", "0x10", "inf", "-inf", "1e999", "1 000", "1'000", "12,5", "1,234.5",
     "\u0661\u0662", "12%", "1e", "++1", "12;5", "?"],
)  # fmt: skip
def test_cells_that_are_no_numbers_are_refused(table, cell):
    (row,) = table(f'id,n\na,"{cell}"\n').rows()
    with pytest.raises(ClinicalDataError, match=r"^n (is not a|has).*line 2 of t.csv, column 'n'") as caught:
        row.number("n")
    assert repr(cell) in caught.value.given


@pytest.mark.parametrize(
    ("cell", "value"), [("12", 12), ("-0.5", -0.5), ("1e3", 1000), ("1.234", 1.234), (".5", 0.5), ("5.", 5), ("+3", 3)]
)
def test_numbers(table, cell, value):
    (row,) = table(f"id,n\na,{cell}\n").rows()
    assert row.number("n") == value


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["12,5", "1,25", "1,234"], [12.5, 1.25, 1.234]),
        (["12,5", "3"], [12.5, 3]),
        (["0,125"], [0.125]),
        (["12.5", "1.234"], [12.5, 1.234]),
        (["1,234"], None),
        (["1.234"], None),
        (["12,5", "12.5"], None),
        (["12,5", "1.234"], None),
        (["12.5", "1,234"], None),
        (["1.234,5"], None),
    ],
)
@pytest.mark.parametrize("separator", [";", "\t"])
def test_decimal_commas_are_read_or_refused(table, separator, cells, values):
    rows = table(f"id{separator}n\n" + "".join(f"p{separator}{cell}\n" for cell in cells)).rows()
    if values is None:
        with pytest.raises(ClinicalDataError, match=r"separate thousands|points and decimal commas|not a number"):
            [row.number("n") for row in rows]
    else:
        assert [row.number("n") for row in rows] == values


def test_flags(table):
    rows = table("id,n\n" + "".join(f"p,{c}\n" for c in ("1", "0", "1.0", "yes", "No", "TRUE", "f", "1:yes"))).rows()
    assert [row.flag("n") for row in rows] == [True, False, True, True, False, True, False, True]
    dead, alive = frozenset({"dead"}), frozenset({"alive"})
    rows = table("id,n\np,1:DEAD\np,0:Alive\np,dead\np,1:alive\np,2\np,dead?\n").rows()
    assert [row.flag("n", dead, alive) for row in rows[:3]] == [True, False, True]
    for row in rows[3:]:
        with pytest.raises(ClinicalDataError, match="must be 0 or 1"):
            row.flag("n", dead, alive)
    with pytest.raises(ClinicalDataError, match="must be 0 or 1"):
        rows[0].flag("n")


def test_names_are_folded():
    same = (
        "OS_MONTHS",
        " os months",
        "Os-Months ",
        "os.months",
        "OS (Months)",
        "\uff2f\uff33 months",
        "os\u200b_months",
    )
    assert {fold(name) for name in same} == {"os_months"} and fold(" . ") == ""


CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]) | st.sampled_from(',;\t\n"'), max_size=8)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    rows=st.integers(2, 4).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=1, max_size=5)),
    separator=st.sampled_from(",;\t"),
)
def test_any_table_that_a_program_writes_is_read_back(tmp_path_factory, rows, separator):
    header = [f"c{n}" for n in range(len(rows[0]))]
    path = tmp_path_factory.mktemp("t") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    wanted = [tuple(c.strip() for c in row) for row in rows if any(c.strip() for c in row)]
    if not wanted:
        with pytest.raises(InputError, match="no rows"):
            read_csv(path)
    else:
        assert [cells for _, cells in read_csv(path).records] == wanted


def test_columns_that_a_spreadsheet_program_left_over_are_passed_over(table):
    found = table("id,n,,,\na,1,,,\n,,,,\nb,2, ,,\n")
    assert found.columns == ("id", "n") and [row.cells for row in found.rows()] == [("a", "1"), ("b", "2")]


@pytest.mark.parametrize(
    ("cell", "value"), [("WAHR", True), ("falsch", False), ("oui", True), ("non", False), ("'--", None)]
)
def test_flags_of_other_languages_and_blanks_of_gdc(table, cell, value):
    (row,) = table(f"id,n\na,{cell}\n").rows()
    assert row.flag("n") is value
