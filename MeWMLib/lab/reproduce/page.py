"""The page of `mewm reproduce`: one HTML file with every table, picture and gap; it needs no other file."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from MeWMLib.core.io import atomic_path
from MeWMLib.core.protocol import Protocol, agent
from MeWMLib.lab.evaluation.montage import SOFT_TISSUE_HU
from MeWMLib.lab.reproduce import page_tables as tables
from MeWMLib.lab.reproduce.page_tables import Table, figure, paper_numbers, table_of
from MeWMLib.lab.reproduce.patient import PICTURE
from MeWMLib.lab.reproduce.records import Record
from MeWMLib.lab.reproduce.summary import summary

IMAGE_ROWS = tables.ROWS | {"mewm": "mean over the samples of what was given"}
SURVIVAL_ROWS = tables.ROWS | {"mewm": "the network's log-risk, fitted to nobody of this cohort"}
RESPONSE_ROWS = tables.ROWS | {"mewm": "by two limits of density: from 50 to 200 HU, away from Lipiodol"}
#: Patients whose scans are shown.
SHOWN = 8
#: Searches whose choice stands beside a patient's scans.
PROPOSED = ("mewm", "mewm_assistant")


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
    loader.filters |= {"figure": figure, "sentence": sentence}
    kept = [(r, r.kept.folder / PICTURE) for r in records if (r.kept.folder / PICTURE).exists()]
    shown = [{**told_of(r), "png": _embedded(file)} for r, file in kept[:SHOWN]]
    text = loader.get_template("reproduce.html.j2").render(
        result=result,
        tables=all_of(result),
        summary=summary(result),
        words=tables.WORDS | tables.SAMPLES,
        notes=notes(result),
        pictures={name: _embedded(file) for name, file in pictures.items()},
        patients=shown,
        agents=agents_in_words(r.result.get("simulated") or "" for r, _ in kept[:SHOWN]),
        hidden=len(kept) - len(shown),
        window=SOFT_TISSUE_HU,
        fewest=tables.FEWEST,
        differences=differences(result),
    )
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def all_of(result: Mapping[str, Any]) -> dict[str, Table]:
    """The tables of the page by name."""
    paper = paper_numbers(result["paper"], result["paper_set"])
    one, two, three = (result[name] for name in ("table1", "table2", "table3"))
    plans = dict(two.get("rows") or {})
    for more in ("language", "physicians"):
        plans |= (result.get(more) or {}).get("rows") or {}
    ablations: dict[str, dict[str, Any]] = {}
    for row, both in (three.get("pairs") or {}).items():
        full = next(name for name in both if name != row)
        for name in (full, row):
            ablations[f"{name}|{row}"] = both[name]
        ablations[f"{row} - {full}"] = three["differences"][f"{row} - {full}"]
    virtual = result["virtual"]
    cite = result["paper"]["virtual"]["cited"]
    clinical = any(name.startswith("clinical.") for name in (virtual.get("covariates") or {}).get("clinical", ()))
    said = {} if clinical else {"clinical": "+ procedural variables (no clinical data are known)"}
    return {
        "images": table_of(one["rows"], tables.IMAGES, paper["table1"], tables.SAMPLES, says=IMAGE_ROWS),
        "image_differences": table_of(one.get("differences") or {}, tables.IMAGES, said=_less(one), says={}),
        "lipiodol": table_of(one["rows"], tables.LIPIODOL, None, tables.SAMPLES, says={}),
        "plans": table_of(plans, tables.PLANS, paper["table2"]),
        "plan_differences": table_of(two.get("differences") or {}, tables.PLANS, said=_less(two)),
        "ablations": _ablation_table(ablations, paper["table3"], three),
        "survival": table_of(
            (result["figures"].get("rows") or {}),
            tables.SURVIVAL,
            paper["figures"],
            tables.SURVIVAL_WORDS,
            says=SURVIVAL_ROWS,
        ),
        "virtual": table_of(virtual.get("rows") or {}, tables.CONCORDANCE, paper["virtual"], said, cite),
        "virtual_differences": table_of(
            virtual.get("differences") or {}, tables.CONCORDANCE, said=_less(virtual, tables.WORDS | said)
        ),
        "response": table_of(
            result["response"].get("rows") or {}, tables.RESPONSE, None, tables.RESPONSE_WORDS, says=RESPONSE_ROWS
        ),
    }


def _ablation_table(rows: Mapping[str, Any], paper: Mapping[str, Any], three: Mapping[str, Any]) -> Table:
    """Blocks of the full row, the ablation, and their difference, on the same patients."""
    names = {key: key.partition("|")[0] for key in rows}
    cited = {key: paper[name] for key, name in names.items() if "|" in key and name in paper}
    run = set(names.values())
    missing = [name for name in paper if name not in run]
    said = {key: tables.WORDS.get(name, "") for key, name in names.items()}
    said |= dict.fromkeys(three.get("differences") or (), "the difference of these two")
    found = table_of(rows, tables.PLANS, cited | {name: paper[name] for name in missing}, said, absent=missing, says={})
    return Table(
        found.columns,
        tuple(tables.Row(names.get(r.name, r.name), r.words, r.cells, r.n) for r in found.rows),
        found.blank,
    )


def _less(table: Mapping[str, Any], words: Mapping[str, str] = tables.WORDS) -> dict[str, str]:
    """Differences in words."""
    out = {}
    for name in table.get("differences") or {}:
        first, second = (words.get(one, one).removeprefix("+ ") for one in name.split(" - "))
        out[name] = f"{first} less {second}"
    return out


def told_of(record: Record) -> dict[str, Any]:
    """What stands beside a patient's scans: what was given, and what the searches chose."""
    rows = record.planning.get("rows") or {}
    chosen = {row: rows[row]["protocols"][0] for row in PROPOSED if row in rows and rows[row]["protocols"]}
    return {
        "id": record.id,
        "protocol": rounded(record.result.get("simulated") or ""),
        "recorded": record.member.recorded,
        "chosen": {row: rounded(text) for row, text in chosen.items()},
    }


