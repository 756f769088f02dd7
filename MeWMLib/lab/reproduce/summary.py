"""What a run found, in a few sentences that follow from its numbers by rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from MeWMLib.lab.reproduce.page_tables import FEWEST, WORDS, figure

Figure = Mapping[str, Any]


def summary(result: Mapping[str, Any]) -> list[str]:
    """Up to six sentences: samples beside the copy, searches beside the constant plan and the prior, what is open.

    A difference counts where its 95 % interval leaves out "no difference"; of two distances without a paired
    difference, where their intervals do not overlap. What cannot be told from this run is not mentioned, and figures of
    fewer than `FEWEST` patients are not compared.

    Args:
        result: what `reproduce.json` holds.
    """
    if 0 < result["about"]["patients"] < FEWEST:
        return [f"Fewer than {FEWEST} patients: the figures are examples, and nothing is compared here."]
    open_: list[str] = []
    found = [
        _distance(result["table1"].get("rows", {}), open_),
        _errors(result["table1"].get("rows", {}), open_),
        _plans(result["table2"], open_),
        _regret(result["table2"], open_),
    ]
    _others(result, open_)
    if open_:
        found.append("Not told apart by these patients: " + "; ".join(open_) + ".")
    return [one for one in found if one]


def _distance(rows: Mapping[str, Mapping[str, Figure]], open_: list[str]) -> str:
    """FID of the samples and the copy, and who is nearest."""
    own, copy = (rows.get(row, {}).get("fid") for row in ("mewm", "copy_pre"))
    if not _known(own) or not _known(copy):
        return ""
    assert own is not None and copy is not None
    text = (
        f"In FID the samples of MeWM have {figure(own, 2)} and the scan before, unchanged, {figure(copy, 2)}, where "
        "lower is nearer to the scans after"
    )
    if own["low"] <= copy["high"] and copy["low"] <= own["high"]:
        open_.append("the FID of samples and copy, whose intervals overlap")
    best = min((row for row in rows if _known(rows[row].get("fid"))), key=lambda row: rows[row]["fid"]["mean"])
    return text + (
        "." if best == "mewm" else f"; the lowest has {WORDS.get(best, best)} with {figure(rows[best]['fid'], 2)}."
    )


def _errors(rows: Mapping[str, Mapping[str, Figure]], open_: list[str]) -> str:
    """Errors of the samples over those of the copy."""
    parts = []
    for metric, words in (("mae_ratio", "voxel by voxel"), ("mae_8mm_ratio", "after smoothing by 8 mm")):
        ratio = rows.get("mewm", {}).get(metric)
        if _known(ratio):
            assert ratio is not None
            side = _side(ratio, 1.0)
            if not side:
                open_.append(f"the errors of samples and copy {words}")
            way = {1: ", more than the copy", -1: ", less than the copy", 0: ""}[side]
            parts.append(f"{words} it is {figure(ratio, 3)} times that of the copy{way}")
    return f"The error of the samples: {'; '.join(parts)}." if parts else ""


def _plans(table: Mapping[str, Any], open_: list[str]) -> str:
    """F1 of the search, beside the constant plan and the prior."""
    own = (table.get("rows") or {}).get("mewm", {}).get("f1")
    if not _known(own):
        return ""
    parts = []
    for row, words in (
        ("constant", "the constant plan"),
        ("frequency_prior", "the frequency prior of the other patients"),
    ):
        apart = (table.get("differences") or {}).get(f"{row} - mewm", {}).get("f1")
        if not _known(apart):
            continue
        side = _side(apart, 0.0)
        if not side:
            open_.append(f"the F1 of the search and of {words}")
        way = {1: "agrees better", -1: "agrees less", 0: "is not told apart"}[side]
        parts.append(f"{words} {way} (difference, paired: {figure(apart, 1)})")
    return f"With what was given the plans of MeWM's beam search agree with an F1 of {figure(own, 1)} %" + (
        f"; {' and '.join(parts)}." if parts else "."
    )


def _regret(table: Mapping[str, Any], open_: list[str]) -> str:
    """Regret of the search beside chance, of drawn patients."""
    own = (table.get("rows") or {}).get("mewm", {}).get("regret")
    apart = (table.get("differences") or {}).get("mewm - random_in_space", {}).get("regret")
    if not _known(own) or not _known(apart):
        return ""
    side = _side(apart, 0.0)
    if not side:
        open_.append("the regret of the search and of any protocol of the same space")
    way = {1: "more than", -1: "less than", 0: "not told apart from"}[side]
    return (
        f"By the law of the drawn world its regret is {figure(own, 3)}, {way} that of any protocol of the same space "
        f"(difference, paired: {figure(apart, 3)})."
    )


def _others(result: Mapping[str, Any], open_: list[str]) -> None:
    """Comparisons of the other tables that hold no difference."""
    pairs = (
        ("table3", "no_assistant - mewm_assistant", "f1", "the F1 with and without the assistant"),
        ("virtual", "virtual - clinical", "c_index", "survival models with and without the simulated scan"),
        (
            "virtual",
            "scan_after - virtual",
            "c_index",
            "survival models with the scan after and with the simulated one",
        ),
    )
    for name, pair, metric, words in pairs:
        apart = (result[name].get("differences") or {}).get(pair, {}).get(metric)
        if _known(apart) and not _side(apart, 0.0):
            open_.append(words)
    auc = (result["response"].get("rows") or {}).get("mewm", {}).get("auc")
    if _known(auc) and not _side(auc, 0.5):
        open_.append("the response by the simulated viable volume and chance")


def _known(value: Figure | None) -> bool:
    if not value or (value.get("n") or 0) < FEWEST:
        return False
    return all(value.get(name) is not None for name in ("mean", "low", "high"))


def _side(value: Figure | None, nothing: float) -> int:
    """1 where the interval lies above what means nothing, -1 below, 0 where it holds it."""
    assert value is not None
    return int(value["low"] > nothing) - int(value["high"] < nothing)
