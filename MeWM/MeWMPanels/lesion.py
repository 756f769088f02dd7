"""The lesion that the views are moved to: that of the session, or what has been drawn."""

from MeWMPanels.case_files import drawn_elsewhere, segments_of
from MeWMPanels.node_texts import findings_of, ticked_lesions


def _measured(front):
    """Where the target is, or the largest lesion, RAS mm, as it was measured or simulated; or None."""
    lesions = findings_of(front.parameters.findings)["lesions"]
    if lesions and not front.findings_outdated:
        ticked = ticked_lesions(front.parameters)
        return tuple(next((one for one in lesions if one["index"] in ticked), lesions[0])["centre_ras_mm"])
    comparison = front.comparison
    if comparison is not None and comparison.lesion is not None and not front.comparison_outdated:
        return comparison.lesion
    return None


def _drawn(front):
    """True if a segment of the tumour was drawn on this CT."""
    parameters = front.parameters
    return parameters.tumour_segment in dict(segments_of(parameters.segmentation)) and not drawn_elsewhere(parameters)


def is_known(front):
    """True if there is a lesion to go to. No voxel is looked at: panels ask whenever they are shown anew."""
    return _measured(front) is not None or _drawn(front)


def centre_of(front):
    """Where the lesion is, RAS mm; not measured yet, the middle of the tumour, which is looked for in all voxels of a
    segment; or None."""
    measured = _measured(front)
    if measured is None and _drawn(front):
        return front.parameters.segmentation.GetSegmentCenterRAS(front.parameters.tumour_segment)
    return measured
