"""Templates recognise what is given and nothing else, and a search fills them with doses that the networks know."""

from __future__ import annotations

import itertools
from functools import partial

import pytest

from MeWMLib.core.dosing import dose_rule, doses_for, over_limits
from MeWMLib.core.errors import RuleError
from MeWMLib.core.goal import Goal
from MeWMLib.core.patient import Clinical, Findings, Lesion
from MeWMLib.core.protocol import ActionSpace, Protocol, agents_of, vocabulary
from MeWMLib.core.templates import completions, described, template_of, templates, title_of
from MeWMLib.policy import rules

#: The regimens of Table 4 of arXiv 2506.02327, one for each patient.
TABLE_4 = (
    *("Cisplatin + Doxorubicin + Mitomycin + Lipiodol",) * 4,
    *("Cisplatin + Mitomycin + Lipiodol",) * 3,
    *("Doxorubicin + LC beads + Lipiodol",) * 3,
)
#: The six reports of Table 5: how each agent was given, and the template.
TABLE_5 = (
    ("Raltitrexed 4 mg (infused) + Epirubicin 5 mg (emulsion) + Lipiodol 5 ml + Gelatin Sponge", "infusion_emulsion"),
    ("Pirarubicin 20 mg + Lipiodol 10 ml", "ctace"),
    ("Pirarubicin 40 mg (emulsion) + Lipiodol 30 ml (emulsion) + Gelatin Sponge", "ctace"),
    ("Cisplatin 40 mg (infused) + Lipiodol 13 ml (embolised)", "ctace_infused"),
    ("Oxaliplatin 100 mg (infused) + Epirubicin 40 mg + Lipiodol 10 ml + Gelatin Sponge", "infusion_emulsion"),
    ("Epirubicin 40 mg (infused) + Oxaliplatin 100 mg (infused) + Lipiodol 10 ml (embolised)", "ctace_infused"),
)
WHOLE = ActionSpace(agents_of("drug"), agents_of("embolic"), {}, "test")


def _findings(diameter_mm: float) -> Findings:
    lesion = Lesion(1, 10.0, diameter_mm, (0.0, 0.0, 0.0), 90.0, 5.0, 0.0, 0.0, 10.0)
    return Findings(1500.0, 100.0, (lesion,))


@pytest.mark.parametrize("text", TABLE_4)
def test_every_regimen_of_table_4_fits_a_template(text: str) -> None:
    assert title_of(Protocol.parse(text)) == ("DEB-TACE" if "beads" in text else "cTACE")


@pytest.mark.parametrize(("text", "name"), TABLE_5)
def test_every_report_of_table_5_fits_a_template(text: str, name: str) -> None:
    assert template_of(Protocol.parse(text)) == name
    # without doses and routes, as an older plan has it, it still fits one
    assert template_of(Protocol.of(Protocol.parse(text).agents)) is not None


@pytest.mark.parametrize(
    "text",
    [
        "Raltitrexed + Cisplatin + PVA + LC beads",
        "Cisplatin + PVA",
        "Doxorubicin + Lipiodol + Gelatin Sponge + PVA",
        "Doxorubicin + NBCA",
        "Cisplatin + LC beads",
        "Doxorubicin + LC beads + PVA",
        "Raltitrexed + Hydroxycamptothecin + Oxaliplatin + Mitomycin + Lipiodol",
        "Epirubicin",
        "Lipiodol",
        "LC beads",
    ],
)
def test_what_nobody_gives_fits_none(text: str) -> None:
    protocol = Protocol.parse(text)
    assert template_of(protocol) is None and title_of(protocol) == "fits no template"
    assert described(protocol) == f"{protocol.text} (fits no template)"


