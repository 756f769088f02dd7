"""Tables of the page of `mewm reproduce`: columns and rows in words, cells with their n, and the paper's numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: A figure of fewer patients stays blank in a row that has more.
FEWEST = 5
#: Rows in words.
WORDS = {
    "mewm": "MeWM, beam search, judged by the simulated image",
    "mewm_expected": "MeWM, expected scan",
    "mewm_action_dropped": "MeWM without the action",
    "mewm_best_first": "MeWM, best-first search",
    "mewm_exhaustive": "MeWM, every protocol of the space",
    "mewm_assistant": "MeWM, beam search, outlined by the assistant (Algorithm 1 as printed)",
    "no_assistant": "MeWM without assistant: the outline stays that of before",
    "judged_by_model": "MeWM, judged by what the model predicts",
    "full_same_budget": "latent model, whole, with the budget of the rows below",
    "no_ccl": "latent model without contrastive loss",
    "no_attenuation": "latent model without attenuation levels",
    "no_text": "latent model without text embeddings",
    "action_blind": "latent model trained without the action",
    "random_in_space": "any protocol of the space",
    "copy_pre": "the scan before, unchanged",
    "syntumor": "SynTumor",
    "pixel2cancer": "Pixel2Cancer",
    "difftumor": "DiffTumor",
    "textomorph": "TextoMorph",
    "guideline": "guideline policy alone",
    "constant": "the constant plan",
    "frequency_prior": "frequency prior of the other patients",
    "random": "any protocol that the rules allow",
    "physician_without": "physicians with the scan before",
    "physician_with": "physicians with MeWM",
    "qwen2.5-vl": "Qwen2.5-VL",
    "gpt-4o": "GPT-4o",
    "claude": "Claude",
    "ct2rep": "CT2Rep",
    "medgpt": "MedGPT",
    "huatuogpt-vision": "HuatuoGPT-Vision",
    "radiomics_cox": "radiomics Cox, scan before and simulated scan after",
    "clinical_cox": "clinical Cox",
    "mewm_scan_after": "the network on the scan after",
    "before": "scan before only",
    "clinical": "+ clinical and procedural variables",
    "virtual": "+ simulated scan after",
    "scan_after": "+ scan after (in place of the simulated one)",
    "volumes": "viable volumes alone, before and simulated",
}
#: What rows are whose words do not say it.
ROWS = {
    "mewm_expected": "the one scan of lowest expected error, in place of samples",
    "mewm_action_dropped": "samples of the same model without the guidance of the action",
    "copy_pre": "no simulation at all",
    "syntumor": "tumours drawn by hand-made rules that know no action",
    "pixel2cancer": "tumours grown by hand-made rules that know no action",
    "guideline": "what the policy of published guidelines proposes, without a simulation",
    "constant": "the same plan for everybody",
    "frequency_prior": "the regimen that most of the other patients had",
    "random": "drawn by chance among all that the clinical rules allow",
    "full_same_budget": "what no_ccl, no_attenuation, no_text, action_blind, difftumor and textomorph are held "
    "against: the same network, training patients, batches and number of steps, and nothing left out. The bundle of "
    "this run may have been trained for longer, so that these rows are not to be read against it",
    "difftumor": "the same network told of neither action nor response, after DiffTumor (Chen et al. 2024)",
    "textomorph": "the same network told of the action by the text of an operation report, after TextoMorph (Li et al. "
    "2024); no response is predicted, so that the segmenter outlines its images",
    "action_blind": "it cannot tell protocols apart: in a search it stands for any protocol of the space",
    "random_in_space": "mean over all protocols of the space: what the guideline policy's agents allow",
    "mewm": "of the same space, the protocol of lowest risk that the search finds; risk is judged by the viable tumour "
    "measured in the simulated image, as the product does",
    "mewm_best_first": "the same with another search",
    "mewm_exhaustive": "the same without a search: every protocol is simulated",
    "mewm_assistant": "the segmenter outlines every simulation, and the risk is judged inside that outline",
    "no_assistant": "the risk is judged inside the outline before",
    "judged_by_model": "the risk is judged by what the model predicts, without an image",
    "radiomics_cox": "a Cox model fitted to this cohort, cross-validated",
    "clinical_cox": "a Cox model of clinical variables, cross-validated",
    "volumes": "a Cox model of two numbers",
    "mewm_scan_after": "what the measure can reach where the scan after is known",
    "mewm_risk": "log-risk without treatment less that after it, by the network and the product's outline after",
    "outline_after": "the scan after has an outline in the cohort; no simulated scan has",
    "size_alone": "smaller tumours are taken to respond",
}
SAMPLES = {"mewm": "MeWM, samples"}
SURVIVAL_WORDS = {"mewm": "the network after the simulated scan"}
RESPONSE_WORDS = {
    "mewm": "viable volume in the simulated scans, inside the outline before",
    "mewm_scan_after": "viable volume in the scan after, inside the outline before",
    "mewm_risk": "fall of the network's log-risk after the simulated scans",
    "mewm_risk_scan_after": "fall of the network's log-risk after the scan after",
    "outline_after": "viable volume in the scan after, inside its own outline",
    "size_alone": "size before alone",
}


@dataclass(frozen=True)
class Column:
    """One metric.

    Attributes:
        head: over the column.
        decimals: of its figures.
        says: what it is, with its direction.
    """

    head: str
    decimals: int
    says: str


IMAGES = {
    "fid": Column("FID", 2, "Fréchet distance between the features of crops of the tumour and those of the scans "
                  "after; lower is better"),
    "lpips": Column("LPIPS", 3, "distance of the features of a crop from those of the same crop of the scan after; "
                    "lower is better"),
    "mae_hu": Column("error, HU", 1, "mean absolute difference from the scan after in the dilated outline before; "
                     "lower is better"),
    "mae_ratio": Column("error / copy", 2, "that error over the error of the scan before, unchanged; below 1 is better "
                        "than no simulation"),
    "mae_8mm_ratio": Column("8 mm error / copy", 2, "the same after smoothing by 8 mm; below 1 is better"),
    "change_r_8mm": Column("r of change, 8 mm", 2, "correlation of simulated and true change after that smoothing; "
                           "higher is better; a scan without change has none"),
}  # fmt: skip
LIPIODOL = {
    "lipiodol_map_r": Column("r of Lipiodol maps", 2, "rank correlation of the shares of voxels at 200 HU and more in "
                             "cubes; higher is better; only of patients in whom both scans hold some"),
    "lipiodol_error_ml": Column("Lipiodol error, ml", 1, "difference of the volume from 200 HU on; lower is better"),
}  # fmt: skip
PLANS = {
    "f1": Column("F1", 1, "overlap of the chosen agents with those that were given, percent; higher is better"),
    "jaccard": Column("Jaccard", 1, "agents in both over agents in either, percent; higher is better"),
    "precision": Column("precision", 1, "chosen agents that were given, percent; higher is better"),
    "recall": Column("recall", 1, "given agents that were chosen, percent; higher is better"),
    "f1_beyond_constant": Column("F1 beyond constant plan", 1, "F1 less that of the constant plan for the same "
                                 "patient; above 0 is better"),
    "regret": Column("regret, log hazard", 3, "log hazard of the chosen protocol by the drawn world's law less that of "
                     "the best protocol of the same space; 0 is best. A search judges by the model and not by the law, "
                     "so that the search of every protocol has some too. Rows that choose outside of the space have "
                     "none, and no patients whose law is not known"),
    "simulations": Column("simulations", 0, "simulated outcomes that a search needed for a patient"),
}  # fmt: skip
SURVIVAL = {
    "c_index": Column("C-index", 3, "share of pairs of patients whose order of death is told; 0.5 is chance, higher is "
                      "better"),
    "log_rank_p": Column("log-rank p", 4, "test of the curves of the halves of higher and lower risk"),
    "risk_map_mse": Column("Figure 5, MSE", 3, "squared error of the cumulative hazard over the cells of Figure 5; "
                           "lower is better"),
}  # fmt: skip
CONCORDANCE = {"c_index": SURVIVAL["c_index"]}
RESPONSE = {
    "auc": Column("AUC", 3, "share of pairs of a responder and another whose order is told; 0.5 is chance, higher is "
                  "better"),
    "rank_correlation": Column("rank correlation of the change", 3, "of the score with the measured change of the "
                               "viable diameter; higher is better"),
}  # fmt: skip


def number(value: float, decimals: int) -> str:
    """A number with so many decimals, without a sign at 0."""
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text


def figure(value: Mapping[str, Any] | None, decimals: int = 3) -> str:
    """A figure as text: mean (low to high), the mean alone without an interval; a dash where it is not known."""
    mean, between = _parts(value, decimals)
    return f"{mean} ({between})" if between else mean


def _parts(value: Mapping[str, Any] | None, decimals: int) -> tuple[str, str]:
    if not value or value.get("mean") is None:
        return "-", ""
    low, high = value.get("low"), value.get("high")
    mean = number(value["mean"], decimals)
    if low is None or high is None or low == high or value.get("n") == 1:
        return mean, ""
    return mean, f"{number(low, decimals)} to {number(high, decimals)}"


@dataclass(frozen=True)
class Cell:
    """One cell: the figure, its interval, a note of its n, and what another source has; each may be empty."""

    mean: str
    between: str = ""
    note: str = ""
    cited: str = ""


@dataclass(frozen=True)
class Row:
    """One row: code name, words, its cells, and n; "not run" where only another source has it."""

    name: str
    words: str
    cells: tuple[Cell, ...]
    n: str
    says: str = ""


@dataclass(frozen=True)
class Table:
    """What the page prints: `blank` says that a cell rests on too few patients."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    blank: bool

    @property
    def says(self) -> dict[str, str]:
        """What its rows are, as far as their words do not say it."""
        return {row.name: row.says for row in self.rows if row.says}


