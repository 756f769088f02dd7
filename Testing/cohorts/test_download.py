"""Downloading: the real index that idc-index brings, and a transfer that is played from a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from MeWMLib.core.errors import CohortError, DependencyError, InputError, OutputError
from MeWMLib.lab.public import download as idc
from MeWMLib.lab.public.download import LICENCE, MB, STATE, RemoteSeries, catalogue, download, select, verify

NAME = "hcc-tace-seg"


@pytest.fixture
def bucket(phantom, tmp_path: Path) -> dict[str, tuple[RemoteSeries, Path]]:
    """Three series of two patients as a store far away would hold them."""
    found = {}
    for patient, number in (("A", 3), ("A", 4), ("B", 3)):
        one = phantom.Series(phantom.trunk()[0][:3], patient=patient, name=patient, number=number)
        place = one.write(tmp_path / "bucket" / f"{patient}{number}")
        size = sum(p.stat().st_size for p in place.iterdir()) / MB
        uid = one.uid(number)
        found[uid] = (
            RemoteSeries(
                "hcc_tace_seg", patient, one.uid(), uid, "CT", 3, round(size, 6), "CC BY 4.0", "10.1/x", False
            ),
            place,
        )
    return found


class Store:
    """Copies series from the bucket; `breaks` lists faults by the number of the call."""

    def __init__(self, bucket, breaks=None) -> None:
        self.bucket, self.breaks, self.calls = bucket, breaks or {}, []

    def __call__(self, uids: Sequence[str], folder: Path) -> None:
        self.calls.append(list(uids))
        trouble = self.breaks.get(len(self.calls))
        if isinstance(trouble, type):
            raise trouble
        for uid in uids:
            series, place = self.bucket[uid]
            shutil.copytree(place, folder / series.folder, dirs_exist_ok=True)
        if trouble is not None:
            trouble(folder)


def wanted(bucket) -> list[RemoteSeries]:
    return [series for series, _ in bucket.values()]


def test_what_arrived_is_checked_and_not_fetched_again(bucket, tmp_path):
    out, store, steps = tmp_path / "out", Store(bucket), []
    assert download(NAME, wanted(bucket), out, store, lambda *a: steps.append(a)) == []
    assert [len(call) for call in store.calls] == [2, 1]  # patient by patient
    assert steps[0][2] == "A" and steps[-1][0] == pytest.approx(steps[-1][1])
    text = (out / LICENCE).read_text()
    assert "CC BY 4.0" in text and "Moawad" in text and "10.1/x" in text
    assert download(NAME, wanted(bucket), out, store) == [] and len(store.calls) == 2
    assert verify(out, NAME) == []
    path = next((out / wanted(bucket)[0].folder).iterdir())
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # same size: only the checksum sees it
    path.write_bytes(content)
    lines: list[str] = []
    assert verify(out, NAME, lines.append) == [wanted(bucket)[0].series] and "changed" in lines[0]


def test_a_download_that_stopped_goes_on(bucket, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        download(NAME, wanted(bucket), out, Store(bucket, {2: KeyboardInterrupt}))
    store = Store(bucket)
    assert download(NAME, wanted(bucket), out, store) == []
    assert [[bucket[uid][0].patient for uid in call] for call in store.calls] == [["B"]]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "2 of 3 files"),
        (lambda path: path.write_bytes(path.read_bytes()[:-4]), "cut"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "MB arrived"),
        (lambda path: path.write_bytes(b"<html>" + b" " * (path.stat().st_size - 6)), "not a file of this series"),
    ],
)
def test_a_series_that_is_not_whole_is_named_and_tried_again(bucket, tmp_path, spoil, reason):
    out, series, lines = tmp_path / "out", wanted(bucket), []

    def fault(folder: Path) -> None:
        spoil(sorted((folder / series[0].folder).iterdir())[0])

    assert download(NAME, series, out, Store(bucket, {1: fault}), None, lines.append) == [series[0].series]
    assert len(lines) == 1 and reason in lines[0]
    store = Store(bucket)
    assert download(NAME, series, out, store) == [] and store.calls == [[series[0].series]]


def test_a_client_that_fails_on_one_patient_ends_nothing(bucket, tmp_path):
    lines: list[str] = []
    failed = download(NAME, wanted(bucket), tmp_path / "out", Store(bucket, {1: OSError}), None, lines.append)
    assert len(failed) == 2 and all("0 of 3 files" in line and "OSError" in line for line in lines)


def test_no_room_another_collection_and_a_broken_record(bucket, tmp_path):
    big = [replace(wanted(bucket)[0], size_mb=1e12)]
    with pytest.raises(OutputError, match="no room"):
        download(NAME, big, tmp_path / "out", Store(bucket))
    with pytest.raises(CohortError, match="no download"):
        verify(tmp_path / "nothing", NAME)
    (tmp_path / "out" / STATE).write_text(json.dumps({"collection": "other", "series": {}}))
    with pytest.raises(CohortError, match="another collection"):
        download(NAME, wanted(bucket), tmp_path / "out", Store(bucket))
    (tmp_path / "out" / STATE).write_text("{")
    with pytest.raises(CohortError, match="cannot be read"):
        download(NAME, wanted(bucket), tmp_path / "out", Store(bucket))


def test_the_index_knows_the_collection():
    """The bundled index itself: sizes and licence before anything is fetched."""
    pytest.importorskip("idc_index_data")
    series = catalogue(NAME)
    people = select(series)
    assert len({one.patient for one in series}) == 105 and not any(one.by_program for one in people)
    assert {one.licence for one in people} == {"CC BY 4.0"}
    assert sum(one.modality == "CT" for one in people) == 572 and sum(one.modality == "SEG" for one in people) == 105
    assert 25 < sum(one.size_mb for one in people) / 1000 < 32
    (first, *_) = select(series, ["HCC_009"])
    assert first.patient == "HCC_009" and len(select(series, ["HCC_009"], True)) == 10
    with pytest.raises(InputError, match="no such patient"):
        select(series, ["HCC_999"])
    with pytest.raises(InputError, match="no such collection"):
        catalogue("lung")


def test_the_real_client_is_asked_for_resumable_transfers(monkeypatch, tmp_path):
    """No network here: the client's own method is replaced, its class and signature are the real ones."""
    idc_index = pytest.importorskip("idc_index")
    import inspect

    asked: list[dict] = []
    signature = inspect.signature(idc_index.IDCClient.download_from_selection)
    monkeypatch.setattr(idc_index.IDCClient, "__init__", lambda self: None)  # it would read the whole index

    def record(self, **arguments):
        signature.bind(self, **arguments)
        asked.append(arguments)

    monkeypatch.setattr(idc_index.IDCClient, "download_from_selection", record)
    transfer = idc.idc_transfer()
    transfer(["1.2", "1.3"], tmp_path)
    assert asked[0]["seriesInstanceUID"] == ["1.2", "1.3"] and asked[0]["use_s5cmd_sync"] is True
    assert asked[0]["dirTemplate"] == "%collection_id/%PatientID/%StudyInstanceUID/%Modality_%SeriesInstanceUID"


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    import builtins

    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("idc_index"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    for ask in (idc.idc_transfer, lambda: catalogue(NAME)):
        with pytest.raises(DependencyError, match=r"\[download\]"):
            ask()
