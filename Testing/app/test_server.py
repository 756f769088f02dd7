"""The app's requests: who may ask, what is refused, and a case from its files to a result."""

from __future__ import annotations

import io
import json
import time
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk

SHAPE = (12, 14, 16)


def test_only_its_own_page_is_answered(app):
    """Another page, or a name that points here, learns nothing, token or not."""
    own = {"Host": f"127.0.0.1:{app.port}"}
    assert app.ask("GET", "/app/start", **own).status_code == 200
    assert app.ask("GET", "/app/start", Host=f"localhost:{app.port}").status_code == 200
    assert app.ask("GET", "/app/start", Origin=app.url).status_code == 200
    for headers in (
        {"Host": "evil.example"},
        {"Host": f"evil.example:{app.port}"},
        {"Host": "127.0.0.1"},
        {"Host": f"127.0.0.1:{app.port + 1}"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://localhost:{app.port}"},
        {"Origin": f"https://127.0.0.1:{app.port}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        for path in ("/", "/app/start", "/jobs", "/healthz"):
            answer = app.ask("GET", path, **headers)
            assert answer.status_code == 403, (headers, path)
            assert "Open the address" in answer.json()["error"]["remedy"]


def test_every_request_but_those_of_the_page_needs_the_token(app):
    free = {"/", "/static/{name}", "/healthz", "/readyz"}
    seen = 0
    for route in app.app.routes:
        for method in sorted(route.methods - {"HEAD"}):
            path = route.path.replace("{number}", "0").replace("{rank}", "1").replace("{", "").replace("}", "")
            for token in (None, "wrong"):
                if token and seen % 9:
                    continue  # wrong tokens make the address wait
                answer = app.ask(method, path, token=token)
                assert (answer.status_code in (401, 429)) == (route.path not in free), (method, route.path)
            seen += 1
    assert seen > 35


def test_the_page_may_do_nothing_but_what_it_needs(app):
    for path in ("/", "/static/main.js", "/static/viewer.js", "/app/start", "/static/none.js"):
        headers = app.ask("GET", path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy and "connect-src 'self';" in policy
        assert "unsafe" not in policy and "http" not in policy and "*" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store" and "Access-Control-Allow-Origin" not in headers


def test_the_page_is_made_of_its_own_files_alone(app, repository):
    page = app.ask("GET", "/", token=None).text
    assert "<script>" not in page and "style=" not in page and "http" not in page.replace("http-equiv", "")
    folder = repository / "MeWMLib" / "app" / "static"
    for path in folder.iterdir():
        text = path.read_text(encoding="utf-8")
        assert app.ask("GET", f"/static/{path.name}", token=None).text == text
        assert "innerHTML" not in text and "insertAdjacentHTML" not in text and "document.write" not in text
        assert "eval(" not in text and len(text.splitlines()) < 400
        assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    for name in ("..%2fserver.py", "server.py", "../page.py", "%2e%2e/page.py", "."):
        assert app.ask("GET", f"/static/{name}", token=None).status_code in (400, 403, 404)


def test_start_tells_samples_templates_and_fields(app):
    told = app.get("/app/start")
    assert {one["name"] for one in told["samples"]} == {"lits-117", "synthetic", "synthetic-hcc"}
    ctace = next(one for one in told["templates"] if one["name"] == "ctace")
    dose = {agent["name"]: agent["dose"] for agent in ctace["slots"][0]["agents"]}
    assert dose["Doxorubicin"] == 50 and ctace["slots"][2]["optional"]
    bilirubin = next(one for one in told["fields"] if one["name"] == "bilirubin_mg_per_dl")
    assert bilirubin["kind"] == "number" and bilirubin["others"]
    assert "Research use only" in told["banner"] and set(told["windows"]) == {"liver", "soft", "lipiodol", "bone"}


def test_a_ct_is_opened_as_its_file_holds_it(app, opened, fake):
    assert (opened["state"], opened["name"]) == ("open", "Mueller^Anna.nrrd")
    ct = fake.small_ct()
    voxels = np.frombuffer(app.ask("GET", f"/app/cases/{opened['id']}/voxels").content, "<i2").reshape(SHAPE)
    assert (voxels == ct.array).all() and opened["grid"]["dtype"] == "i2"
    assert np.allclose(np.reshape(opened["grid"]["affine"], (4, 4)), ct.geometry.affine)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".mha", ".nrrd"])
def test_formats_types_and_turned_grids(app, tmp_path, ending):
    """HU with fractions and an oblique, left-handed grid, against what SimpleITK says of the file."""
    rng = np.random.default_rng(3)
    image = sitk.GetImageFromArray(rng.uniform(-900, 900, (5, 6, 7)).astype(np.float32))
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.2, -0.1, 0.3)
    direction = np.reshape(turn.GetMatrix(), (3, 3)) @ np.diag([1, 1, -1])
    image.SetDirection(direction.ravel().tolist())
    image.SetSpacing((0.8, 0.9, 2.5))
    image.SetOrigin((10.0, -20.0, 30.0))
    sitk.WriteImage(image, str(tmp_path / f"x{ending}"))
    one = app.open_files({f"scan{ending}": (tmp_path / f"x{ending}").read_bytes()})
    voxels = np.frombuffer(app.ask("GET", f"/app/cases/{one['id']}/voxels").content, f"<{one['grid']['dtype']}")
    voxels, affine = voxels.reshape(one["grid"]["shape"]), np.reshape(one["grid"]["affine"], (4, 4))
    read = sitk.ReadImage(str(tmp_path / f"x{ending}"))
    for ijk in ((0, 0, 0), (6, 5, 4), (3, 2, 1), (1, 4, 3)):
        ras = (affine @ [*ijk, 1])[:3]
        assert read[read.TransformPhysicalPointToIndex((ras * [-1, -1, 1]).tolist())] == voxels[ijk[::-1]]


def test_a_dicom_folder_with_several_series_is_offered(app, phantom, tmp_path):
    """What is recommended is what the command line recommends."""
    from MeWMLib.core.errors import SeriesError
    from MeWMLib.core.io import read_volume
    from MeWMLib.perception.phase import guess_phase

    files = {}
    for series, name, slices in (("3", "thick", 12), ("5", "thin", 16)):
        phantom.classic(tmp_path / "study" / name, phantom.plain(slices), series=series)
        for path in sorted((tmp_path / "study" / name).iterdir()):
            files[f"study/{name}/{path.name}"] = path.read_bytes()
    one = app.open_files(files)
    assert one["state"] == "choosing" and len(one["choices"]) == 2
    with pytest.raises(SeriesError) as told:
        read_volume(tmp_path / "study", phase_of=guess_phase)
    best = next(choice for choice in one["choices"] if choice["best"])
    assert f"--series {best['key']}," in told.value.remedy
    read = app.do("POST", f"/app/cases/{one['id']}/read", {"series": one["choices"][0]["key"]})
    assert read["state"] == "open" and read["name"] == "study"


def test_what_cannot_be_opened_is_told_with_the_users_names(app, small_files):
    told = app.error("POST", "/app/cases", {"files": []})
    assert told["what"] == "No file was given" and "DICOM folder" in told["remedy"]
    for listed in ([{"name": "a.nii"}], [{"name": 3, "bytes": 1}], [{"name": "a", "bytes": -5}], [{"x": 1}]):
        assert app.ask("POST", "/app/cases", {"files": listed}).status_code in (400, 413)
    assert app.error("POST", "/app/cases", {"files": [{"name": "a", "bytes": 1 << 50}]}, 413)["remedy"]
    assert app.error("POST", "/app/cases", {"sample": "no-such"})["type"] == "SampleError"
    assert app.error("POST", "/app/cases", b"[1, 2")["what"].endswith("cannot be read as JSON")
    listed = [{"name": "Anna.nii.gz", "bytes": 9}]
    one = app.do("POST", "/app/cases", {"files": listed})
    assert app.error("POST", f"/app/cases/{one['id']}/read", {})["given"] == "Anna.nii.gz"
    assert app.error("PUT", f"/app/cases/{one['id']}/files/0", b"more than nine bytes")["what"].startswith(
        "A file is l"
    )
    app.do("PUT", f"/app/cases/{one['id']}/files/0", b"123456789")
    told = app.error("POST", f"/app/cases/{one['id']}/read", {})
    assert told["type"] == "UnreadableFileError" and "Anna.nii.gz" in told["given"]
    for number in ("1", "-1", "x"):
        assert app.ask("PUT", f"/app/cases/{one['id']}/files/{number}", b"1").status_code in (400, 405)
    assert app.error("GET", f"/app/cases/{one['id']}/voxels")["remedy"] == "Open a CT first"
    assert app.error("GET", "/app/cases/nobody")["remedy"].startswith("Open the CT again")


def test_names_of_files_are_never_paths(app, small_files, tmp_path):
    names = ["../../../evil.nrrd", "..\\..\\evil.nrrd", "/etc/passwd.nrrd", "a\u202ecod.nrrd", "x" * 5000 + ".nrrd"]
    before = {path for path in tmp_path.rglob("*") if "app-0" not in path.parts}
    for name in names:
        assert app.open_files({name: small_files["ct.nrrd"]})["state"] == "open"
    assert {path for path in tmp_path.rglob("*") if "app-0" not in path.parts} == before
    assert {path.name for path in app.folder.glob("cases/*/sent/*")} == {"00000.nrrd"}


def test_two_images_at_once_are_refused(app, small_files):
    ct = small_files["ct.nrrd"]
    listed = [{"name": name, "bytes": len(ct)} for name in ("a.nrrd", "b.nrrd")]
    one = app.do("POST", "/app/cases", {"files": listed})
    for number in (0, 1):
        app.do("PUT", f"/app/cases/{one['id']}/files/{number}", ct)
    told = app.error("POST", f"/app/cases/{one['id']}/read", {})
    assert told["given"] == "a.nrrd, b.nrrd" and "one NIfTI" in told["remedy"]


def test_outlines_are_painted_box_by_box(app, opened, small_files, fake):
    case = opened["id"]
    path = f"/app/cases/{case}/outline"
    assert "Find liver" in app.error("GET", path)["remedy"]
    one = app.do("PUT", f"{path}?name=mine.seg.nrrd", small_files["labels.seg.nrrd"])
    truth = fake.small_labels().array
    assert one["outline"]["source"] == "file" and (app.labels(case, SHAPE) == truth).all()
    voxel_ml = 1.5 * 1.5 * 2.0 / 1000
    assert one["outline"]["tumour_ml"] == round((truth == 2).sum() * voxel_ml, 1)
    # where a viewer begins lies in the tumour
    ijk = np.linalg.inv(np.reshape(one["grid"]["affine"], (4, 4))) @ [*one["outline"]["target"], 1]
    assert truth[tuple(np.rint(ijk[2::-1]).astype(int))] == 2
    edition = one["outline"]["edition"]
    painted = np.array([[[2, 0, 1]], [[1, 2, 2]]], np.uint8)
    asked = f"{path}?box=1,3,4,5,6,9&edition={edition}"
    one = app.do("PATCH", asked, painted.tobytes())
    expected = truth.copy()
    expected[1:3, 4:5, 6:9] = painted
    assert (app.labels(case, SHAPE) == expected).all() and one["outline"]["source"] == "you"
    # the other tab still has the edition before
    told = app.error("PATCH", asked, painted.tobytes())
    assert told["type"] == "OutdatedError" and (app.labels(case, SHAPE) == expected).all()
    edition = one["outline"]["edition"]
    for box, values in (
        ("1,3,4,5,6,9", b"\0" * 5),
        ("1,3,4,5,6,9", b"\3" * 6),
        ("3,1,4,5,6,9", b"\0" * 6),
        ("11,13,4,5,6,9", b"\0" * 6),
        ("1,3,4,5,6", b"\0" * 6),
        ("1,3,4,5,6,nine", b"\0" * 6),
        ("-1,1,4,5,6,9", b"\0" * 6),
    ):
        app.error("PATCH", f"{path}?box={box}&edition={edition}", values)
    assert (app.labels(case, SHAPE) == expected).all()


def test_labels_of_another_scan_or_of_none_are_refused(app, opened, tmp_path):
    image = sitk.GetImageFromArray(np.ones((4, 4, 4), np.uint8))
    sitk.WriteImage(image, str(tmp_path / "other.nrrd"))
    path = f"/app/cases/{opened['id']}/outline"
    told = app.error("PUT", f"{path}?name=theirs.nrrd", (tmp_path / "other.nrrd").read_bytes())
    assert told["type"] == "GeometryMismatchError" and "theirs.nrrd" in told["given"]
    assert app.error("PUT", f"{path}?name=../../x.nrrd", b"nothing")["type"] == "UnreadableFileError"
    assert app.error("PUT", f"{path}?name=x.txt", b"nothing")["what"]
    assert app.get(f"/app/cases/{opened['id']}")["outline"] is None


def test_the_form_is_answered_as_it_is_filled_in(app, opened):
    path = f"/app/cases/{opened['id']}/form"
    form = {
        "clinical": {"child_pugh_class": "C", "ascites": "", "bilirubin_umol_per_l": 30},
        "goal": "prefer LC beads, no doxorubicin",
        "protocol": "Doxorubicin 50 mg + Lipiodol 10 ml",
    }
    told = app.do("PUT", path, form)
    assert told["clinical"] is None and "Doxorubicin" in " ".join(told["goal"]["lines"])
    assert told["goal"]["questions"] and told["protocol"]["forbidden"]
    assert {"goal-excludes"} <= {one["rule"] for one in told["protocol"]["rules"]}
    assert told["patient"][0]["severity"] == "forbidden"
    # a page that is loaded anew finds what was written
    assert app.get(f"/app/cases/{opened['id']}")["form"] == form
    told = app.do("PUT", path, {"clinical": {"ecog": 77}, "goal": "", "protocol": "Aspirin 5 mg"})
    assert told["clinical"]["type"] == "ClinicalDataError" and told["protocol"]["error"]["type"] == "UnknownAgentError"
    assert told["goal"] == {"lines": [], "questions": [], "error": None}
    assert app.do("PUT", path, {"goal": "x" * 100_000})["goal"]["error"]["what"]
    assert app.do("PUT", path, {"clinical": [1]})["clinical"]["type"] == "ClinicalDataError"
    told = app.do("PUT", path, {"target": "the big one", "territory": "left kidney"})
    assert [one["type"] for one in told["session"]] == ["TargetError", "TerritoryError"]
    assert app.do("PUT", path, {"target": "largest", "territory": "right lobe"})["session"] == []
    assert app.do("PUT", path, {})["protocol"] is None


def test_jobs_need_what_they_are_about(app, opened):
    path = f"/app/cases/{opened['id']}/runs"
    assert app.error("POST", path, {"kind": "rm"})["what"].startswith("The app starts no jobs")
    for kind in ("simulate", "plan", "assess"):
        assert app.error("POST", path, {"kind": kind, "protocol": "Lipiodol"})["remedy"].startswith("Find liver")
    assert app.error("GET", f"{path}/nothing")["what"] == "The case has no such result"
    assert app.get("/jobs") == {"jobs": []}


def test_a_case_from_its_ct_to_results_and_files(app, opened, fake):
    """Find, simulate, search, judge and take home, over the small world."""
    case = opened["id"]
    runs = f"/app/cases/{case}/runs"
    run = app.do("POST", runs, {"kind": "segment"})["id"]
    told = app.finished(case, run)
    assert told["final"]["kind"] == "result" and told["outline"]["source"] == "assistant"
    labels = app.labels(case, SHAPE)
    assert set(np.unique(labels)) == {0, 1, 2} and not (labels[4] == 2).any()  # as the small world segments

    assert app.error("POST", runs, {"kind": "simulate"})["what"] == "No protocol was given"
    app.do("PUT", f"/app/cases/{case}/form", {"target": "largest", "goal": "no cisplatin"})
    run = app.do("POST", runs, {"kind": "simulate", "protocol": "Epirubicin 50 mg + Lipiodol 10 ml"})["id"]
    told = app.finished(case, run)
    assert told["final"]["kind"] == "result", told["final"]
    plan = json.loads((app.folder / "cases" / case / "runs" / run / "plan.json").read_text())
    assert plan["asked"]["target"] == "largest" and plan["goal"] == "no cisplatin"
    (first,) = told["plan"]["candidates"]
    assert first["shown"] and first["sd"] and told["plan"]["kind"] == "named"
    assert told["plan"]["cautions"][0].startswith("Do not trust the predicted outcome of a protocol for a real patient")
    assert " to " in first["interval"], "how far it may be off stands beside the risk"
    assert first["named"] == "your protocol" and first["apart"] == ""
    shown = {}
    for what, dtype in (("ct", "<i2"), ("labels", np.uint8), ("sd", "<f4")):
        content = app.ask("GET", f"{runs}/{run}/volumes/1/{what}").content
        shown[what] = np.frombuffer(content, dtype).reshape(SHAPE)
    written = sitk.ReadImage(str(app.folder / "cases" / case / "runs" / run / "simulated_01.nrrd"))
    assert (shown["ct"] == sitk.GetArrayFromImage(written)).all()
    changed = shown["ct"] != fake.small_ct().array
    assert changed.any() and not changed[labels != 2].any() and (shown["sd"][labels == 2] > 0).all()
    for wrong in ("2/ct", "1/mask", "1/..%2fct", "x/ct"):
        assert app.ask("GET", f"{runs}/{run}/volumes/{wrong}").status_code in (400, 404)

    searched = app.do("POST", runs, {"kind": "plan", "settings": {"drugs": 2, "keep": 2}})["id"]
    told = app.finished(case, searched)
    ranks = [one["rank"] for one in told["plan"]["candidates"]]
    risks = [one["log_risk"] for one in told["plan"]["candidates"]]
    assert ranks == list(range(1, len(ranks) + 1)) and len(ranks) > 2 and risks == sorted(risks)
    assert [one["shown"] for one in told["plan"]["candidates"]][:3] == [True, True, False]
    assert [one["named"] for one in told["plan"]["candidates"]][:2] == ["rank 1", "rank 2"]
    assert "rank 1 is better with a probability of" in told["plan"]["candidates"][1]["apart"]
    one = app.get(f"/app/cases/{case}")
    assert one["changed"][searched] == [] == one["changed"][run]
    # told while it is typed, of every result, and no longer where it is as it was
    form = f"/app/cases/{case}/form"
    for goal, told_of in (("prefer LC beads", ["the goal"]), ("no cisplatin", [])):
        changed = app.do("PUT", form, {"target": "largest", "goal": goal})["changed"]
        assert changed[run] == told_of == changed[searched]
    painted = app.do("PATCH", f"/app/cases/{case}/outline?box=5,6,6,7,7,8&edition={told['outline']['edition']}", b"\1")
    assert painted["changed"][searched] == ["the outline"] == painted["changed"][run]

    made = app.do("POST", f"{runs}/{searched}/exports", {"kind": "result"})
    made = _made(app, made)
    answer = app.ask("GET", f"/app/exports/{made['id']}/file")
    assert 'filename="mewm-result.zip"' in answer.headers["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist()}
        plan = archive.read("mewm-plan/plan.json")
    assert {"plan.json", "pre.nrrd", "simulated_01.nrrd", "simulated_02.nrrd", "ranking.csv"} <= names
    assert b"Mueller^Anna.nrrd" in plan
    assert app.error("POST", f"{runs}/{searched}/exports", {"kind": "exe"})["remedy"] == "Use result, report, dicom"
    assert app.error("GET", "/app/exports/nothing")["what"]

    # all of it goes with the case
    app.do("DELETE", f"/app/cases/{case}")
    assert app.error("GET", f"/app/cases/{case}")["what"].startswith("There is no such case")
    assert app.get("/jobs")["jobs"] == [] and not (app.folder / "cases" / case).exists()


def _made(app, made: dict, state: str = "done") -> dict:
    until = time.monotonic() + 60
    while made["state"] == "running":
        assert time.monotonic() < until
        time.sleep(0.05)
        made = app.get(f"/app/exports/{made['id']}")
    assert made["state"] == state, made
    return made


def test_reports_fail_and_stop_in_words(start_app, small_files, script_of):
    import sys

    app = start_app(scene=[sys.executable, "-c", script_of("error")])
    case = app.open_files({"a.nrrd": small_files["ct.nrrd"]})["id"]
    app.do("PUT", f"/app/cases/{case}/outline?name=l.seg.nrrd", small_files["labels.seg.nrrd"])
    asked = {"kind": "simulate", "protocol": "Epirubicin 50 mg + Lipiodol 10 ml"}
    run = app.do("POST", f"/app/cases/{case}/runs", asked)["id"]
    app.finished(case, run)
    made = _made(app, app.do("POST", f"/app/cases/{case}/runs/{run}/exports", {"kind": "report"}), "failed")
    assert made["error"]["what"] == "No pictures"
    app.app.state.exports._command = [sys.executable, "-c", script_of("sleep")]
    made = app.do("POST", f"/app/cases/{case}/runs/{run}/exports", {"kind": "report"})
    assert app.do("POST", f"/app/exports/{made['id']}/cancel")["state"] == "cancelled"
    assert app.error("GET", f"/app/exports/{made['id']}/file")["given"] == "cancelled"


@pytest.fixture
def script_of():
    error = {"type": "MeWMError", "what": "No pictures", "given": "", "remedy": ""}
    scripts = {
        "error": f"import json; print(json.dumps({{'version': 1, 'kind': 'error', 'data': {error!r}}}))",
        "sleep": "import time; time.sleep(60)",
    }
    return scripts.__getitem__


def test_a_job_that_fails_says_why_and_may_be_insisted_on(app, opened, small_files):
    case = opened["id"]
    app.do("PUT", f"/app/cases/{case}/outline?name=l.seg.nrrd", small_files["labels.seg.nrrd"])
    app.do("PUT", f"/app/cases/{case}/form", {"clinical": {"allergies": ["Doxorubicin"]}})
    asked = {"kind": "simulate", "protocol": "Doxorubicin 50 mg + Lipiodol 10 ml"}
    told = app.finished(case, app.do("POST", f"/app/cases/{case}/runs", asked)["id"])
    assert told["final"]["kind"] == "error" and told["final"]["data"]["type"] == "ForbiddenProtocolError", told["final"]
    insisted = {**asked, "accept": ["allow_forbidden", "no_such_consent"]}
    told = app.finished(case, app.do("POST", f"/app/cases/{case}/runs", insisted)["id"])
    assert told["final"]["kind"] == "result" and "allerg" in told["plan"]["candidates"][0]["forbidden"]


def test_a_ct_after_treatment_belongs_to_its_case(app, opened, small_files):
    case = opened["id"]
    after = app.open_files({"later.nrrd": small_files["ct.nrrd"]}, after_of=case)
    told = app.get(f"/app/cases/{case}")
    assert told["after"]["id"] == after["id"] and told["after"]["name"] == "later.nrrd"
    assert [one["id"] for one in app.get("/app/cases")["cases"]] == [case]
    app.do("PUT", f"/app/cases/{case}/outline?name=l.seg.nrrd", small_files["labels.seg.nrrd"])
    run = app.do("POST", f"/app/cases/{case}/runs", {"kind": "assess", "accept": ["accept_registration"]})["id"]
    told = app.finished(case, run)
    # whatever is said of so small a scan, it was this one that was judged
    assert told["final"]["kind"] in ("result", "error") and told["kind"] == "assess"
    assert app.error("POST", "/app/cases", {"files": [{"name": "x", "bytes": 1}], "after_of": "nobody"})["what"]
    app.do("DELETE", f"/app/cases/{case}")
    assert app.error("GET", f"/app/cases/{after['id']}")["what"]


def test_a_kept_folder_is_taken_up_again(start_app, small_files, tmp_path):
    first = start_app(folder=tmp_path / "kept")
    case = first.open_files({"a.nrrd": small_files["ct.nrrd"]})["id"]
    first.do("PUT", f"/app/cases/{case}/outline?name=l.seg.nrrd", small_files["labels.seg.nrrd"])
    run = first.do("POST", f"/app/cases/{case}/runs", {"kind": "segment"})["id"]
    first.finished(case, run)
    former = first.get(f"/app/cases/{case}")
    half = first.do("POST", "/app/cases", {"files": [{"name": "b.nrrd", "bytes": 9}]})["id"]
    first.stop()
    second = start_app(folder=tmp_path / "kept")
    assert second.get(f"/app/cases/{case}") == former
    # what was half sent is not
    assert second.error("GET", f"/app/cases/{half}") and not (tmp_path / "kept" / "cases" / half).exists()
    assert second.get(f"/app/cases/{case}/runs/{run}")["final"]["kind"] == "result"


def test_the_ranking_grows_while_a_search_goes_on_and_stays_when_it_is_stopped(start_app, small_files, monkeypatch):
    monkeypatch.setenv("MEWM_FAKE", "slow")
    app = start_app()
    case = app.open_files({"a.nrrd": small_files["ct.nrrd"]})["id"]
    app.do("PUT", f"/app/cases/{case}/outline?name=l.seg.nrrd", small_files["labels.seg.nrrd"])
    run = app.do("POST", f"/app/cases/{case}/runs", {"kind": "plan"})["id"]
    until, seen = time.monotonic() + 60, []
    while not seen:
        told = app.get(f"/app/cases/{case}/runs/{run}")
        assert told["state"] != "ended" and time.monotonic() < until
        seen = told["plan"]["candidates"] if told["plan"] else []
        time.sleep(0.05)
    # numbers are there before any volume is
    assert seen[0]["rank"] == 1 and not seen[0]["shown"] and isinstance(seen[0]["log_risk"], float)
    assert app.get(f"/app/cases/{case}")["runs"][0]["final"] is None
    app.do("POST", f"/jobs/{run}/cancel")
    told = app.finished(case, run)
    assert (
        told["plan"]["stopped"]
        and len(told["plan"]["candidates"]) >= len(seen)
        and told["plan"]["candidates"][0]["shown"]
    )