def table_of(
    rows: Mapping[str, Mapping[str, Any]],
    columns: Mapping[str, Column],
    cited: Mapping[str, Mapping[str, float]] | None = None,
    said: Mapping[str, str] | None = None,
    source: str = "paper",
    absent: Iterable[str] | None = None,
    says: Mapping[str, str] = ROWS,
) -> Table:
    """Lay out a table.

    Args:
        rows: row to metric to figure.
        columns: those of which no row and no other source has a figure are left out.
        cited: row to metric to the number of another source.
        said: words of rows, before `WORDS`.
        source: who is cited.
        absent: rows that are shown as not run where `rows` lack them; those of `cited` if left out.
        says: what rows are.
    """
    cited, words = cited or {}, WORDS | dict(said or {})
    held = [*rows.values(), *cited.values()]
    used = {name: column for name, column in columns.items() if any(name in figures for figures in held)}
    out = []
    for name, figures in rows.items():
        n = max((int(f.get("n") or 0) for f in figures.values()), default=0)
        cells = [_cell(figures.get(m), c, n, cited.get(name, {}).get(m), source) for m, c in used.items()]
        out.append(Row(name, words.get(name, ""), tuple(cells), str(n), says.get(name, "")))
    for name in cited if absent is None else absent:
        if name not in rows:
            numbers = cited.get(name, {})
            cells = [Cell("", cited=_cited(numbers.get(m), source)) for m in used]
            out.append(Row(name, words.get(name, ""), tuple(cells), "not run", says.get(name, "")))
    few = any(cell.note and cell.mean == "" for row in out for cell in row.cells)
    return Table(tuple(used.values()), tuple(out), few)


