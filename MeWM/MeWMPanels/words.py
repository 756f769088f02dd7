"""Words of MeWMLib that the panels show, as literals: Slicer's tools for translators find nothing else."""

from slicer.i18n import tr as _

from MeWMLib.jobs.table import common_title, kind_of


def job_title(kind):
    """What is being done, for the progress area; `kind` is the name of a kind of job."""
    known = {
        "plan": _("Exploring protocols"),
        "simulate": _("Simulating"),
        "segment": _("Finding liver and tumour"),
        "propose": _("Measuring lesions"),
        "assess": _("Assessing the CT after treatment"),
    }
    return known.get(kind, kind_of(kind).title)


def stage_title(kind, stage):
    """A title for a stage of a job; `kind` is "" for a job of no kind."""
    known = {
        "upload": _("Send"),
        "read": _("Read"),
        "load": _("Load networks"),
        "segment": _("Segment"),
        "propose": _("Propose"),
        "write": _("Write"),
        "download": _("Fetch"),
        "pictures": _("Pictures"),
        "plan plan": _("Search"),
        "plan beside": _("Comparisons"),
        "plan simulate": _("Simulate the best"),
        "simulate plan": _("Simulate"),
        "simulate simulate": _("Write volumes"),
        "assess segment_after": _("Segment the CT after treatment"),
        "assess register": _("Register"),
        "assess assess": _("Assess the risk"),
    }
    english = kind_of(kind).stage_title(stage) if kind else common_title(stage)
    return known.get(f"{kind} {stage}") or known.get(stage, english)


def sample_title(name, english):
    """The title of a sample; the English one for a sample that is not known here."""
    known = {
        "synthetic-hcc": _("Synthetic HCC in the arterial phase, before and after a TACE, drawn without a network"),
        "synthetic": _("Synthetic CT with liver tumours, drawn without a network"),
        "lits-117": _("Real portal-phase CT with several dark lesions (LiTS 117, a 128^3 crop, 5 MB)"),
        "synthetic-treated": _("Synthetic CT before and after TACE, for Judge CT after treatment"),
    }
    return known.get(name, english)


def sentences(*parts):
    """Sentences one after the other; empty ones are left out."""
    return " ".join(part for part in parts if part)
