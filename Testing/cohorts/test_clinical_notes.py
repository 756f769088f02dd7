"""What has to be said of a clinical table comes out once: on the terminal, in the manifest and on the quality page."""

from __future__ import annotations

import json

from MeWMLib.cohorts.__main__ import main
from MeWMLib.cohorts.layout import PATIENT, Cohort
from MeWMLib.cohorts.quality_page import QUALITY_PAGE


def test_the_notes_of_a_table_come_out(phantom, tmp_path, capsys):
    hu = phantom.trunk("portal")[0]
    for name in ("case 1", "case 2"):
        phantom.Series(hu, patient="", name="").write(tmp_path / "in" / name / "ct")
    table = tmp_path / "t.csv"
    table.write_text("PATIENT_ID;OS_MONTHS;death;weight\ncase 1;12,5;1;70\nErika;3;0;60\n", encoding="utf-8")
    out = tmp_path / "out"
    (tmp_path / "key").write_text("00" * 32, encoding="utf-8")
    command = ["import", str(tmp_path / "in"), "--layout", "folder", "--grid", "native", "--clinical", str(table)]
    assert main([*command, "--key-file", str(tmp_path / "key"), "--out", str(out), "--quiet"]) == 0
    said = capsys.readouterr()
    cohort = Cohort.read(out)
    assert sorted((row.months or 0, row.event) for row in cohort.rows) == [(0, None), (12.5, True)]
    notes = cohort.manifest["clinical_notes"]
    assert json.loads(said.out)["clinical_notes"] == notes and len(notes) == 4
    page = (out / QUALITY_PAGE).read_text(encoding="utf-8").replace("&#39;", "'")
    for part in ("'death' as event", "not read: 'weight'", "1 of its 2 patients", "1 of 2 patients with images"):
        assert part in " | ".join(notes) and part in page and part.split(" of ")[0] in said.err
    assert "patients without images: Erika" in said.err and "Erika" not in page + json.dumps(cohort.manifest)
    lost = next(row.id for row in cohort.rows if row.months is None)
    stored = json.loads((out / lost / PATIENT).read_text(encoding="utf-8"))
    assert any("no row of this patient" in note for note in stored["import"]["notes"])