def _cell(value: Mapping[str, Any] | None, column: Column, n: int, cited: float | None, source: str) -> Cell:
    own = int((value or {}).get("n") or 0)
    # a figure without an interval is one of all patients
    note = f"n {own}" if value and own and own != n else ""
    if note and own < FEWEST:
        return Cell("", "", note, _cited(cited, source))
    return Cell(*_parts(value, column.decimals), note, _cited(cited, source))


def _cited(value: float | None, source: str) -> str:
    return "" if value is None else f"{source} {value:g}" if abs(value) < 0.01 else f"{source} {_plain(value)}"


def _plain(value: float) -> str:
    """As printed, with at least two decimals."""
    text = f"{value:.4f}".rstrip("0")
    whole, _, part = text.partition(".")
    return f"{whole}.{part:0<2}"


def paper_numbers(paper: Mapping[str, Any], column: str) -> dict[str, dict[str, dict[str, float]]]:
    """The paper's numbers by our tables and rows.

    Args:
        paper: what `paper.json` holds.
        column: "in-house" or "public", where the paper has both.
    """
    # the paper's model is Algorithm 1 as printed, whose row has a name of its own where protocols are searched
    full = {"mewm_assistant": paper["table2"][column]["mewm"]}
    others = {row: numbers for row, numbers in paper["table2"][column].items() if row != "mewm"}
    ablations = paper["table3"][column]
    figures: dict[str, dict[str, float]] = {}
    for name in ("figure5", "figure6"):
        for row, numbers in paper[name]["rows"].items():
            figures.setdefault(row, {}).update(numbers)
    return {
        "table1": paper["table1"],
        "table2": full | ablations | others,
        "table3": full | ablations,
        "figures": figures,
        "virtual": paper["virtual"]["rows"],
    }
