"""Facts on the pixels of a montage, and its files."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from MeWMLib.core.errors import GeometryMismatchError, InputError, OutputError
from MeWMLib.lab.evaluation.montage import DPI, TILE_INCHES, Tile, layout, write_tiles

YELLOW, CYAN = (1.0, 0.83, 0.0), (0.21, 0.82, 1.0)


def slice_of() -> tuple[np.ndarray, np.ndarray]:
    """A slice before treatment and the outline of its lesion."""
    outline = np.zeros((48, 48), bool)
    outline[14:34, 14:34] = True
    return np.full((48, 48), 40.0, np.float32), outline


def drawn(lines: list, path: Path, inches: float = TILE_INCHES) -> list[list[np.ndarray | None]]:
    """RGB (h, w, 3) of each tile."""
    write_tiles(path, lines, inches)
    picture = matplotlib.image.imread(path, format="png")[..., :3]
    boxes = [[None if tile is None else box for tile, box in zip(*pair, strict=True)]
             for pair in zip(lines, boxes_of(lines, inches), strict=True)]  # fmt: skip
    return [[None if b is None else picture[b[0] : b[1], b[2] : b[3]] for b in line] for line in boxes]


def boxes_of(lines: list, inches: float = TILE_INCHES) -> list[list[tuple[int, int, int, int]]]:
    """Top, bottom, left and right of each place in pixels."""
    _, height, corners = layout(lines, inches)
    edges = [[(height - y - inches, height - y, x, x + inches) for x, y in line] for line in corners]
    return [[tuple(round(edge * DPI) for edge in box) for box in line] for line in edges]


def share_of(tile: np.ndarray, colour: tuple[float, float, float]) -> float:
    return float((np.abs(tile - np.array(colour)).max(-1) < 0.12).mean())


def test_only_simulated_tiles_bear_the_mark(tmp_path) -> None:
    image, outline = slice_of()
    simulated = Tile(image, "Cisplatin", outline, simulated=True)
    change = Tile(image - 40, "simulated minus truth", outline, simulated=True, difference=True)
    tiles = drawn(
        [[Tile(image, "before", outline), simulated, change], [None, Tile(image, "truth")]], tmp_path / "x.png"
    )
    assert tiles[1][0] is None
    assert min(share_of(t, YELLOW) for t in tiles[0][1:]) > 0.002
    assert max(share_of(t, YELLOW) for t in (tiles[0][0], tiles[1][1])) == 0
    low = tiles[0][1][-len(tiles[0][1]) // 6 :]
    assert share_of(low, YELLOW) > 0.01 and share_of(tiles[0][1][: len(tiles[0][1]) // 2], YELLOW) == 0


def test_a_drawn_patients_scan_bears_a_mark_of_its_own(tmp_path) -> None:
    image, _ = slice_of()
    made, own, plain = drawn(
        [[Tile(image, simulated=True), Tile(image, drawn=True), Tile(image)]], tmp_path / "x.png"
    )[0]  # fmt: skip
    # SIMULATED is longer than DRAWN
    assert share_of(made, YELLOW) > 1.3 * share_of(own, YELLOW) > 0.002 and share_of(plain, YELLOW) == 0


def test_the_window_is_that_of_soft_tissue(tmp_path) -> None:
    values = np.repeat(np.array([[-500.0, -160.0, 40.0, 240.0, 900.0]], np.float32), 5, 0)
    tile = drawn([[Tile(values)]], tmp_path / "x.png")[0][0]
    middle = tile[tile.shape[0] // 2]
    grey = [float(middle[int((n + 0.5) * len(middle) / 5)].mean()) for n in range(5)]
    assert grey == pytest.approx([0, 0, 0.5, 1, 1], abs=0.01)


def test_rows_run_down_and_columns_to_the_right(tmp_path) -> None:
    image = np.full((40, 40), -160.0, np.float32)
    image[:10, 25:] = 240
    tile = drawn([[Tile(image)]], tmp_path / "x.png")[0][0].mean(-1)
    half = tile.shape[0] // 2
    assert tile[:half, half:].mean() > 0.3 and tile[half:].max() < 0.02 and tile[:, :half].max() < 0.02


def test_the_outline_is_thin_and_lies_at_the_border(tmp_path) -> None:
    image, outline = slice_of()
    tile = drawn([[Tile(image, outline=outline)]], tmp_path / "x.png")[0][0]
    assert 0.003 < share_of(tile, CYAN) < 0.05
    inner = tile[int(0.36 * len(tile)) : int(0.64 * len(tile)), int(0.36 * len(tile)) : int(0.64 * len(tile))]
    assert share_of(inner, CYAN) == 0
    assert share_of(drawn([[Tile(image, outline=np.zeros_like(outline))]], tmp_path / "x.png")[0][0], CYAN) == 0


def test_a_lesion_has_a_colour_of_its_own(tmp_path) -> None:
    image, outline = slice_of()
    lesion = np.zeros_like(outline)
    lesion[17:31, 17:31] = True
    red = (1.0, 0.35, 0.21)
    tile = Tile(image, "t", outline, lesion=lesion)
    small, large = (drawn([[tile]], tmp_path / "x.png", inches)[0][0] for inches in (1.75, 3.5))
    assert share_of(small, CYAN) > share_of(small, red) > 0.0005
    assert large.shape[0] == pytest.approx(2 * small.shape[0], abs=3)
    assert share_of(drawn([[Tile(image, outline=outline)]], tmp_path / "x.png")[0][0], red) == 0
    with pytest.raises(GeometryMismatchError, match="same shape"):
        Tile(image, lesion=lesion[1:])


def test_differences_are_red_where_brighter_and_blue_where_darker(tmp_path) -> None:
    values = np.repeat(np.array([[-200.0, 0.0, 200.0]], np.float32), 3, 0)
    tile = drawn([[Tile(values, difference=True)]], tmp_path / "x.png")[0][0]
    blue, none, red = (tile[len(tile) // 2, int((n + 0.5) * tile.shape[1] / 3)] for n in range(3))
    assert blue[2] > blue[0] + 0.2 and red[0] > red[2] + 0.2 and np.ptp(none) < 0.05


def test_tiles_stand_in_a_grid_and_do_not_overlap(tmp_path) -> None:
    long = "Idarubicin 10 mg + Hydroxycamptothecin 27.2 mg + Lipiodol 15 ml (emulsion) + Gelatin Sponge $x$"
    image = slice_of()[0]
    lines = [[Tile(image, long), Tile(image, "short")], [None, Tile(image, "below")]]
    write_tiles(tmp_path / "x.png", lines)
    picture = matplotlib.image.imread(tmp_path / "x.png")[..., :3]
    height, width = picture.shape[:2]
    (first, second), (_, below) = boxes_of(lines)
    assert first[:2] == second[:2] and below[2:] == second[2:]
    assert first[3] < second[2] and second[1] < below[0]
    for box in (first, second, below):
        assert 0 <= box[0] < box[1] <= height and 0 <= box[2] < box[3] <= width
    title = picture[: first[0], first[2] : first[3]].max(-1) > 0.5
    rows = np.flatnonzero(title.any(1))
    assert rows.min() > 0 and (np.diff(rows) > 1).sum() >= 3  # some lines of text, none cut off above
    assert picture[: first[0], first[3] + 2 : second[2] - 2].max() < 0.1  # nor beside its tile


def test_the_file_is_whole_and_alone_in_its_folder(tmp_path) -> None:
    image, outline = slice_of()
    write_tiles(tmp_path / "a" / "one.png", [[Tile(image, "before", outline)]])
    write_tiles(tmp_path / "two.png", [[Tile(image, "before", outline)]] * 3)
    one, two = (matplotlib.image.imread(tmp_path / n) for n in ("a/one.png", "two.png"))
    assert two.shape[0] > 2.5 * one.shape[0] and two.shape[1] == one.shape[1]
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["one.png"]


def test_what_does_not_fit_is_refused(tmp_path) -> None:
    with pytest.raises(GeometryMismatchError, match="2D"):
        Tile(np.zeros((3, 3, 3), np.float32))
    with pytest.raises(GeometryMismatchError, match="outline"):
        Tile(np.zeros((3, 3), np.float32), outline=np.zeros((2, 3), bool))
    for nothing in ([], [[None]]):
        with pytest.raises(InputError, match="no images"):
            write_tiles(tmp_path / "x.png", nothing)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        write_tiles(tmp_path / "file" / "x.png", [[Tile(slice_of()[0])]])
