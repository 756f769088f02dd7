"""Nothing of a person leaves: consent, the bytes of whole recorded requests, the audit file, the filters."""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.core import io
from MeWMLib.core.errors import EndpointConsentError, PrivacyError, UnreadableFileError
from MeWMLib.core.folders import data_folder
from MeWMLib.core.patient import Clinical, Patient
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.records import to_plain
from MeWMLib.core.volume import Volume
from MeWMLib.perception.findings import measure
from MeWMLib.policy.choose import ChosenPolicy
from MeWMLib.policy.llm import privacy, report_reader
from MeWMLib.policy.llm.endpoints import ENDPOINTS_FILE, Endpoint
from MeWMLib.policy.llm.images import png_chunks, slices_png
from MeWMLib.policy.llm.language_model import LanguageModelPolicy
from MeWMLib.policy.proposal import PolicyInput

from .conftest import chat, reply

SETTINGS = PlanSettings()
NAME, ID, DATE, BIRTH = "Musterfrau", "4711081599", "20240229", "1931-07-05"


def add_endpoint(endpoint: Endpoint) -> None:
    (data_folder() / ENDPOINTS_FILE).parent.mkdir(parents=True, exist_ok=True)
    (data_folder() / ENDPOINTS_FILE).write_text(json.dumps({"endpoints": [to_plain(endpoint)]}), encoding="utf-8")


def write_dicom(folder: Path, volume: Volume) -> None:
    """The CT as a DICOM series that is full of names, ids and dates."""
    import SimpleITK as sitk

    image = io.to_sitk(volume)
    folder.mkdir()
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(image.GetSize()[2]):
        part = image[:, :, k]
        position = image.TransformIndexToPhysicalPoint((0, 0, k))
        tags = {
            "0010|0010": f"{NAME}^Erika", "0010|0020": ID, "0008|0020": DATE, "0008|0021": DATE,
            "0010|0030": "19310705",
            "0008|0090": "Dr^Hibbert", "0008|0080": "Springfield General", "0008|0050": "ACC998877",
            "0008|0060": "CT", "0020|000d": "1.2.826.0.1.3680043.99.1", "0020|000e": "1.2.826.0.1.3680043.99.1.2",
            "0008|0018": f"1.2.826.0.1.3680043.99.1.2.{k + 1}", "0020|0013": str(k + 1), "0020|0011": "1",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2", "0020|0032": "\\".join(f"{c:.5f}" for c in position),
            "0020|0037": "1\\0\\0\\0\\1\\0", "0018|0050": "4", "0028|1052": "0", "0028|1053": "1",
        }  # fmt: skip
        for tag, value in tags.items():
            part.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{k:03d}.dcm"))
        writer.Execute(part)


def everything_in(request: bytes) -> bytes:
    """A request with its pictures unpacked: the bytes of each PNG, and its pixels."""
    whole = re.sub(rb"(data:image/png;base64,)[A-Za-z0-9+/=]+", rb"\1", request)
    for data in re.findall(rb"data:image/png;base64,([A-Za-z0-9+/=]+)", request):
        png = base64.b64decode(data)
        start = png.index(b"IDAT")
        size = int.from_bytes(png[start - 4 : start], "big")
        whole += png + zlib.decompress(png[start + 4 : start + 4 + size])
    return whole


