"""Segment Editor, Extensions Index, self test, scenes of the command line, and other modules."""

from __future__ import annotations

from .record import PANELS, TESTS, Edit, Mend, one

_OUTDATED, _EDITOR = TESTS + "test_outdated.py::", TESTS + "test_editor.py::"
_MODULE, _CMAKE = TESTS + "test_module.py::", TESTS + "test_cmake.py::"
_SELF, _LINE = TESTS + "test_self_test.py::", TESTS + "test_command_line_scene.py::"
_ENDS = "Testing/jobs/test_processes.py::"

_HANDED = _EDITOR + "test_the_editor_is_handed_segmentation_and_ct"
_SEEN = _EDITOR + "test_edits_are_seen_while_the_panels_are_open_and_when_they_are_opened_again"
_KINDS = _EDITOR + "test_every_kind_of_edit_is_seen"
_SEGMENT_EDITOR = (
    one(
        "5 the segmentation is handed over",
        PANELS + "editor.py",
        "    node.SetAndObserveSegmentationNode(segmentation)\n",
        "",
        _HANDED,
    ),
    one("5 the CT too", PANELS + "editor.py", "    node.SetAndObserveSourceVolumeNode(ct)\n", "", _HANDED),
    one(
        "5 in the node that the editor reads",
        PANELS + "editor.py",
        "        node.SetSingletonTag(_TAG)\n",
        "",
        _HANDED,
    ),
    one("5 the editor is opened", PANELS + "editor.py", '    slicer.util.selectModule("SegmentEditor")\n', "", _HANDED),
    one(
        "5 edits are observed",
        PANELS + "front.py",
        "        self._edits.follow(self.parameters.segmentation)\n",
        "",
        _SEEN,
    ),
    *(
        one(
            f"5 {event} is observed",
            PANELS + "editor.py",
            f"kind.{event}",
            "kind.SegmentsOrderModified",
            _KINDS,
        )
        for event in ("SourceRepresentationModified", "SegmentModified", "SegmentRemoved")
    ),
    one(
        "5 enter() refreshes",
        "MeWM/MeWM.py",
        "            # another module may have changed what the panels show\n            self.front.refresh()\n",
        "            pass\n",
        _SEEN,
    ),
    one(
        "5 a simulated segmentation leaves the editor",
        PANELS + "editor.py",
        "            node.SetAndObserveSegmentationNode(None)\n",
        "",
        _EDITOR + "test_simulated_segments_leave_the_editor",
    ),
    one(
        "5 also an editor that comes later",
        PANELS + "editor.py",
        "            if id(node) not in known:\n",
        "            if False:\n",
        _EDITOR + "test_simulated_segments_leave_the_editor",
    ),
    one(
        "5 none is handed over",
        PANELS + "editor.py",
        "    if get_provenance(segmentation) is not None:\n        raise",
        "    if False:\n        raise",
        _EDITOR + "test_simulated_segments_are_neither_measured_nor_handed_over",
    ),
    one(
        "5 none is measured",
        PANELS + "case_files.py",
        "    if get_provenance(node) is not None:\n        raise simulated_error(node)\n",
        "",
        _EDITOR + "test_simulated_segments_are_neither_measured_nor_handed_over",
    ),
)

_ENTRY = _CMAKE + "test_the_entry_passes_the_checks_of_the_extensions_index"
_OLD = _MODULE + "test_an_old_slicer_is_told_in_one_sentence_and_nothing_else_happens"
_INDEX = (
    one(
        "6 category of the module",
        "MeWM/MeWM.py",
        '[_("Simulation")]',
        '[_("Oncology")]',
        _CMAKE + "test_the_module_is_in_the_category_of_its_entry",
    ),
    one("6 category of the entry", "MeWM.json", '"Simulation"', '"Oncology"', _ENTRY),
    one("6 category of the build", "CMakeLists.txt", '"Simulation"', '"Oncology"', _ENTRY),
    one("6 the repository begins with Slicer", "MeWM.json", "example/SlicerMeWM.git", "example/MeWM.git", _ENTRY),
    one("6 the module stays MeWM", "CMakeLists.txt", "project(MeWM)", "project(SlicerMeWM)", _ENTRY),
    one(
        "6 the address stands in one place",
        "CMakeLists.txt",
        'EXTENSION_HOMEPAGE "https://github.com/example/SlicerMeWM"',
        'EXTENSION_HOMEPAGE "https://github.com/other/SlicerMeWM"',
        _CMAKE + "test_the_address_of_the_repository_stands_in_one_place",
    ),
    one("6 the style of the entry", "MeWM.json", '"tier": 1', '"tier": "1"', _ENTRY),
    one(
        "6 every file is listed",
        "MeWM/CMakeLists.txt",
        "  MeWMPanels/editor.py\n",
        "",
        _CMAKE + "test_every_file_is_listed",
    ),
    one(
        "6 the oldest Slicer",
        "MeWM/MeWM.py",
        "OLDEST_SLICER = (5, 10)",
        "OLDEST_SLICER = (5, 8)",
        _MODULE + "test_which_slicers_are_old_enough",
        _OLD,
    ),
    one(
        "6 is said at load, and nothing else is done",
        "MeWM/MeWM.py",
        "            parent.helpText = too_old()\n            return\n",
        "            return\n",
        _OLD,
    ),
    one("6 and when it is opened", "MeWM/MeWM.py", "            self.layout.addWidget(self.old)\n", "", _OLD),
    one(
        "6 Python 3.9 understands the file",
        "MeWM/MeWM.py",
        "    here = (slicer.app.majorVersion, slicer.app.minorVersion)\n",
        "    match slicer.app.majorVersion, slicer.app.minorVersion:\n        case here:\n            pass\n",
        _MODULE + "test_the_file_that_an_old_slicer_reads_is_understood_by_its_python",
    ),
)

