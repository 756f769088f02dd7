"""Facts on the pixels of a montage, and its files."""

import io

import matplotlib.image
import numpy as np
import pytest

from MeWMLib.core.errors import GeometryMismatchError, InputError, OutputError
from MeWMLib.lab.evaluation.montage import MontageRow, Tile, render_tiles, write_montage, write_tiles

YELLOW, CYAN = (1.0, 0.83, 0.0), (0.21, 0.82, 1.0)


def row(count: int = 3, name: str = "patient 1") -> MontageRow:
    before = np.full((48, 48), 40.0, np.float32)
    outline = np.zeros((48, 48), bool)
    outline[14:34, 14:34] = True
    images = [np.where(outline, 40.0 + 100 * (n + 1), before).astype(np.float32) for n in range(count)]
    return MontageRow(name, before, outline, [f"Cisplatin + Lipiodol {n + 1} ml" for n in range(count)], images, images)


def drawn(lines: list) -> list[list[np.ndarray | None]]:
    """RGB (h, w, 3) of each tile."""
    content, boxes = render_tiles(lines)
    picture = matplotlib.image.imread(io.BytesIO(content), format="png")[..., :3]
    return [[None if b is None else picture[b[0] : b[1], b[2] : b[3]] for b in line] for line in boxes]


def share_of(tile: np.ndarray, colour: tuple[float, float, float]) -> float:
    return float((np.abs(tile - np.array(colour)).max(-1) < 0.12).mean())