def test_no_name_id_date_place_or_path_in_any_byte_of_what_is_sent(server, ct, tmp_path):
    """From a DICOM series full of them, through the whole way of a job, to the recorded requests."""
    volume, labels = ct
    folder = tmp_path / f"{NAME}_{ID}_{DATE}"
    write_dicom(folder, volume)
    read = io.read_volume(folder)
    assert read.array.shape == volume.array.shape
    labels = replace(labels, geometry=read.geometry)
    clinical = Clinical(age_years=92.6, child_pugh_class="A", afp_ng_per_ml=412.5)
    patient = Patient("case-abcdef123456", read, labels, measure(read, labels), clinical)
    first = Endpoint("one", server.url, "m", images=True, requests_per_minute=6000)
    second = Endpoint("two", server.url, "n", images=False, requests_per_minute=6000)
    (data_folder() / ENDPOINTS_FILE).parent.mkdir(parents=True, exist_ok=True)
    both = {"endpoints": [to_plain(first), to_plain(second)]}
    (data_folder() / ENDPOINTS_FILE).write_text(json.dumps(both), encoding="utf-8")
    privacy.grant(first)
    privacy.grant(second)
    server.script = [reply(200, chat("bad")), server.script[0]]
    ChosenPolicy("llm:one+two").propose(patient, "longest survival", SETTINGS)
    assert len(server.requests) == 3, "proposer, proposer again, refiner"
    assert b"data:image/png;base64," in server.requests[0]
    position = patient.findings.lesions[0].centre_ras_mm
    private = [NAME, "Erika", ID, DATE, BIRTH, "19310705", "Hibbert", "Springfield", "ACC998877", "1.2.826", "92.6",
               "abcdef123456", str(tmp_path), tmp_path.name, "DICM", "123.45", "98.76", "1234.5",
               f"{position[2]:.1f}"]  # fmt: skip
    for request in server.requests:
        whole = everything_in(request).lower()
        for text in private:
            assert text.lower().encode() not in whole, text
        for data in re.findall(rb"data:image/png;base64,([A-Za-z0-9+/=]+)", request):
            assert png_chunks(base64.b64decode(data)) == [b"IHDR", b"IDAT", b"IEND"]
        head = request.split(b"\n\n", 1)[0].decode().lower()
        assert "cookie" not in head and "user-agent: mewm" in head and "referer" not in head
    assert b"90 or older" in server.requests[0] and b"afp_ng_per_ml: 412.5" in server.requests[0]


def test_the_test_above_would_find_them(server, ct):
    """The same search finds a name in a header, a text and a picture's metadata."""
    png = slices_png(*ct, 1)[0]
    hidden = png[:33] + b"\x00\x00\x00\x12tEXtPatient\x00Musterfrau\x00\x00\x00\x00" + png[33:]
    body = b'{"url":"data:image/png;base64,' + base64.b64encode(hidden) + b'"}'
    assert b"musterfrau" in everything_in(body).lower() and b"musterfrau" not in body.lower()


def test_the_preview_is_what_is_sent_byte_by_byte(server, client, case):
    policy = LanguageModelPolicy(client())
    shown = policy.request(case, SETTINGS)
    assert server.requests == []
    policy.propose(case, SETTINGS)
    assert server.requests[0].endswith(shown) and json.loads(shown) == server.bodies[0]


@pytest.mark.parametrize(
    "text",
    ["seen on 2024-02-29", "born 5.7.1931", "on 29 February 2024", "Feb 29, 2024", "march 2023", "20240229",
     "MRN 12345", "patient id: A7", "HCC_009", "1234567", "1.2.840.10008.5.1.4", "a.b@example.org", "Mrs Musterfrau",
     "Dr. Li wants beads", "patient: Erika", "named: X", "call +49 30 1234 5678",
     "see C:\\scans\\x", "/home/me/ct.nrrd",
     "surgeon = Who"],
)  # fmt: skip
def test_a_goal_with_a_name_id_or_date_is_refused_and_not_quoted(server, client, case, text):
    with pytest.raises(PrivacyError, match="the goal holds what looks like") as found:
        LanguageModelPolicy(client()).propose(replace(case, goal=f"no cisplatin, {text}"), SETTINGS)
    assert text not in str(found.value) and server.requests == []
    assert not privacy._COMPILED[0][1].search(privacy.masked(text))


@pytest.mark.parametrize(
    "goal",
    ["longest survival, few side effects", "no cisplatin; prefer LC beads 100-300 um", "may use 5-FU, up to 2 drugs",
     "dose below 50 mg in 10 ml, segment S8", "avoid doxorubicin since the patient is frail",
     "after 2 TACE, 3 months ago"],
)  # fmt: skip
def test_ordinary_goals_pass(goal):
    assert privacy.require_clean(goal, "the goal") == goal


def test_a_goal_that_is_too_long_is_refused():
    with pytest.raises(PrivacyError, match="too long"):
        privacy.require_clean("a " * 20_000, "the goal")


