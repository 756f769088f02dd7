"""What the numbers of a plan mean and in which image each is measured: one text for all that shows a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from MeWMLib.core.plan import ASSISTANT, MODEL, PlanSettings
from MeWMLib.core.written import LIPIODOL_FROM_HU

_RISK = (
    "Log-risk is the natural logarithm of the hazard ratio against the average synthetic patient of the training. "
    "`risk` is the survival network's own answer, a mean over the replicas. `risk_members` are the answers of an "
    "ensemble whose last layer was fitted again on other samples of the patients; they say how far the answer would "
    "move, and their mean need not be `risk`."
)
#: The only covariate of a survival model that depends on the volume of viable tumour and nothing else.
VIABLE_ALONE = "log1p_viable_ml_after"
_LIPIODOL = (
    f"Tissue with Lipiodol is tumour at {LIPIODOL_FROM_HU:.0f} HU and more, measured in a simulated image. The oil "
    "itself (`oil_ml_after`) is another number: the oil that the simulated iodine stands for, at 480 mg/ml."
)


@dataclass(frozen=True)
class NumbersExplained:
    """What the numbers of a plan mean, in sentences.

    Attributes:
        risk: what log-risk and its ensemble are.
        risk_goes_by: which viable volume and which outline the risk used.
        search: where the numbers of the ranking are measured.
        written: where those of a written volume are.
        lipiodol: tissue that holds it, and the oil itself.
        picture: how long after treatment the simulated scan is meant to be.
    """

    risk: str
    risk_goes_by: str
    search: str
    written: str
    lipiodol: str
    picture: str

    @classmethod
    def of(
        cls,
        settings: PlanSettings,
        on_maps: bool,
        outline_by: str = "",
        risk_from: Sequence[str] = (),
        ranked: bool = True,
    ) -> NumbersExplained:
        """The sentences for a plan.

        Args:
            settings: of the plan.
            on_maps: its dynamics model works on coarse maps.
            outline_by: who draws the outline after treatment.
            risk_from: the covariates of a survival model that looks at nothing else; empty for one that sees images.
            ranked: it is a ranking, and not one protocol that the user named.
        """
        image = (
            "the expected image of each replica, which is smooth and is not the written volume"
            if on_maps
            else "the simulated image of each replica, in the cube around the lesion"
        )
        outline = "the segmenter sees" if settings.judge == ASSISTANT else "the model simulates"
        if not on_maps and outline_by and outline_by != "simulated response":
            outline = f"is given by: {outline_by}"
        by_model, by_image = "predicted by the model", f"measured in {image}"
        which, other = (by_model, by_image) if settings.judge == MODEL else (by_image, by_model)
        alone = tuple(risk_from) == (VIABLE_ALONE,)
        goes_by = (
            "The predicted risk depends on one number alone: the volume of viable tumour after treatment."
            if alone
            else "The predicted risk goes by the volume of viable tumour after treatment."
        )
        picture = (
            f"The simulated scan is meant to be {settings.weeks:g} weeks after TACE."
            if on_maps
            else "This dynamics model is told no time: its picture is that of the scans after treatment that it was "
            "trained on."
        )
        return cls(
            risk=_RISK,
            risk_goes_by=f"{goes_by} It is {which}. The one {other} is shown for comparison and does not count. The "
            f"tumour is the volume inside the outline that {outline}.",
            search=f"{'Numbers of the ranking' if ranked else 'Predicted numbers'} are means over the replicas, "
            f"measured in {image}. Their volumes are brought to the findings before treatment; the survival network is "
            "told them as they are measured.",
            written="A written volume is one sample and has numbers of its own (`written`), measured in it and in its "
            "labels on the scan's own voxels.",
            lipiodol=_LIPIODOL,
            picture=picture,
        )
