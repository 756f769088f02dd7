"""The report: one file, everything escaped, and it says what is missing."""

import html.parser
import json
import re

import numpy as np
import pytest

from MeWMLib.core.plan import SearchStep, way_to_best
from MeWMLib.core.plan_folder import PlanFolder
from MeWMLib.core.protocol import Protocol

pytest.importorskip("slicer_core", reason='slicer-core is not installed: pip install "mewm[scene]"')

BAD = "<script>alert(1)</script> & \"quotes\" 'n' {{ 7 * 7 }}"


class _Reader(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links, self.text, self._open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]
        self.links += [name for name, _ in attrs if name.startswith("on")]
        if tag not in ("meta", "img", "br", "input"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if not self._open or self._open[-1] not in ("style", "script"):
            self.text.append(data)


def _render(folder, notes=(), pictures=()):
    from MeWMLib.scene.report import render_report

    page = render_report(PlanFolder(folder).read(), pictures, notes)
    reader = _Reader()
    reader.feed(page)
    assert reader._open == []
    return page, reader, re.sub(r"\s+", " ", " ".join(reader.text))


def _edit(folder, change):
    data = json.loads((folder / "plan.json").read_text())
    change(data)
    (folder / "plan.json").write_text(json.dumps(data))


def _step(step, parent, child, risk, kept):
    return SearchStep(step, 0, Protocol.from_json(parent), Protocol.from_json(child), risk, kept)


def test_a_scene_is_named_where_there_is_one(axial_plan):
    from MeWMLib.scene.report import render_report

    document = PlanFolder(axial_plan).read()
    assert "scene.mrb" in render_report(document, (), ())
    assert "scene.mrb" not in render_report(document, (), (), scene=False)


def test_one_file_with_one_script_and_without_link(axial_plan):
    page, reader, text = _render(axial_plan)
    assert reader.tags.count("script") == 2, "the viewer's script, and the numbers that it reads"
    assert "link" not in reader.tags and "iframe" not in reader.tags
    assert reader.links and all(link.startswith("data:image/png;base64,") for link in reader.links)
    assert "url(" not in page and "@import" not in page
    assert "Research use only. Not for clinical decisions. Simulated volumes are not scans." in text


def test_says_what_the_plan_says(axial_plan):
    _, _, text = _render(axial_plan)
    document = PlanFolder(axial_plan).read()
    for candidate in document.plan.candidates:
        assert candidate.described in text
        assert f"{candidate.risk.log_risk:+.2f}".replace("-", "\N{MINUS SIGN}") in text
        assert f"{np.exp(candidate.risk.log_risk):.2f}" in text
    assert "A replica is one simulation of a protocol" in text
    for expected in (
        "A note.",
        document.bundle.sha256,
        "seed",
        "Child-Pugh class",
        "Lencioni 2016",
        "94 % of all tumour",
        "is in common use for this stage",
    ):
        assert expected in text
    assert "stopped before" not in text and "Left out" not in text


def test_everything_that_a_user_can_write_is_escaped(own_plan):
    def spoil(data):
        data["goal"] = data["case"] = data["labels"]["note"] = data["device"] = BAD
        data["policy"]["reasons"] = {name: BAD for name in data["policy"]["reasons"]}
        data["versions"][BAD] = data["bundle"]["name"] = BAD
        data["candidates"][0]["warnings"] = [{"rule": BAD, "severity": BAD, "reason": BAD, "source": BAD}]
        data["candidates"][0]["contributions"] = [{"action": BAD, "risk_without": 0.1, "risk_change": 0.1}]
        data["pruned"] = [{"protocol": "Cisplatin", "rules": [BAD]}]

    _edit(own_plan, spoil)
    page, reader, text = _render(own_plan, notes=[BAD])
    assert reader.tags.count("script") == 2 and "<script>" not in page
    assert "<script>alert(1)</script>" in text and "{{ 7 * 7 }}" in text


def test_mathematics_in_a_label_does_not_break_the_charts():
    from MeWMLib.scene.charts import STYLE

    assert STYLE["text.parse_math"] is False


def test_cancelled_plan_says_so(own_plan):
    _edit(own_plan, lambda data: data.update(stopped_by="cancelled"))
    _, _, text = _render(own_plan)
    assert "The search was stopped before it was finished" in text


def test_plan_without_candidates(own_plan):
    _edit(own_plan, lambda data: data.update(candidates=[], search_tree=[], stopped_by="cancelled"))
    _, _, text = _render(own_plan)
    assert "No protocol was ranked" in text


def test_missing_survival_and_clinical_data(own_plan):
    def strip(data):
        data["clinical"] = {}
        data["policy"]["reasons"] = {}
        for candidate in data["candidates"]:
            candidate["survival"] = {"months": [], "probability": []}
            candidate["median_survival_months"] = None

    _edit(own_plan, strip)
    _, _, text = _render(own_plan, notes=["3D pictures were left out"])
    assert "None given." in text and "not predicted" in text
    assert "3D pictures were left out" in text


def test_the_reading_of_the_goal_is_shown(own_plan):
    assert "How the goal was understood" not in _render(own_plan)[2], "an older plan does not know it"

    def read(data):
        data["goal_reading"] = {
            "text": data["goal"], "wanted": ["PVA"], "excluded": ["Cisplatin"],
            "limits": [{"of": "drugs", "at_most": 1}],
            "facts": {"heart_failure": "III"}, "not_understood": [BAD], "questions": ["really?"],
        }  # fmt: skip

    _edit(own_plan, read)
    page, _, text = _render(own_plan)
    assert "wanted: PVA" in text and "excluded: Cisplatin" in text and "limits: drugs up to 1" in text
    assert "heart_failure III" in text and "accepted by the user although asked : really?" in text
    assert "<script>" not in page


def test_none_is_said_only_where_all_rules_were_asked(own_plan):
    def asked(unjudged):
        def change(data):
            for candidate in data["candidates"]:
                candidate["warnings"] = []
                candidate["unjudged"] = unjudged

        _edit(own_plan, change)
        return _render(own_plan)[2]

    assert "None of the rules objects; all were asked" in asked({})
    text = asked({"allergies": ["allergy", "iodine-allergy-contrast"]})
    assert "Not judged: 2 rules" in text and "allergies (allergy, iodine-allergy-contrast)" in text
    assert "all were asked" not in text and "2 rules not judged" in text and "none (" not in text
    assert "all were asked" not in asked(None)


def test_many_candidates_are_cut(own_plan):
    def more(data):
        data["candidates"] = [{**data["candidates"][0], "rank": n + 1, "files": {}} for n in range(31)]

    _edit(own_plan, more)
    _, _, text = _render(own_plan)
    assert "11 more protocols are in plan.json" in text


def test_overlap_of_the_best_two_is_said(own_plan):
    def overlap(data):
        data["candidates"][0]["risk_replicas"] = [-1.0, 0.5]

    _edit(own_plan, overlap)
    assert "the order of the two is not certain" in _render(own_plan)[2]


def test_what_moved_the_risk_and_what_was_pruned_is_said(own_plan):
    assert "What each action moved" not in _render(own_plan)[2], "an older plan does not know it"

    def explain(data):
        data["candidates"][0]["contributions"] = [
            {"action": "Lipiodol 5 ml (emulsion)", "risk_without": -0.25, "risk_change": -0.75},
            {"action": "Cisplatin", "risk_without": None, "risk_change": None},
        ]
        data["pruned"] = [
            {"protocol": f"Cisplatin + {name}", "rules": ["one-platinum"]} for name in ("Lipiodol", "PVA")
        ]
        data.update(simulations=123, ruled_out=45)
        data["settings"]["search"] = "best_first"

    _edit(own_plan, explain)
    text = _render(own_plan)[2]
    for expected in (
        "\N{MINUS SIGN}0.75",
        "not simulated without it",
        "one-platinum",
        "Cisplatin + PVA; Cisplatin + Lipiodol",
    ):
        assert expected in text
    assert "123 simulations" in text and "45 more protocols were ruled out" in text


def test_a_tree_without_beams_has_a_column_for_each_number_of_agents():
    from MeWMLib.scene.charts import _boxed, short, tree_chart

    names = ("Cisplatin + PVA", "Cisplatin + Lipiodol + PVA", "Cisplatin + Mitomycin + Lipiodol + PVA")
    tree = [_step(n, "", name, -n / 7, n == 4) for n, name in enumerate(names, start=2)]
    assert (tree_chart(tree, tree[2].child) or b"").startswith(b"\x89PNG")
    start = Protocol(())
    assert _boxed(start, Protocol.parse("Cisplatin + Lipiodol")) == "Cisplatin + Lipiodol"
    dosed = "Cisplatin 100 mg (emulsion) + Mitomycin 10 mg (emulsion) + Lipiodol 14.5 ml + Raltitrexed 4 mg + PVA"
    # no word and no number is cut, whatever the width
    for width in (8, 20, 30, 60):
        assert short(dosed, width).split() == dosed.split()
    boxed = _boxed(start, Protocol.parse(dosed))
    assert "".join(filter(str.isdigit, boxed)) == "", "what two lines do not hold stands without doses"
    assert set(boxed.replace("+", " ").split()) == {"Cisplatin", "Mitomycin", "Lipiodol", "Raltitrexed", "PVA"}


def test_way_through_the_tree():
    from MeWMLib.scene.charts import _added, _column

    tree = [
        _step(1, "", "Cisplatin", 0.1, True),
        _step(1, "", "Mitomycin", 0.2, False),
        _step(2, "Cisplatin", "Cisplatin + PVA", 0.0, True),
        _step(2, "Mitomycin", "Cisplatin + PVA", 0.0, False),
    ]
    best = Protocol.parse("Cisplatin + PVA")
    assert way_to_best(tree, best) == {tree[0], tree[2]}
    assert way_to_best(tree, Protocol.parse("NBCA")) == way_to_best(tree, None) == set()
    assert _added(Protocol.parse("PVA"), best) == "Cisplatin"
    assert _column([_step(1, "", f"Cisplatin {n + 1} mg", -n, False) for n in range(20)])[1] == 6


def test_the_axis_of_the_survival_curves_ends_with_the_curves(axial_plan):
    from dataclasses import replace

    from MeWMLib.scene.charts import _until, survival_chart
    from MeWMLib.scene.survival_curves import last_month

    first, second = PlanFolder(axial_plan).read().plan.candidates[:2]
    months = (0.0, 6.0, 12.0, 24.0, 60.0)
    short = replace(first, risk=replace(first.risk, months=months, survival=(1.0, 0.5, 0.1, 0.01, 0.0)))
    long = replace(second, risk=replace(second.risk, months=months, survival=(1.0, 0.9, 0.8, 0.6, 0.3)))
    assert last_month([short]) == 24.0 and last_month([short, long]) == 60.0
    assert _until(short, 12.0) == ([0.0, 6.0, 12.0], [1.0, 0.5, 0.1])
    assert (survival_chart([short, replace(short, rank=2)]) or b"").startswith(b"\x89PNG")


def test_questions_and_a_density_that_is_not_known_are_said(own_plan):
    _page, _reader, text = _render(own_plan)
    assert "on this case" not in text and "not known" not in text

    def change(data):
        data["findings"]["liver_mean_hu"] = None
        data["questions"] = [
            {
                "topic": "liver-left",
                "severity": "severe",
                "text": "The liver is on the left.",
                "numbers": {"share": 0.9},
            },
            {"topic": "liver-cut", "severity": "warning", "text": BAD, "numbers": {}},
        ]

    _edit(own_plan, change)
    page, _reader, text = _render(own_plan)
    assert "Questions that were accepted and warnings on this case" in text
    assert "accepted by the user : The liver is on the left." in text
    assert "density without tumour not known" in text and "<script>" not in page


def test_a_protocol_that_was_named_has_a_report_without_rank(own_plan):
    def name(data):
        data["kind"] = "named"
        data["candidates"] = data["candidates"][:1]
        data["search_tree"] = []

    _edit(own_plan, name)
    text = _render(own_plan)[2]
    best = PlanFolder(own_plan).read().plan.candidates[0]
    assert best.described in text and "Predicted outcome" in text and "Predicted survival" in text
    said = text.lower()
    assert not [w for w in ("ranked", "lowest", "rank ", "how the search went", "best protocol") if w in said]


def test_a_forbidden_protocol_is_marked(own_plan):
    def forbid(data):
        rule = {"rule": "one-platinum", "severity": "forbidden", "reason": "Two platinums", "source": "Some"}
        data["candidates"][0]["warnings"] = [rule]

    _edit(own_plan, forbid)
    text = _render(own_plan)[2]
    assert "Forbidden by the clinical rules" in text and "one-platinum" in text and "--allow-forbidden" in text


def test_my_protocol_beside_the_first(own_plan):
    from dataclasses import replace

    from MeWMLib.core.beside import Beside, swaps
    from MeWMLib.core.comparison import Comparison, Difference
    from MeWMLib.core.plan import Contribution

    def by(change):
        return Difference(change, 0.3, gain=1.0, level=0.93)

    folder = PlanFolder(own_plan)
    document = folder.read()
    first, other = document.plan.candidates[:2]
    told = Comparison(gain=1, error=0.3, spread=0.0, level=0.93, measured=True)
    mine = replace(other, rank=0, contributions=(Contribution("Lipiodol 10 ml", 0.5, -0.61, by(-0.61)),))
    steps = swaps(mine.protocol, first.protocol)
    judged = [replace(s, log_risk=-0.333, risk_change=0.111, difference=by(0.111)) for s in steps[:1]]
    judged += [replace(s, forbidden=("a-rule",)) for s in steps[1:]]
    pair = Beside(mine, first, tuple(judged), told.difference(mine.risk, first.risk))
    folder.write(replace(document, beside=pair))
    text = _render(own_plan)[2]
    assert "Your protocol beside the first one" in text and mine.described in text and len(steps) > 1
    minus = "\N{MINUS SIGN}"
    difference = f"{pair.risk_difference:+.2f} log"
    for expected in (
        steps[0].text, "+0.11", f"{minus}0.48 to +0.70", "cannot be told apart (truly lower with 36 %)",
        "forbidden by a-rule", f"{minus}0.61", "truly lower with a probability of 98 %",
        difference.replace("-", minus), "lower is better)", "rank 1 is better with a probability of",
    ):  # fmt: skip
        assert expected in text, expected


def test_my_protocol_is_the_second_card_of_the_first_screen(own_plan):
    from dataclasses import replace

    from MeWMLib.scene.report import _choices

    ranked = PlanFolder(own_plan).read().plan.candidates
    mine = replace(ranked[0], rank=0, files={"ct": "mine.nrrd"})
    assert len(ranked) > 2
    assert [one.rank for one in _choices([*ranked, mine])][:3] == [1, 0, 2]
    assert [one.rank for one in _choices([mine])] == [0]


def test_weights_and_scores_are_printed(own_plan):
    def weigh(data):
        data["settings"].update(toxicity_weight=0.1, complexity_weight=0.05)
        data["candidates"][0]["utility"] = -0.77

    _edit(own_plan, weigh)
    text = _render(own_plan)[2]
    assert "toxicity 0.1, complexity 0.05" in text and "score \N{MINUS SIGN}0.77" in text and "Ranked first" in text


def test_viable_tumour_by_the_model_and_in_the_image_is_said(own_plan):
    def measured(data):
        data["candidates"][0]["viable"] = {"predicted_ml": 3.0, "measured_ml": 9.0, "tumour_ml": 20.0}

    _edit(own_plan, measured)
    text = _render(own_plan)[2]
    assert (
        "predicted by the model 3.0 ml, measured in the search's image 9.0 ml, which DIFFER by more than 3.0 ml" in text
    )


def test_the_page_begins_with_what_not_to_trust(own_plan):
    """Also where one protocol was simulated: the training, who saw the outlines, warnings, and equal ranks."""
    asked = [{"topic": t, "severity": "warning", "text": "T.", "numbers": {}} for t in ("limits-diameter", "liver-cut")]

    def change(data):
        data.update(
            questions=asked, trained_on="70 synthetic patients and no real pairs of scans; lesions of 1 to 2 mm"
        )
        data["labels"]["source"] = "assistant"
        data["comparison"] = {
            "gain": 0.8,
            "error": 5.0,
            "spread": 0.2,
            "absolute": 0.4,
            "level": 0.93,
            "measured": True,
        }

    _edit(own_plan, change)
    page, _, text = _render(own_plan)
    first = page[page.index('<div class="banner"') : page.index("<main>")]
    count = len(PlanFolder(own_plan).read().plan.candidates)
    for expected in (
        "ranking of protocols for a real patient: the model was trained on 70 drawn (synthetic) patients and no real",
        "Outlines: found by the segmenter, looked at by nobody.",
        "2 warnings on this case, 1 of them: outside of what the model was trained on.",
        f"Rank 1 cannot be told from rank{'s 2 to' if count > 2 else ''} {count}.",
    ):
        assert expected in first
    assert "two are told apart from 93 % on" in text and "that takes a probability of 93 %" in text
    _edit(own_plan, lambda data: data.update(kind="named", candidates=data["candidates"][:1], comparison=None))
    page, _, text = _render(own_plan)
    assert "70 drawn (synthetic) patients" in page[: page.index("<main>")] and "weight" not in text.lower()


def test_the_whole_interval_is_what_is_shown(own_plan):
    """By hand: 95 % of a normal distribution with the variances of replicas, members and the unseen added up."""

    def change(data):
        for one in data["candidates"]:
            one["risk_unseen"], one["risk_members"] = 0.4, []
            one["risk_replicas"] = [0.1, 0.2, 0.3]

    _edit(own_plan, change)
    page, _, text = _render(own_plan)
    reach = 1.959964 * np.sqrt(0.4**2 + 0.1**2)
    ends = [f"{x:+.2f}".replace("-", "\N{MINUS SIGN}") for x in (0.2 - reach, 0.2 + reach)]
    ratios = [f"{np.exp(x):.2f}" for x in (0.2 - reach, 0.2 + reach)]
    cards = page[page.index('<div class="facts">') : page.index("</main>")]
    assert f"95 % interval {' to '.join(ends)}" in cards and f"95 % interval {' to '.join(ratios)}" in cards
    assert text.count(" to ".join(ends)) > len(PlanFolder(own_plan).read().plan.candidates)
    assert "simulations of it with different seeds, alone lie from +0.10 to +0.30" in text
    assert not re.search(r"(?<![\w-])-\d", text), "one kind of minus"


def test_numbers_of_model_and_picture_stand_side_by_side(own_plan):
    from dataclasses import replace

    from MeWMLib.core.written import Criterion, Sample, WrittenNumbers

    folder = PlanFolder(own_plan)
    document = folder.read()
    written = WrittenNumbers(
        Sample(2, 3), "arterial", 60.0, 30.0, 60.0, 1.3, 9.0, 0.0, 0.0, 59.0, 47.0, seen_viable_ml=19.04, hidden_ml=1.0,
        criteria=(Criterion("mRECIST", "SD", ("first", "second reason")),),
    )  # fmt: skip
    first = replace(document.plan.candidates[0], written=written, protocol=Protocol.parse("LC beads + Epirubicin"))
    plan = replace(document.plan, candidates=(first, *document.plan.candidates[1:]))
    folder.write(replace(document, plan=plan))
    page, _, text = _render(own_plan)
    facts = page[page.index('data-mv-facts="1"') : page.index('data-mv-facts="2"')]
    assert (
        "predicted by the model" in facts and "measured in the picture:</em> 19.0 ml look viable, mRECIST SD" in facts
    )
    assert "with Lipiodol" not in facts and "beside Lipiodol" not in text, "none is given by this protocol"
    assert "second reason" in page[page.index("More on it") :]


def test_a_page_without_volumes_says_that_it_holds_pictures_of_the_scan(own_plan):
    from MeWMLib.scene.pictures import Picture

    picture = Picture("axial", "axial_before", "Axial CT", np.zeros((4, 4, 3), np.uint8))
    assert "holds pictures of a patient's CT" in _render(own_plan, pictures=[picture])[2]
    assert "of a patient's CT" not in _render(own_plan)[2]