def test_only_simulated_tiles_bear_the_mark() -> None:
    tiles = drawn(row().tiles(difference=True))
    assert [len(line) for line in tiles] == [4, 4, 4] and tiles[1][0] is None and tiles[2][0] is None
    simulated, true = [*tiles[0][1:], *tiles[2][1:]], [tiles[0][0], *tiles[1][1:]]
    assert min(share_of(t, YELLOW) for t in simulated) > 0.002 and max(share_of(t, YELLOW) for t in true) == 0
    low = tiles[0][1][-len(tiles[0][1]) // 6 :]
    assert share_of(low, YELLOW) > 0.01 and share_of(tiles[0][1][: len(tiles[0][1]) // 2], YELLOW) == 0


def test_the_window_is_that_of_soft_tissue() -> None:
    values = np.repeat(np.array([[-500.0, -160.0, 40.0, 240.0, 900.0]], np.float32), 5, 0)
    tile = drawn([[Tile(values)]])[0][0]
    middle = tile[tile.shape[0] // 2]
    grey = [float(middle[int((n + 0.5) * len(middle) / 5)].mean()) for n in range(5)]
    assert grey == pytest.approx([0, 0, 0.5, 1, 1], abs=0.01)


def test_rows_run_down_and_columns_to_the_right() -> None:
    image = np.full((40, 40), -160.0, np.float32)
    image[:10, 25:] = 240
    tile = drawn([[Tile(image)]])[0][0].mean(-1)
    half = tile.shape[0] // 2
    assert tile[:half, half:].mean() > 0.3 and tile[half:].max() < 0.02 and tile[:, :half].max() < 0.02


def test_the_outline_is_thin_and_lies_at_the_border() -> None:
    one = row(1)
    tile = drawn([[Tile(one.before, outline=one.outline)]])[0][0]
    assert 0.003 < share_of(tile, CYAN) < 0.05
    inner = tile[int(0.36 * len(tile)) : int(0.64 * len(tile)), int(0.36 * len(tile)) : int(0.64 * len(tile))]
    assert share_of(inner, CYAN) == 0
    assert share_of(drawn([[Tile(one.before, outline=np.zeros_like(one.outline))]])[0][0], CYAN) == 0


def test_a_lesion_has_a_colour_of_its_own() -> None:
    one = row(1)
    lesion = np.zeros_like(one.outline)
    lesion[17:31, 17:31] = True
    red = (1.0, 0.35, 0.21)
    small, large = (drawn_at(inches, Tile(one.before, "t", one.outline, lesion=lesion)) for inches in (1.75, 3.5))
    assert share_of(small, CYAN) > share_of(small, red) > 0.0005
    assert large.shape[0] == pytest.approx(2 * small.shape[0], abs=3)
    assert share_of(drawn_at(1.75, Tile(one.before, outline=one.outline)), red) == 0
    with pytest.raises(GeometryMismatchError, match="same shape"):
        Tile(one.before, lesion=lesion[1:])


def drawn_at(inches: float, tile: Tile) -> np.ndarray:
    content, (((top, bottom, left, right),),) = render_tiles([[tile]], inches)
    return matplotlib.image.imread(io.BytesIO(content), format="png")[top:bottom, left:right, :3]


def test_differences_are_red_where_brighter_and_blue_where_darker() -> None:
    values = np.repeat(np.array([[-200.0, 0.0, 200.0]], np.float32), 3, 0)
    tile = drawn([[Tile(values, difference=True)]])[0][0]
    blue, none, red = (tile[len(tile) // 2, int((n + 0.5) * tile.shape[1] / 3)] for n in range(3))
    assert blue[2] > blue[0] + 0.2 and red[0] > red[2] + 0.2 and np.ptp(none) < 0.05


def test_tiles_stand_in_a_grid_and_do_not_overlap() -> None:
    long = "Idarubicin 10 mg + Hydroxycamptothecin 27.2 mg + Lipiodol 15 ml (emulsion) + Gelatin Sponge $x$"
    lines = [[Tile(row().before, long), Tile(row().before, "short")], [None, Tile(row().before, "below")]]
    content, boxes = render_tiles(lines)
    height, width = matplotlib.image.imread(io.BytesIO(content), format="png").shape[:2]
    (first, second), (nothing, below) = boxes
    assert nothing is None and first[:2] == second[:2] and below[2:] == second[2:]
    assert first[3] < second[2] and second[1] < below[0]
    for box in (first, second, below):
        assert 0 <= box[0] < box[1] <= height and 0 <= box[2] < box[3] <= width
    picture = matplotlib.image.imread(io.BytesIO(content), format="png")[..., :3]
    title = picture[: first[0], first[2] : first[3]].max(-1) > 0.5
    rows = np.flatnonzero(title.any(1))
    assert rows.min() > 0 and (np.diff(rows) > 1).sum() >= 3  # some lines of text, none cut off above
    assert picture[: first[0], first[3] + 2 : second[2] - 2].max() < 0.1  # nor beside its tile


def test_the_file_holds_every_patient(tmp_path) -> None:
    write_montage(tmp_path / "a" / "one.png", [row()])
    write_montage(tmp_path / "two.png", [row(), row(2, "patient 2")], difference=True)
    one, two = (matplotlib.image.imread(tmp_path / n) for n in ("a/one.png", "two.png"))
    assert two.shape[0] > 2.5 * one.shape[0] and two.shape[1] == one.shape[1]
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["one.png"]
    write_tiles(tmp_path / "again.png", row().tiles(False))
    assert np.array_equal(matplotlib.image.imread(tmp_path / "again.png"), one)


def test_outlines_after_treatment_are_used_where_given() -> None:
    one = row(1)
    none = np.zeros_like(one.outline)
    other = MontageRow("p", one.before, one.outline, one.protocols, one.simulated, one.truths, [none], [none])
    (before, simulated), (_, truth) = drawn(other.tiles(False))
    assert share_of(before, CYAN) > 0 and share_of(simulated, CYAN) == 0 and share_of(truth, CYAN) == 0


def test_what_does_not_fit_is_refused(tmp_path) -> None:
    one = row(2)
    given = (one.name, one.before, one.outline)
    with pytest.raises(InputError, match="2 protocols, 1 simulated"):
        MontageRow(*given, one.protocols, one.simulated[:1], one.truths)
    with pytest.raises(InputError, match="0 protocols"):
        MontageRow(*given, [], [], [])
    with pytest.raises(InputError, match="outlines"):
        MontageRow(*given, one.protocols, one.simulated, one.truths, [one.outline])
    with pytest.raises(GeometryMismatchError, match="one shape"):
        MontageRow(*given, one.protocols, one.simulated, [one.truths[0][1:], one.truths[1]])
    with pytest.raises(GeometryMismatchError, match="2D"):
        Tile(np.zeros((3, 3, 3), np.float32))
    with pytest.raises(GeometryMismatchError, match="outline"):
        Tile(np.zeros((3, 3), np.float32), outline=np.zeros((2, 3), bool))
    with pytest.raises(InputError, match="no images"):
        write_montage(tmp_path / "x.png", [])
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        write_montage(tmp_path / "file" / "x.png", [one])
