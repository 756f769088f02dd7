"""Nothing of a former CT, patient or segmentation is shown or used."""

from __future__ import annotations

from .record import PANELS, TESTS, one

_OUTDATED, _EDITOR = TESTS + "test_outdated.py::", TESTS + "test_editor.py::"
_PUT_AWAY = _OUTDATED + "test_another_ct_puts_everything_of_the_former_one_away"
_EDITED = _OUTDATED + "test_an_edit_badges_every_panel_and_measuring_again_takes_the_badges_away"
_JUDGED = _OUTDATED + "test_what_was_judged_of_another_ct_or_of_other_labels_is_outdated"
_LATE = _OUTDATED + "test_results_of_a_job_do_not_land_on_another_ct"

MENDS = (
    one(
        "4 findings and proposal are cleared with another CT",
        PANELS + "followed_ct.py",
        "        forget_findings(front.parameters)\n",
        "",
        _PUT_AWAY,
    ),
    one(
        "4 the comparison is put away",
        PANELS + "followed_ct.py",
        "        front.comparison, front.shown_rank = None, 0\n",
        "",
        _PUT_AWAY,
    ),
    one("4 its volumes leave the views", PANELS + "followed_ct.py", "        front.views.show_ct(ct)\n", "", _PUT_AWAY),
    one(
        "4 its segmentations too",
        PANELS + "views.py",
        "                node.GetDisplayNode().SetVisibility(False)\n",
        "                pass\n",
        _PUT_AWAY,
    ),
    one("4 what was judged is cleared", PANELS + "followed_ct.py", "        front.outcome.forget()\n", "", _PUT_AWAY),
    one(
        "4 ranks are cleared",
        PANELS + "front.py",
        "mine[-1].candidates if mine else ()",
        "self.exploration.candidates",
        _PUT_AWAY,
    ),
    one(
        "4 the CT after treatment is cleared",
        PANELS + "followed_ct.py",
        "        front.parameters.post_ct = None\n",
        "",
        _PUT_AWAY,
    ),
    one(
        "4 the phase is that of the new CT",
        PANELS + "followed_ct.py",
        '        front.parameters.phase = ct.GetAttribute("MeWM.Phase") or "unknown"\n',
        "",
        _PUT_AWAY,
    ),
    one(
        "4 another CT asks about clinical data",
        PANELS + "followed_ct.py",
        "            front.desk.poller.later(self._ask)\n",
        "            pass\n",
        _OUTDATED + "test_another_ct_asks_about_clinical_data",
    ),
    one(
        "4 and No clears them",
        PANELS + "followed_ct.py",
        "            forget_clinical(parameters.clinical)\n",
        "",
        _OUTDATED + "test_another_ct_asks_about_clinical_data",
    ),
    one(
        "4 with the goal",
        PANELS + "followed_ct.py",
        '            parameters.exploration.goal = parameters.exploration.accepted_goal = ""\n',
        "",
        _OUTDATED + "test_another_ct_asks_about_clinical_data",
    ),
    one(
        "4 also where the former CT was deleted",
        PANELS + "followed_ct.py",
        "        last, self._last = self._last, now\n        if last in (None, now):",
        "        last, self._last = self._last, now\n        if not slicer.mrmlScene.GetNodeByID(last or ''):",
        _OUTDATED + "test_a_deleted_ct_is_a_former_one_too",
    ),
    *(
        one(f"4 badge: {what}", PANELS + file, old, new, _EDITED)
        for what, file, old, new in (
            ("findings", "segmentation.py", "            if outdated:\n", "            if False:\n"),
            (
                "Suggested",
                "actions.py",
                '"" if self.parameters.proposal and not outdated else measure',
                '"" if self.parameters.proposal else measure',
            ),
            ("hints", "actions.py", "{} if self.front.proposal_outdated else self._proposal", "self._proposal"),
            (
                "reasons",
                "actions.py",
                "        if outdated:\n            text = _(",
                "        if False:\n            text = _(",
            ),
            ("summary", "outcome.py", "if candidate and outdated:", "if False:"),
            (
                "list of comparisons",
                "outcome.py",
                " if self.front.outdated(comparison) else title",
                " if False else title",
            ),
            ("ranks", "exploration.py", "if self.candidates and outdated:", "if False:"),
            ("ticks", "treated.py", "if ticked and self._panel.front.findings_outdated:", "if False:"),
        )
    ),
    one(
        "4 badge: my protocol",
        PANELS + "mine.py",
        "        if self.front.comparison_outdated:",
        "        if False:",
        TESTS + "test_mine.py::test_an_outdated_comparison_is_compared_with_nothing",
    ),
    one(
        "4 rules do not use outdated lesions",
        PANELS + "node_texts.py",
        '"" if outdated else parameters.findings',
        "parameters.findings",
        _OUTDATED + "test_rules_do_not_use_lesions_that_are_outdated",
    ),
    one(
        "4 outdated ticks are refused",
        PANELS + "tasks.py",
        "        if parameters.targets and outdated:\n",
        "        if False:\n",
        _OUTDATED + "test_ticks_of_lesions_that_were_drawn_anew_are_refused",
    ),
    one(
        "4 what was judged of a CT after treatment is badged",
        PANELS + "outcome.py",
        'if self._judged else ""\n',
        'if False else ""\n',
        _JUDGED,
    ),
    one(
        "4 also where another CT after treatment is chosen",
        PANELS + "origin.py",
        "        if _times_of(parameters.post_ct) != self._after:\n",
        "        if False:\n",
        _JUDGED,
    ),
    one(
        "4 the lesion is not that of outdated findings",
        PANELS + "lesion.py",
        "    if lesions and not front.findings_outdated:\n",
        "    if lesions:\n",
        _OUTDATED + "test_the_lesion_that_is_gone_to_is_not_outdated",
    ),
    one(
        "4 nor that of an outdated comparison",
        PANELS + "lesion.py",
        "comparison.lesion is not None and not front.comparison_outdated:",
        "comparison.lesion is not None:",
        _OUTDATED + "test_the_lesion_that_is_gone_to_is_not_outdated",
    ),
    one(
        "4 other segments are a change",
        PANELS + "origin.py",
        "            found += [segment_id, image.GetMTime() if image is not None else 0]\n",
        "            found += [image.GetMTime() if image is not None else 0]\n",
        _OUTDATED + "test_other_segments_and_other_clinical_data_are_changes_too",
    ),
    one(
        "4 other clinical data are a change",
        PANELS + "origin.py",
        "        if clinical and origin.clinical and",
        "        if False and origin.clinical and",
        _OUTDATED + "test_other_segments_and_other_clinical_data_are_changes_too",
    ),
    one(
        "4 another goal is a change",
        PANELS + "origin.py",
        "        if goal and origin.clinical and",
        "        if False and origin.clinical and",
        _OUTDATED + "test_other_segments_and_other_clinical_data_are_changes_too",
    ),
    one(
        "4 voxels of the CT are a change",
        PANELS + "origin.py",
        "        if not self._now.same_ct(origin):",
        "        if False:",
        _OUTDATED + "test_other_voxels_of_the_ct_are_a_change",
    ),
    one(
        "4 a time of modification alone is none",
        PANELS + "origin.py",
        "            self._ask(parameters, now)\n",
        "            pass\n",
        _OUTDATED + "test_what_only_looks_changed_is_not_outdated",
    ),
    one(
        "4 a saved scene keeps what was computed from",
        "MeWMLib/scene/plan_nodes.py",
        "        text.SetAttribute(ORIGIN, origin.to_text())\n",
        "        pass\n",
        _OUTDATED + "test_a_saved_scene_knows_what_was_outdated",
    ),
    one(
        "4 findings carry it too",
        PANELS + "tasks.py",
        "        parameters.origin = case.origin.to_text()\n",
        "",
        _EDITED,
    ),
    one(
        "4 late findings do not land on another CT",
        PANELS + "tasks.py",
        "        if times(parameters)[:1] != seen[:1]:\n",
        "        if False:\n",
        _LATE,
    ),
    one(
        "4 nor a late segmentation",
        PANELS + "tasks.py",
        "        if parameters.ct is not ct:\n",
        "        if False:\n",
        _LATE,
    ),
    one(
        "4 nor a late comparison",
        PANELS + "front.py",
        "        if ct is not None and comparison.ct is not ct and not comparison.copied:\n",
        "        if False:\n",
        _LATE,
    ),
    one(
        "4 a segmentation of another grid is refused",
        PANELS + "case_files.py",
        "    if elsewhere:\n",
        "    if False:\n",
        _OUTDATED + "test_a_segmentation_of_another_grid_is_refused",
    ),
    one(
        "4 by its reference geometry, also without its CT",
        PANELS + "case_files.py",
        "    if not text or not converter.DeserializeImageGeometry(text, image, False):\n",
        "    if True:\n",
        _OUTDATED + "test_a_segmentation_of_another_grid_is_refused[the grid alone]",
    ),
    one(
        "4 the views do not go to a lesion of another grid",
        PANELS + "lesion.py",
        " and not drawn_elsewhere(parameters)\n",
        "\n",
        _OUTDATED + "test_a_segmentation_of_another_grid_is_refused",
    ),
    one(
        "4 a job that is taken up is shown on its own CT",
        PANELS + "taking_up.py",
        "        if Origin.of(there).same_ct(wanted):\n",
        "        if True:\n",
        TESTS + "test_left_jobs.py::test_a_whole_plan_goes_on_to_its_overlay_and_never_on_another_ct",
    ),
)
