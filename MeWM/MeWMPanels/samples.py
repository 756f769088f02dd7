"""Sample cases as nodes."""

import numpy as np

from MeWMLib.cohorts import samples as cohort_samples
from MeWMLib.cohorts.samples import SAMPLES, SYNTHETIC_SEED, load_sample
from MeWMLib.core.protocol import Protocol
from MeWMLib.scene.nodes import image_of_array, volume_to_node
from MeWMLib.scene.segmentations import labels_to_segmentation, prepare_labels

#: The samples by name, with titles for a menu. The last one brings a CT after treatment too.
TREATED = "synthetic-treated"
TITLES = {
    **{name: info.title for name, info in SAMPLES.items()},
    TREATED: "Synthetic CT before and after TACE, for Judge CT after treatment",
}
#: What the patient of the last sample was given, in the synthetic world.
TREATED_WITH = "Epirubicin 50 mg + Lipiodol 10 ml"


def load(name, load_sample=load_sample):
    """Load a sample, on a thread.

    Returns:
        The sample, and the CT after treatment or None.
    """
    sample = load_sample("synthetic" if name == TREATED else name)
    if name in cohort_samples.TREATED:
        return sample, cohort_samples.load_treated(name).ct
    return sample, _treated(sample.ct) if name == TREATED else None


def given(name):
    """What the patient of a sample was given, for one with a CT after treatment."""
    return cohort_samples.TREATED.get(name, TREATED_WITH)


def _treated(before):
    """The same synthetic patient after treatment, drawn by the rules of that world: no network is involved."""
    # not at the top: the world needs scipy, and the start of Slicer must not wait for that
    from MeWMLib.cohorts.synthetic.world import SyntheticPatient

    drawn = SyntheticPatient.draw(SYNTHETIC_SEED).render(before.geometry, Protocol.parse(TREATED_WITH))
    return before.with_array(np.rint(drawn.hu).astype(before.array.dtype))


def prepare(sample):
    """The part of `add_to_scene` that takes time and needs no scene: images of CT and labels."""
    return image_of_array(sample.ct.array), prepare_labels(sample.labels)


def add_to_scene(scene, sample, prepared=None):
    """Add CT and labels of a sample; returns both nodes. `prepared` is from `prepare`, if that was called before."""
    image, labels = prepared or prepare(sample)
    ct = volume_to_node(scene, sample.ct, f"Sample {sample.name}", image)
    segmentation = labels_to_segmentation(scene, labels, f"Sample {sample.name}: liver and tumour", ct)
    return ct, segmentation
