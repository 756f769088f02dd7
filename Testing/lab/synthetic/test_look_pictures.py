"""Slices for the eye: what is cut, and a key that tells real from drawn."""

import json
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MeWMLib.lab.synthetic import look_pictures
from MeWMLib.lab.synthetic.look_pictures import EACH, TILE_MM, Shown, cut, slices_of


def test_a_tile_is_a_square_about_the_tumour_and_air_where_the_scan_ends() -> None:
    hu = np.arange(3 * 40 * 50, dtype=np.float32).reshape(3, 40, 50)
    tumour = np.zeros(hu.shape, bool)
    tumour[1, 4:7, 20:23] = True
    tile = cut(hu, tumour, (2.5, 1.0, 1.0), 1)
    half = int(TILE_MM / 2)
    assert tile.shape == (2 * half, 2 * half) and tile[half, half] == hu[1, 5, 21]
    assert (tile[: half - 5] == -1024).all() and (tile[half - 5, half - 21 : half - 21 + 50] == hu[1, 0]).all()


def test_slices_spread_over_those_that_show_much() -> None:
    tumour = np.zeros((20, 30, 30), bool)
    for k, size in enumerate((0, 1, 5, 20, 22, 25, 28, 25, 22, 21, 19, 4)):
        tumour[k, :size, :size] = True
    chosen = slices_of(tumour, 4)
    assert chosen[0] == 3 and chosen[-1] == 10 and chosen == sorted(chosen) and len(chosen) == 4


def test_the_key_names_every_number_of_the_mixed_sheet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown(drawn: bool) -> list[Shown]:
        return [Shown(np.full((8, 8), 10.0 * n, np.float32), f"{drawn} {n}", drawn) for n in range(EACH)]

    monkeypatch.setattr(look_pictures, "real_slices", lambda folder, number: shown(False))
    monkeypatch.setattr(look_pictures, "drawn_slices", lambda first: iter(shown(True)))
    assert look_pictures.main(["--scans", str(tmp_path), "--out", str(tmp_path / "out"), "--seed", "3"]) == 0
    key = json.loads((tmp_path / "out" / "sheet_key.json").read_text())
    assert [int(n) for n in key] == [n for n, _ in zip(count(1), range(2 * EACH), strict=False)]
    assert sorted(key.values()) == sorted(s.name for d in (True, False) for s in shown(d))
    for name in ("world3.png", "sheet.png"):
        assert min(sitk.ReadImage(str(tmp_path / "out" / name)).GetSize()) > 100
    assert json.loads(capsys.readouterr().out)["drawn"] == EACH