def test_a_picture_with_more_than_pixels_is_refused(server, client, case, ct):
    png = slices_png(*ct, 1)[0]
    hidden = png[:33] + b"\x00\x00\x00\x01tEXtA\x00\x00\x00\x00" + png[33:]
    for bad in (hidden, b"\xff\xd8\xff\xe0 jpeg", png + b"tail", b""):
        with pytest.raises(PrivacyError, match="more than pixels"):
            LanguageModelPolicy(client()).propose(replace(case, images=(bad,)), SETTINGS)
    assert server.requests == [] and png_chunks(png) == [b"IHDR", b"IDAT", b"IEND"]


def test_consent_is_for_one_address_and_model_and_can_be_taken_back(client):
    asked = client(allowed=False).endpoint
    with pytest.raises(EndpointConsentError, match="nothing was sent"):
        privacy.require_consent(asked)
    privacy.grant(asked)
    privacy.require_consent(asked)
    for other in (replace(asked, model="larger"), replace(asked, url=asked.url + "/other")):
        with pytest.raises(EndpointConsentError):
            privacy.require_consent(other)
    privacy.require_consent(replace(asked, name="renamed", timeout_s=9.0))
    assert privacy.revoke(asked) and not privacy.revoke(asked)
    with pytest.raises(EndpointConsentError):
        privacy.require_consent(asked)


def test_a_broken_file_of_consents_agrees_to_nothing(client):
    asked = client().endpoint
    (data_folder() / privacy.CONSENT_FILE).write_text("{", encoding="utf-8")
    with pytest.raises(UnreadableFileError, match="consents cannot be read"):
        privacy.require_consent(asked)


def test_the_audit_says_when_to_whom_and_how_much_and_nothing_else(server, client, case):
    server.script = [reply(500, b""), server.script[0]]
    LanguageModelPolicy(client()).propose(case, SETTINGS)
    lines = privacy.read_audit()
    assert [line["outcome"] for line in lines] == ["500", "200"] and lines[1]["prompt_tokens"] == 120
    assert set(lines[1]) == {"time", "endpoint", "host", "model", "bytes", "sha256", "outcome", "seconds",
                             "prompt_tokens", "completion_tokens"}  # fmt: skip
    assert lines[0]["bytes"] == len(json.dumps(server.bodies[0], separators=(",", ":")))
    text = (data_folder() / privacy.AUDIT_FILE).read_text(encoding="utf-8")
    # a checksum and a port may hold any digits by chance
    shown = re.sub(r'"(?:sha256|host)": ?"[^"]*"', "", text)
    for content in ("survival", "Epirubicin", "afp", "412", "lesion", "base64"):
        assert content not in shown
    (data_folder() / privacy.AUDIT_FILE).write_text(text + '{"other": 1}\nhalf a li', encoding="utf-8")
    assert len(privacy.read_audit()) == 2


def test_of_a_report_only_what_was_given_is_sent(server, client):
    report = (
        f"Patient: {NAME}, MRN {ID}, born {BIRTH}.\nOperator: Dr. Hibbert.\n"
        "On 29 February 2024 Cisplatin 60 mg was infused by Dr. Hibbert; "
        "no tumour staining on the final angiography.\n"
        "Discharged 2024-03-02."
    )
    given = [{"agent": "Cisplatin", "dose": 50, "route": "infused"}, {"agent": "Lipiodol", "dose": None, "route": None}]
    answer = {"administrations": given, "attenuation_level": 4}
    server.script = [reply(200, chat(answer))]
    reading = report_reader.second_reading(client(), report)
    assert reading.differences == ("Cisplatin: dose 60.0, the model says 50.0", "Lipiodol: only the model names it")
    for text in (NAME, ID, BIRTH, "Hibbert", "2024", "Discharged"):
        assert text.encode() not in server.requests[0], text
    assert b"Cisplatin 60 mg was infused" in server.requests[0] and b"final angiography" in server.requests[0]
    assert server.requests[0].endswith(report_reader.request(client(), report))


