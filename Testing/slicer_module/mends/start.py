"""What the start of Slicer, its Sample Data, PythonSlicer and the installation of packages need."""

from __future__ import annotations

from .record import PANELS, TESTS, Edit, Mend, one

_MAIN = "Testing/scene/test_main.py::"
_INSTALL, _SAMPLES = TESTS + "test_install.py::", TESTS + "test_sample_data.py::"
_TORCH = _INSTALL + "test_torch_comes_first_and_is_pinned_from_then_on"
_VERSION = _INSTALL + "test_installed_means_installed_in_a_version_that_works"

_PYTHON_SLICER = (
    one(
        "1 logics come from the modules' own packages",
        "MeWMLib/scene/core_app.py",
        "    if hasattr(slicer, name):\n        return",
        "    if True:\n        return",
        _MAIN + "test_makes_everything[kits only]",
    ),
    one(
        "1 nodes of modules too",
        "MeWMLib/scene/core_app.py",
        '            module_class(name, "MRML", class_name)\n',
        "            pass\n",
        # the libraries of slicer-core bring their nodes along, so only the error tells that they are asked for
        _MAIN + "test_a_module_of_slicer_that_cannot_be_reached_is_an_event_and_exit_code_3",
    ),
    one(
        "1 a package that is not there is an error with a way out",
        "MeWMLib/scene/core_app.py",
        'except (ImportError, AttributeError) as error:\n        raise DependencyError(\n            what=f"This',
        'except ZeroDivisionError as error:\n        raise DependencyError(\n            what=f"This',
        _MAIN + "test_a_module_of_slicer_that_cannot_be_reached_is_an_event_and_exit_code_3",
    ),
    one(
        "1 kits only is what PythonSlicer sees",
        "Testing/slicer_host/kits.py",
        "for kit in KITS),",
        'for kit in KITS),\n        "from slicer_core.vtkSlicerAnnotationsModuleLogic import *",',
        _MAIN + "test_kits_only_hold_no_class_of_a_module",
    ),
)

_SAMPLE_DATA = (
    *(
        one(
            f"2 entries have {what}",
            PANELS + "sample_data.py",
            line,
            "",
            _SAMPLES + "test_every_sample_is_an_entry_with_all_its_fields",
        )
        for what, line in (
            ("uris", "            uris=source.address,\n"),
            ("fileNames", "            fileNames=source.file,\n"),
            ("nodeNames", '            nodeNames=f"Sample {name}",\n'),
            ("checksums", '            checksums=f"SHA256:{source.sha256}" if source.sha256 else None,\n'),
        )
    ),
    one(
        "2 registering twice adds nothing",
        PANELS + "sample_data.py",
        "customDownloader=partial(load, name)",
        "customDownloader=lambda source, name=name: load(name)",
        _SAMPLES + "test_every_sample_is_an_entry_with_all_its_fields",
    ),
    one(
        "2 the start imports nothing heavy",
        PANELS + "sample_data.py",
        "from MeWMLib.cohorts.sample_table import SAMPLES, SOURCES\n",
        "from MeWMLib.cohorts.sample_table import SAMPLES, SOURCES\nfrom MeWMPanels import samples as _samples\n",
        _SAMPLES + "test_slicers_start_loads_nothing_of_weight",
    ),
    one(
        "2 nor does the file of the module",
        "MeWM/MeWM.py",
        "        import SampleData\n    except",
        "        import SampleData, numpy\n    except",
        _SAMPLES + "test_slicers_start_loads_nothing_of_weight",
    ),
    one(
        "2 a click without packages is no crash",
        PANELS + "sample_data.py",
        "    if lacking:\n",
        "    if False:\n",
        _SAMPLES + "test_a_click_without_packages_says_what_to_do",
    ),
)

_PACKAGES = (
    Mend(
        "3 torch comes first",
        (
            Edit(
                PANELS + "install.py",
                "obstacle = _torch_first(wheelhouse) if TORCH in names else None\n",
                "obstacle = None\n",
            ),
            Edit(
                PANELS + "install.py",
                "            _install_plain(plain, constraints(folder), wheelhouse)\n",
                "            _install_plain(plain, constraints(folder), wheelhouse)\n"
                "        obstacle = _torch_first(wheelhouse) if TORCH in names else None\n",
            ),
        ),
        (_TORCH,),
    ),
    one(
        "3 with torchVersionRequirement",
        PANELS + "install.py",
        "askConfirmation=True, torchVersionRequirement=TORCH_VERSION",
        "askConfirmation=True",
        _TORCH,
    ),
    one(
        "3 through the extension, not through pip",
        PANELS + "install.py",
        "        made = PyTorchUtilsLogic().installTorch(askConfirmation=True, torchVersionRequirement=TORCH_VERSION)",
        "        made = slicer.util.pip_install([TORCH]) or 1",
        _TORCH,
    ),
    one(
        "3 torch is pinned to what is there",
        PANELS + "install.py",
        '("SimpleITK", "numpy", "vtk", TORCH)',
        '("SimpleITK", "numpy", "vtk")',
        _INSTALL + "test_an_older_slicer_installs_with_pip_install_and_pins",
        _TORCH,
    ),
    one(
        "3 what pip cannot see may not be fetched",
        PANELS + "install.py",
        'lines.append(f"{name}<0\\n" if there is None else f"{name}=={there}\\n")',
        'lines += [f"{name}=={there}\\n"] if there else []',
        _INSTALL + "test_what_pip_cannot_see_is_never_replaced",
    ),
    one(
        "3 without PyTorch, what needs it waits",
        PANELS + "install.py",
        " and not (obstacle and name in ON_TORCH)",
        "",
        _INSTALL + "test_it_goes_on_after_the_restart_that_torch_needs",
    ),
    one(
        "3 a PyTorch that is too old is not replaced",
        PANELS + "install.py",
        "    if there is not None:\n        # other extensions",
        "    if False:\n        # other extensions",
        _INSTALL + "test_a_torch_that_is_too_old_is_not_replaced",
    ),
    one(
        "3 installed means in a version that works",
        PANELS + "install.py",
        "there is not None and there in wanted.specifier",
        "there is not None",
        _VERSION,
    ),
    one(
        "3 by slicer.packaging where there is one",
        PANELS + "install.py",
        "        from slicer.packaging import pip_check\n",
        "        pip_check = _check\n",
        _VERSION,
    ),
    one(
        "3 and pip_ensure installs there",
        PANELS + "install.py",
        "        from slicer.packaging import pip_ensure\n",
        "        raise ImportError\n",
        _INSTALL + "test_a_newer_slicer_installs_with_pip_ensure",
    ),
    one(
        "3 of MONAI the submodules that are needed",
        "MeWMLib/perception/segmenter.py",
        "from monai.networks.nets.dynunet import DynUNet",
        "from monai.networks.nets import DynUNet",
        _INSTALL + "test_of_monai_only_the_submodules_that_are_needed_are_imported",
    ),
    one(
        "3 pip 26 is named with its way round",
        PANELS + "install.py",
        "    if pip is None or Version(pip) < Version(_PIP_TOO_NEW):\n",
        "    if True:\n",
        _INSTALL + "test_the_obstacle_of_a_new_pip_is_named_with_its_way_round",
    ),
)

MENDS = (*_PYTHON_SLICER, *_SAMPLE_DATA, *_PACKAGES)
