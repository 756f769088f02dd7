"""The samples in Slicer's module Sample Data.

They are registered while Slicer starts, so nothing is imported at the top but their table; what loads one is imported
when it is asked for.
"""

from functools import partial

import slicer
from slicer.i18n import tr as _

from MeWMLib.cohorts.sample_table import SAMPLES, SOURCES
from MeWMLib.core.errors import MeWMError

CATEGORY = "MeWM"


def register(sample_data_logic, icon):
    """Show the samples in the module Sample Data.

    MeWMLib loads them, since none is a file that Slicer could read; the address and the checksum tell what is fetched.

    Args:
        sample_data_logic: `SampleData.SampleDataLogic`.
        icon: path of their picture.
    """
    for name in SAMPLES:
        source = SOURCES[name]
        sample_data_logic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=f"MeWM {name}",
            uris=source.address,
            fileNames=source.file,
            nodeNames=f"Sample {name}",
            checksums=f"SHA256:{source.sha256}" if source.sha256 else None,
            loadFiles=False,
            # no lambda: Slicer compares entries as texts, and a module that is reloaded would add each one again
            customDownloader=partial(load, name),
            thumbnailFileName=icon,
        )


def load(name, _source=None):
    """Load a sample into the scene; returns its nodes, or none after a message that says why."""
    from MeWMPanels import install

    lacking = install.missing(install.FOR_PANELS)
    if lacking:
        slicer.util.selectModule("MeWM")
        text = _("The samples of MeWM need Python packages that are not installed: {names}. Press Install packages...")
        slicer.util.errorDisplay(text.format(names=", ".join(lacking)), windowTitle="MeWM")
        return []
    from MeWMPanels import samples

    try:
        return list(samples.add_to_scene(slicer.mrmlScene, samples.load(name)[0]))
    except MeWMError as error:
        slicer.util.errorDisplay(str(error), windowTitle="MeWM")
        return []