def test_described_as_a_sentence() -> None:
    said = {
        "Epirubicin 50 mg + Lipiodol 10 ml + Gelatin Sponge": "cTACE: Epirubicin 50 mg in Lipiodol 10 ml, then Gelatin "
        "Sponge",
        "Doxorubicin 75 mg + LC beads 2 ml": "DEB-TACE: Doxorubicin 75 mg on LC beads 2 ml",
        "PVA": "TAE: PVA",
        "Lipiodol 10 ml + PVA": "TAE: Lipiodol 10 ml, then PVA",
        "Oxaliplatin 100 mg (infused) + Epirubicin 50 mg (emulsion) + Lipiodol 10 ml + PVA": "infusion + emulsion: "
        "Oxaliplatin 100 mg infused, then Epirubicin 50 mg in Lipiodol 10 ml, then PVA",
        "Cisplatin + Doxorubicin + Mitomycin + Lipiodol": "cTACE: Cisplatin, Mitomycin and Doxorubicin in Lipiodol",
    }
    assert {text: described(Protocol.parse(text)) for text in said} == said


def test_what_a_search_gets_fits_its_template_with_doses_that_the_networks_were_trained_with() -> None:
    permitted = partial(rules.allowed, clinical=Clinical(), complete=True)
    for diameter, surface in itertools.product((8.0, 31.0, 200.0), (None, 1.2, 2.6)):
        found = completions(WHOLE, permitted, doses_for(_findings(diameter), Clinical(body_surface_m2=surface)))
        assert len({frozenset(p.agents) for p in found}) == len(found), "the networks see no route"
        names = {template_of(p) for p in found}
        assert names == {"ctace", "infusion_emulsion", "deb_tace", "tae"}
        for protocol in found:
            assert protocol.complete and permitted(protocol)
            assert Protocol.parse(protocol.text) == protocol
            for action in protocol.actions:
                known = vocabulary()[action.agent]
                assert (action.dose is None) == (known.agent_class == "particle")
                assert action.dose is None or known.dose_low <= action.dose <= known.dose_high
            if template_of(protocol) in ("ctace", "infusion_emulsion"):
                assert {"Gelatin Sponge", "PVA", "KMG"} & set(protocol.agents), "the flow is stopped"


def test_completions_against_plain_enumeration() -> None:
    """Oracle: every subset of a small space, kept if it fits a template that is proposed and is not cut short."""
    space = ActionSpace(("Doxorubicin", "Mitomycin", "Raltitrexed"), ("Lipiodol", "PVA", "LC beads"), {}, "test")
    names = (*space.drugs, *space.embolics)
    wanted = set()
    for size in range(1, 7):
        for agents in itertools.combinations(names, size):
            name = template_of(Protocol.of(agents))
            whole = "PVA" in agents or name not in ("ctace", "infusion_emulsion")
            if name is not None and name != "ctace_infused" and whole:
                wanted.add(frozenset(agents))
    # two infused drugs are recognised, and one is proposed
    found = completions(space, lambda p: True, doses_for(None))
    assert {frozenset(p.agents) for p in found} == {w for w in wanted if not {"Raltitrexed", "Mitomycin"} <= w}
    fewer = completions(space, lambda p: True, doses_for(None), drugs=1, embolics=1)
    assert all(len(p.drugs) <= 1 and len(p.embolics) == 1 for p in fewer)
    assert {p.agents for p in fewer} == {
        ("Doxorubicin", "LC beads"), ("PVA",), ("Doxorubicin", "Lipiodol"), ("Mitomycin", "Lipiodol")
    }  # fmt: skip


def test_particles_are_left_out_only_where_a_rule_forbids_them() -> None:
    known = {"clinical": Clinical(main_portal_vein_thrombosis=True), "goal": Goal(insists=True)}
    clotted = partial(rules.allowed, complete=True, **known)  # type: ignore[arg-type]
    found = completions(WHOLE, clotted, doses_for(None))
    assert found and all(set(p.embolics) == {"Lipiodol"} for p in found)