def test_pictures_are_slices_with_most_tumour_windowed_cropped_and_square(ct):
    import io as text_io

    from PIL import Image

    volume, labels = ct
    pictures = slices_png(volume, labels, 2)
    assert len(pictures) == 2
    image = np.asarray(Image.open(text_io.BytesIO(pictures[0])))
    liver = np.argwhere(labels.array > 0)
    size_mm = (liver.max(0) - liver.min(0) + 1)[1:] * 1.5 + 2 * 10.0
    assert image.ndim == 2 and np.abs(np.array(image.shape) * 1.5 - size_mm).max() <= 3.0 + 1e-6
    # the window is 450 HU wide around 125: the liver (60 HU) is darker than the tumour (110 HU), -100 HU is black
    assert image.min() < 30 and abs(np.median(image[image > 60]) - 255 * (60 + 100) / 450) < 8
    bright = np.argwhere(image > 105).mean(0) - np.array(image.shape) / 2
    # patient's right is on the left: in this array i runs to the right side of the patient, and the tumour lies there
    tumour = np.argwhere(labels.array == 2).mean(0)
    assert tumour[2] < liver.mean(0)[2]
    ras = volume.geometry.to_ras(tumour) - volume.geometry.to_ras(liver.mean(0))
    assert np.sign(bright[1]) == -np.sign(ras[0])
    assert np.sign(bright[0]) == -np.sign(ras[1]), "the front is up"


def test_the_pictures_do_not_depend_on_how_the_array_lies(ct):
    """The same patient stored with turned and swapped axes gives the same bytes."""
    from MeWMLib.core.volume import Geometry, LabelMap

    volume, labels = ct
    shape = volume.geometry.shape
    affine = np.array(volume.geometry.affine)
    turned = affine.copy()
    turned[:3, 3] = affine[:3, 3] + affine[:3, 0] * (shape[2] - 1) + affine[:3, 2] * (shape[0] - 1)
    turned[:3, 0], turned[:3, 2] = -affine[:3, 0], -affine[:3, 2]
    geometry = Geometry(shape, turned)
    other = Volume(volume.array[::-1, :, ::-1].copy(), geometry), LabelMap(labels.array[::-1, :, ::-1].copy(), geometry)
    assert slices_png(*other, 3) == slices_png(volume, labels, 3)
    swapped = affine[:, [0, 2, 1, 3]]
    geometry = Geometry((shape[1], shape[0], shape[2]), swapped)
    other = (
        Volume(volume.array.transpose(1, 0, 2).copy(), geometry),
        LabelMap(labels.array.transpose(1, 0, 2).copy(), geometry),
    )
    assert slices_png(*other, 3) == slices_png(volume, labels, 3)


def test_no_liver_no_picture_and_a_count_out_of_range_is_refused(ct):
    from MeWMLib.core.errors import PlanSettingsError

    volume, labels = ct
    empty = labels.__class__(np.zeros_like(labels.array), labels.geometry)
    assert slices_png(volume, empty, 3) == ()
    only_liver = labels.__class__(np.minimum(labels.array, 1), labels.geometry)
    assert len(slices_png(volume, only_liver, 3)) == 3
    for count in (0, 13):
        with pytest.raises(PlanSettingsError, match="between 1 and 12"):
            slices_png(volume, labels, count)


def test_an_endpoint_without_pictures_is_sent_none(server, client, case: PolicyInput):
    LanguageModelPolicy(client(images=False)).propose(case, SETTINGS)
    assert b"image" not in server.requests[0].split(b"\n\n", 1)[1]
    assert b"No picture is given" in server.requests[0]


def test_a_chosen_endpoint_is_found_by_its_name(server, ct):
    volume, labels = ct
    made = Endpoint("mine", server.url, "m", images=True)
    add_endpoint(made)
    patient = Patient("p", volume, labels, measure(volume, labels))
    data = json.loads(ChosenPolicy("llm:mine").preview(patient, "", SETTINGS))
    assert data["model"] == "m" and len(data["messages"][1]["content"]) == 4 and server.requests == []


def test_a_density_that_is_not_known_is_said_to_be_so() -> None:
    from MeWMLib.core.patient import Findings
    from MeWMLib.policy.llm.language_model import findings_lines

    assert findings_lines(Findings(800.0, None, ())).startswith("liver 800 ml, density not known\n")
    assert findings_lines(Findings(800.0, 101.4, ())).startswith("liver 800 ml, 101 HU\n")
