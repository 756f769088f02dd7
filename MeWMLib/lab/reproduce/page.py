"""The page of `mewm reproduce`: one HTML file with every table, picture and gap; it needs no other file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from MeWMLib.core.io import atomic_path
from MeWMLib.lab.reproduce.patient import PICTURE
from MeWMLib.lab.reproduce.records import Record

#: Patients whose scans are shown.
SHOWN = 8
#: Rows in words.
WORDS = {
    "mewm": "MeWM, beam search, judged by the simulated image",
    "mewm_expected": "MeWM, expected scan",
    "mewm_action_dropped": "MeWM without the action",
    "mewm_best_first": "MeWM, best-first search",
    "mewm_exhaustive": "MeWM, every protocol of the space",
    "mewm_assistant": "MeWM, beam search, outlined by the assistant (Algorithm 1 as printed)",
    "no_assistant": "without assistant: the outline stays that of before",
    "judged_by_model": "judged by what the model predicts",
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
    "radiomics_cox": "radiomics Cox, scan before and simulated scan after",
    "clinical_cox": "clinical Cox",
    "mewm_scan_after": "the network on the scan after",
    "before": "scan before only",
    "clinical": "+ clinical and procedural variables",
    "virtual": "+ simulated scan after",
    "scan_after": "+ scan after (in place of the simulated one)",
    "volumes": "viable volumes alone, before and simulated",
}
#: Metric to its head, decimals, and whether the paper has it.
TABLE1 = {
    "fid": ("FID", 2), "lpips": ("LPIPS", 3), "mae_hu": ("error, HU", 0), "mae_ratio": ("error / copy", 2),
    "mae_8mm_ratio": ("8 mm error / copy", 2), "change_r_8mm": ("r of change, 8 mm", 2),
    "lipiodol_map_r": ("r of Lipiodol maps", 2), "lipiodol_error_ml": ("Lipiodol error, ml", 1),
}  # fmt: skip
TABLE2 = {
    "f1": ("F1", 1), "jaccard": ("Jaccard", 1), "precision": ("precision", 1), "recall": ("recall", 1),
    "f1_beyond_constant": ("F1 beyond the constant plan", 1), "regret": ("regret (log hazard)", 3),
    "simulations": ("simulations", 0),
}  # fmt: skip
SURVIVAL = {"c_index": ("C-index", 3), "log_rank_p": ("log-rank p", 4), "risk_map_mse": ("Figure 5, MSE", 3)}


def write_page(path: Path, result: Mapping[str, Any], records: Sequence[Record], pictures: Mapping[str, Path]) -> None:
    """Write the page.

    Args:
        path: of the HTML file.
        result: what `reproduce.json` holds.
        records: of the patients, for their pictures.
        pictures: of the figures, by name.

    Raises:
        OutputError: it cannot be written.
    """
    loader = Environment(
        loader=PackageLoader("MeWMLib.lab.reproduce"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    loader.filters["figure"] = figure
    loader.globals |= {"used": _used, "most": _most}
    kept = [(r, r.kept.folder / PICTURE) for r in records if (r.kept.folder / PICTURE).exists()]
    shown = [{"id": r.id, "protocol": r.result.get("simulated"), "png": _embedded(file)} for r, file in kept[:SHOWN]]
    text = loader.get_template("reproduce.html.j2").render(
        result=result,
        words=WORDS,
        heads={"table1": TABLE1, "table2": TABLE2, "survival": SURVIVAL},
        pictures={name: _embedded(file) for name, file in pictures.items()},
        patients=shown,
        hidden=len(kept) - len(shown),
        differences=differences(result),
    )
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def _used(rows: Mapping[str, Mapping[str, Any]], heads: Mapping[str, Any]) -> dict[str, Any]:
    """The heads of which a row has a figure."""
    return {name: head for name, head in heads.items() if any(name in figures for figures in rows.values())}


def _most(figures: Mapping[str, Mapping[str, Any]]) -> int:
    """The largest n of a row."""
    return max((int(f.get("n") or 0) for f in figures.values()), default=0)


def _embedded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def figure(value: Mapping[str, Any] | None, decimals: int = 3) -> str:
    """A figure as text: mean (low to high), the mean alone without an interval; a dash where it is not known."""
    if not value or value.get("mean") is None:
        return "-"
    mean, low, high = value["mean"], value.get("low"), value.get("high")
    text = f"{mean:.{decimals}f}"
    if low is None or high is None or low == high or value.get("n") == 1:
        return text
    return f"{text} ({low:.{decimals}f} to {high:.{decimals}f})"


def differences(result: Mapping[str, Any]) -> list[str]:
    """How this run differs from the paper's protocol, in words."""
    about, agents = result["about"], result["agents"]
    network = result["table1"].get("network")
    among = ", ".join(agents["among"]) or "the whole vocabulary of 18 agents"
    out = [
        f'Patients: {about["patients"]} of the cohort "{about["cohort"]}"; the paper tests on 34 of 338 patients of '
        "one hospital and on a fifth of 78 curated cases of HCC-TACE-Seg.",
        "Training: the bundle is used as it is and was not fine-tuned to this cohort; the paper trains on 304 patients "
        "and fine-tunes on four fifths of the public cases.",
        f"FID and LPIPS are by {network or 'no network'}. The paper does not name its network, so the figures may be "
        "compared within this table only.",
        "Hand-made baselines are fitted on synthetic training patients, as the bundle's networks are, and not on "
        "patients of this cohort.",
        f"What is chosen from: {among}. Searches fill what the guideline policy proposes; the paper's policy is GPT-4o "
        "refined by DeepSeek-R1.",
        "What was given is counted without doses. Lipiodol counts like any other agent.",
        f"The constant plan ({agents['constant']}) and the frequency prior stand beside every row, since habit alone "
        "may agree better than any model.",
        "The row mewm judges by the viable tumour measured in the simulated image, as the product does; the way of the "
        "paper with the segmenter's outline is the row mewm_assistant, on the patients that it says.",
        "Figure 5: the paper names neither grid nor time nor formula of its error; here the grid is over tumour volume "
        "before and simulated viable share, by Nelson-Aalen (docs/SURVIVAL.md). The printed numbers are others.",
        "Figure 6: the network was trained on the synthetic world and is fitted to nobody of this cohort; the Cox "
        "models are cross-validated on it.",
    ]
    if about["synthetic"]:
        out.insert(0, "The patients are drawn by a synthetic world and are no clinical evidence; the scan after "
                   "treatment is drawn too, in the look of that version of the world.")  # fmt: skip
    if result.get("split"):
        share = 100 * result["split"]["share"]
        out.append(f"Policies that are fitted see the other part: {share:.0f} % are held out, as in the paper.")
    return out