def test_nothing_left_says_why() -> None:
    glue = ActionSpace(("Doxorubicin",), ("NBCA",), {}, "test")
    with pytest.raises(RuleError, match="No template can be filled.*--space free"):
        completions(glue, lambda p: True, doses_for(None))
    with pytest.raises(RuleError, match="rules forbid every protocol that fills a template"):
        completions(WHOLE, lambda p: False, doses_for(None))


@pytest.mark.parametrize(("diameter", "expected"), [(20.0, 5.0), (72.0, 7.0), (149.0, 15.0), (260.0, 15.0)])
def test_lipiodol_is_a_millilitre_for_each_centimetre_from_5_to_15(diameter: float, expected: float) -> None:
    assert doses_for(_findings(diameter))("oil", "Lipiodol") == expected


def test_doses_follow_size_and_body_surface_and_the_slot() -> None:
    small, large = doses_for(_findings(25.0)), doses_for(_findings(60.0))
    assert (small("emulsion", "Epirubicin"), large("emulsion", "Epirubicin")) == (30.0, 50.0)
    assert (large("emulsion", "Doxorubicin"), large("loaded", "Doxorubicin")) == (50.0, 75.0)
    slight = doses_for(_findings(60.0), Clinical(body_surface_m2=1.36))
    assert slight("emulsion", "Epirubicin") == 40.0 and slight("oil", "Lipiodol") == 6.0
    assert large("particles", "PVA") is None and dose_rule("particles", "PVA") is None


@pytest.mark.parametrize(
    ("text", "clinical", "rule"),
    [
        ("Doxorubicin 50 mg + Lipiodol 15.5 ml", {}, "limit-lipiodol"),
        ("Doxorubicin 76 mg + Lipiodol 10 ml", {"body_surface_m2": 1.0}, "limit-doxorubicin-m2"),
        ("Doxorubicin 151 mg + LC beads", {}, "limit-doxorubicin"),
        ("Cisplatin 100 mg + Lipiodol", {"body_surface_m2": 0.9}, "limit-cisplatin-m2"),
    ],
)
def test_a_dose_above_a_limit_is_warned_of_with_its_source(text: str, clinical: dict[str, float], rule: str) -> None:
    protocol, known = Protocol.parse(text), Clinical(**clinical)  # type: ignore[arg-type]
    found = {f.rule: f for f in rules.check(protocol, known)}
    assert found[rule].severity == "warning" and found[rule].source
    assert rule in {e.rule for e in rules.explain(protocol, known) if e.state == rules.TOUCHED}
    lower = Protocol.parse("Doxorubicin 50 mg + Cisplatin 50 mg + Lipiodol 15 ml")
    assert not over_limits(lower, Clinical(body_surface_m2=1.7)) and not over_limits(Protocol.of(["Lipiodol"]), known)


def test_values_of_the_patient_reduce_a_dose() -> None:
    """Half above 1.2 mg/dl of bilirubin, a quarter above 3; raltitrexed by eGFR; nothing where it is not known."""
    for bilirubin, epirubicin in ((None, 50), (1.2, 50), (1.3, 25), (3.0, 25), (3.1, 12)):
        dose = doses_for(_findings(60.0), Clinical(bilirubin_mg_per_dl=bilirubin))
        assert dose("emulsion", "Epirubicin") == epirubicin and dose("emulsion", "Cisplatin") == 100
    for egfr, raltitrexed in ((None, 4), (66, 4), (65, 3), (54, 2)):
        assert doses_for(_findings(60.0), Clinical(egfr_ml_per_min=egfr))("infused", "Raltitrexed") == raltitrexed
    assert doses_for(_findings(60.0), Clinical(bilirubin_mg_per_dl=2.0))("loaded", "Doxorubicin") == 38


def test_the_table_says_who_describes_each_template_and_dose() -> None:
    for template in templates():
        assert template.source and template.text
    named = {name for template in templates() for slot in template.slots for name in slot.agents}
    for name in named:
        rule = dose_rule("", name)
        assert rule is None or rule.source