_SELF_TEST = _SELF + "test_it_tests_what_can_be_tested_and_says_the_rest"
_OWN_TEST = (
    one(
        "7 a fresh Slicer needs nothing for it",
        PANELS + "self_test.py",
        "from MeWMPanels import install\n",
        "from MeWMPanels import install, samples  # noqa: F401\n",
        _SELF_TEST,
    ),
    one(
        "7 it skips what needs packages",
        PANELS + "self_test.py",
        '    if lacking:\n        skipped.append(f"Sample',
        '    if False:\n        skipped.append(f"Sample',
        _SELF_TEST,
    ),
    one(
        "7 it says the rest",
        PANELS + "self_test.py",
        "        case.delayDisplay(sentence)\n",
        "        pass\n",
        _SELF_TEST,
    ),
    one(
        "7 with packages the sample is tested",
        PANELS + "self_test.py",
        "    else:\n        _sample(case, logic)\n",
        "",
        _SELF_TEST,
        _SELF + "test_a_failure_is_a_failure",
    ),
)

_FULL = _LINE + "test_the_module_shows_the_full_comparison[axial]"
_COMMAND_LINE = (
    one(
        "8 the command line writes the plan's node", "MeWMLib/scene/plan_nodes.py", "    mark(text, PLAN)\n", "", _FULL
    ),
    one(
        "8 its nodes carry their roles",
        "MeWMLib/scene/plan_nodes.py",
        "        node.SetAttribute(ROLE, role or role_of(node))\n",
        '        node.SetAttribute(ROLE, role or "")\n',
        _FULL,
    ),
    one(
        "8 CT and segments are chosen",
        PANELS + "front.py",
        "            self._choose_nodes_of(found)\n",
        "",
        _FULL,
    ),
    one(
        "8 one writer: make uses that of the panels",
        "MeWMLib/scene/make.py",
        "add_plan(",
        "(lambda *_given: None)(",
        _FULL,
    ),
)

_CLOSED = _MODULE + "test_a_scene_that_is_closed_under_another_module_keeps_nothing_of_mewm"
_READ = _MODULE + "test_a_scene_that_is_read_under_another_module_leaves_the_views_alone"
_AMONG_OTHERS = (
    one(
        "9 EndImport under another module changes no view",
        "MeWM/MeWM.py",
        "        self._imported = not self._entered\n        if self._entered:\n",
        "        self._imported = False\n        if True:\n",
        _READ,
    ),
    one("9 and is caught up on enter()", "MeWM/MeWM.py", " is None or self._imported):", " is None):", _READ),
    one(
        "9 a closed scene keeps no singleton of MeWM",
        "MeWM/MeWM.py",
        "        self.front.leave_scene()\n",
        "",
        _CLOSED,
    ),
    one("9 nor MeWM's layout", PANELS + "front.py", "        self.views.leave()\n", "", _CLOSED),
    one(
        "9 the build tree finds the weights",
        "CMakeLists.txt",
        "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}/MeWMLib/Resources/Bundles",
        "${CMAKE_BINARY_DIR}/Resources/Bundles",
        _CMAKE + "test_the_tree_configures",
    ),
    Mend(
        "9 no folder of tests shadows the package slicer",
        (Edit("Testing/slicer/__init__.py", "", "# a folder of tests\n"),),
        (_MODULE + "test_no_folder_of_tests_is_taken_for_the_package_slicer",),
    ),
    one(
        "9 errors are logged as errors",
        PANELS + "messages.py",
        "        logging.error(",
        "        logging.info(",
        _MODULE + "test_errors_are_logged_as_errors",
    ),
    one(
        "9 advice also behind Slicer's launcher",
        "MeWMLib/jobs/processes.py",
        "    elif _LAUNCHER_WORDS in stderr.lower():\n",
        "    elif False:\n",
        _ENDS + "test_a_launcher_that_hides_the_signal_still_gives_the_advice",
    ),
    one(
        "9 behind a shell",
        "MeWMLib/jobs/processes.py",
        'if known + 128 == code), "")',
        'if known == code + 1000), "")',
        _ENDS + "test_a_signal_is_named_also_behind_a_shell",
    ),
    one(
        "9 and on Windows",
        "MeWMLib/jobs/processes.py",
        "    if code >= _FIRST_STATUS:\n",
        "    if False:\n",
        _ENDS + "test_windows_has_status_codes",
    ),
)

MENDS = (*_SEGMENT_EDITOR, *_INDEX, *_OWN_TEST, *_COMMAND_LINE, *_AMONG_OTHERS)
