"""Lists of real pairs: what is read, what is refused, and that no run on a patient for judging goes unnoticed."""

from pathlib import Path

import pytest

from MeWMLib.core.errors import InputError, MeWMError, OutputError, UnknownAgentError
from MeWMLib.lab.evaluation.pairs import JUDGING_LOG, PairFiles, chosen, log_judging, read_pairs

HEADER = "patient,before,labels,after,protocol,side,weeks,judging,protocol_recorded,after_native\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with empty files: the list is read without opening them."""
    (tmp_path / "data" / "one").mkdir(parents=True)
    for name in ("a.nii", "l.nii", "b.nii", "n.nii"):
        (tmp_path / "data" / "one" / name).touch()
    return tmp_path


def write(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "pairs.csv"
    path.write_text(header + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_a_list_names_files_treatment_and_who_is_for_judging(folder: Path) -> None:
    path = write(
        folder,
        "P1,one/a.nii,one/l.nii,one/b.nii,Doxorubicin + Lipiodol,back,7.5,no,no,one/n.nii",
        "P2,one/a.nii,one/l.nii,one/b.nii,Doxorubicin 50 mg + Lipiodol,,,yes,,",
    )
    first, second = read_pairs(path, [folder / "nowhere", folder / "data"])
    assert first.before == folder / "data/one/a.nii" and first.after_native == folder / "data/one/n.nii"
    assert (first.side, first.weeks, first.judging, first.recorded) == ("back", 7.5, False, False)
    assert (second.side, second.weeks, second.judging, second.recorded) == ("whole", None, True, True)
    assert second.after_native is None and second.labels_after is None
    assert second.label_values == "1=liver,2=tumour"
    # the folder of the list counts as well
    near = write(folder / "data", "P1,one/a.nii,one/l.nii,one/b.nii,Lipiodol,front,1,no,yes,")
    assert read_pairs(near)[0].before == folder / "data/one/a.nii"


@pytest.mark.parametrize(
    ("line", "error", "says"),
    [
        ("P1,one/x.nii,one/l.nii,one/b.nii,Lipiodol,,,,,", InputError, "one/x.nii of P1"),
        ("P1,,one/l.nii,one/b.nii,Lipiodol,,,,,", InputError, "without the file before"),
        ("P1,one/a.nii,one/l.nii,one/b.nii,Lipiodol,left,,,,", InputError, "side.*left"),
        ("P1,one/a.nii,one/l.nii,one/b.nii,Snake oil,,,,,", UnknownAgentError, "Snake oil"),
        ("P1,one/a.nii,one/l.nii,one/b.nii,Lipiodol,,soon,,,", InputError, "weeks is not a number"),
        ("P1,one/a.nii,one/l.nii,one/b.nii,Lipiodol,,,maybe,,", InputError, "judging must be"),
        (",one/a.nii,one/l.nii,one/b.nii,Lipiodol,,,,,", InputError, "patient of its own"),
    ],
)
def test_a_line_that_is_wrong_is_refused(folder: Path, line: str, error: type[MeWMError], says: str) -> None:
    with pytest.raises(error, match=f"(?s){says}"):
        read_pairs(write(folder, line), [folder / "data"])


def test_a_list_needs_its_columns_and_patients_once(folder: Path) -> None:
    with pytest.raises(InputError, match="without after, protocol"):
        read_pairs(write(folder, "P1,one/a.nii,one/l.nii", header="patient,before,labels\n"))
    line = "P1,one/a.nii,one/l.nii,one/b.nii,Lipiodol,,,,,"
    with pytest.raises(InputError, match="P1, P1"):
        read_pairs(write(folder, line, line), [folder / "data"])


def pair(name: str, judging: bool = False) -> PairFiles:
    from MeWMLib.core.protocol import Protocol

    file = Path("x.nii")
    return PairFiles(name, file, file, file, Protocol.parse("Lipiodol"), judging=judging)


def test_patients_for_judging_are_opened_only_when_asked_for() -> None:
    known = [pair("A"), pair("B"), pair("C", judging=True)]
    names = lambda found: [one.patient for one in found]  # noqa: E731
    assert names(chosen(known, False)) == ["A", "B"]
    assert names(chosen(known, True)) == ["A", "B", "C"]
    assert names(chosen(known, True, ["C"])) == ["C"] and names(chosen(known, False, ["B"])) == ["B"]
    for asked in (["C"], ["A", "C"]):
        with pytest.raises(InputError, match="for judging only"):
            chosen(known, False, asked)
    with pytest.raises(InputError, match="for judging only"):
        chosen([pair("C", judging=True)], False)
    with pytest.raises(InputError, match="No such patient.*\n?.*D"):
        chosen(known, True, ["D"])


def test_every_run_on_a_patient_for_judging_is_counted(tmp_path: Path) -> None:
    out = tmp_path / "out"
    pairs = [pair("A"), pair("C", judging=True), pair("D", judging=True)]
    assert [line.split("\t")[1:] for line in log_judging(out, pairs, "look")] == [
        ["C", "run 1", "look"], ["D", "run 1", "look"],
    ]  # fmt: skip
    assert [line.split("\t")[1:3] for line in log_judging(out, pairs[:2], "real-pairs")] == [["C", "run 2"]]
    assert log_judging(out, pairs[:1], "look") == []
    lines = (out / JUDGING_LOG).read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[1:] for line in lines] == [
        ["C", "run 1", "look"], ["D", "run 1", "look"], ["C", "run 2", "real-pairs"],
    ]  # fmt: skip
    assert log_judging(tmp_path / "none", pairs[:1], "look") == [] and not (tmp_path / "none" / JUDGING_LOG).exists()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="could not be logged"):
        log_judging(tmp_path / "file", pairs, "look")


def test_the_list_that_ships_keeps_hcc_009_for_judging(repository: Path, shared_data: Path, tmp_path: Path) -> None:
    path = repository / "Resources" / "Configs" / "real-pairs.csv"
    text = path.read_text(encoding="utf-8")
    (line,) = (line for line in text.splitlines() if line.startswith("HCC_009"))
    for file in line.split(",")[1:9]:  # the DICOM archive may not be unpacked
        if file and not (shared_data / file).exists():
            (tmp_path / file).mkdir(parents=True)
    pairs = {one.patient: one for one in read_pairs(path, [shared_data, tmp_path])}
    assert {name: one.judging for name, one in pairs.items()} == {"HCC_004": False, "HCC_007": False, "HCC_009": True}
    assert {name: one.side for name, one in pairs.items()} == {
        "HCC_004": "whole", "HCC_007": "back", "HCC_009": "front",
    }  # fmt: skip
    assert "Lipiodol" in pairs["HCC_009"].protocol.text and pairs["HCC_009"].recorded
    assert not pairs["HCC_004"].recorded