def rounded(protocol: str) -> str:
    """A protocol with doses of three digits."""
    return re.sub(r"\d+\.\d+", lambda dose: f"{float(dose[0]):.3g}", protocol)


def agents_in_words(protocols: Iterable[str]) -> dict[str, str]:
    """Agents of some protocols that are known by capitals alone, and what they are."""
    names = dict.fromkeys(name for text in protocols if text for name in Protocol.parse(text).agents if name.isupper())
    return {
        name: f"{agent(name).synonyms[-1]}, {agent(name).agent_class}, in {agent(name).dose_unit}"
        for name in names
        if agent(name).synonyms
    }


def sentence(text: str) -> str:
    """A text with a capital at its begin and a full stop at its end; code names keep their letters."""
    text = text.strip()
    if not text:
        return ""
    first = text.split()[0]
    text = text if "_" in first else text[0].upper() + text[1:]
    return text if text[-1] in ".!?" else text + "."


def notes(result: Mapping[str, Any]) -> dict[str, list[str]]:
    """What must be said under a table, by rule."""
    out: dict[str, list[str]] = {"plans": [], "response": []}
    two = result["table2"]
    for same in two.get("same_choices") or ():
        out["plans"].append(
            f"{' and '.join(same)} chose the same protocol for every patient, so that their rows agree."
        )
    rows = two.get("rows") or {}
    few, every = (int(rows.get(row, {}).get("f1", {}).get("n") or 0) for row in ("mewm_assistant", "mewm"))
    if 0 < few < every:
        apart = (two.get("differences") or {}).get("mewm_assistant - mewm", {}).get("f1")
        out["plans"].append(
            f"mewm_assistant was searched in the first {few} of {every} patients (--assistant-patients), since every "
            "simulation needs a pass of the segmenter there: its row is not to be read against rows of all patients. "
            f"On the same {few} patients its F1 less that of mewm is {figure(apart, 1)}; Table 3 has both rows on "
            "these patients."
        )
    if rows:
        out["plans"].append("The paper's model is Algorithm 1 as printed, so that its numbers stand at mewm_assistant.")
    answer = (result["response"].get("rows") or {}).get("mewm_scan_after", {}).get("auc")
    own = (result["response"].get("rows") or {}).get("outline_after", {}).get("auc")
    if answer and answer["low"] is not None and answer["low"] <= 0.5:
        text = (
            "The ceiling of the measure: on the scan after itself, viable volume inside the outline before has an AUC "
            f"of {figure(answer, 2)} for the response of that very scan, not above chance. It does not see the "
            "response in these scans, so that the row mewm says nothing for or against the simulation."
        )
        if own and own["low"] is not None and own["low"] > answer["high"]:
            text += (
                f" Inside the outline of the scan after the same densities have {figure(own, 2)}: where a tumour "
                "shrinks, liver fills the outline before, and liver is as dense as viable tumour. Simulated scans have "
                "no such outline."
            )
        out["response"].append(text)
    return out


def _embedded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


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
    if about.get("described"):
        out.append(
            "Rows with weights of their own: " + "; ".join(f"{n}: {text}" for n, text in about["described"].items())
        )
    if about["synthetic"]:
        out.insert(0, "The patients are drawn by a synthetic world and are no clinical evidence; the scan after "
                   "treatment is drawn too, in the look of that version of the world.")  # fmt: skip
    if result.get("split"):
        share = 100 * result["split"]["share"]
        out.append(f"Policies that are fitted see the other part: {share:.0f} % are held out, as in the paper.")
    return out
