"""The clinical fields of `core.clinical` as words that can be translated: Slicer's tools find literals only."""

from slicer.i18n import tr as _


def words():
    """Title and help of each field; a test holds them equal to the table in `core.clinical`."""
    return {
        "age_years": (_("Age"), ""),
        "sex": (_("Sex"), ""),
        "afp_ng_per_ml": (_("AFP"), ""),
        "child_pugh_class": (_("Child-Pugh class"), _("also with the points: B8, or Child-Pugh B (8)")),
        "bclc_stage": (_("BCLC stage"), ""),
        "bilirubin_mg_per_dl": (_("Bilirubin"), ""),
        "creatinine_mg_per_dl": (_("Creatinine"), ""),
        "albumin_g_per_dl": (_("Albumin"), ""),
        "main_portal_vein_thrombosis": (
            _("Main portal vein thrombosis"),
            _("older form of portal_vein_thrombosis: true is main; false is not main"),
        ),
        "extrahepatic_spread": (_("Extrahepatic disease"), _("metastases or lymph nodes outside the liver")),
        "body_surface_m2": (_("Body surface"), _("doses are scaled by it")),
        "child_pugh_score": (_("Child-Pugh points"), _("checked against the class")),
        "ecog": (_("ECOG performance status"), ""),
        "allergies": (
            _("Allergies"),
            _("iodine (contrast medium), platinum, anthracycline, an agent, or another substance; [] is none"),
        ),
        "heart_failure": (_("Heart failure (NYHA class)"), _("unspecified: there is one, its class is not stated")),
        "lvef_percent": (_("Left ventricular ejection fraction"), ""),
        "egfr_ml_per_min": (_("eGFR"), ""),
        "renal_failure": (_("Renal failure"), _("stated in words, or dialysis; better give creatinine or eGFR")),
        "platelets_10e9_per_l": (_("Platelets"), ""),
        "inr": (_("INR"), ""),
        "ascites": (_("Ascites"), ""),
        "encephalopathy": (_("Hepatic encephalopathy (grade)"), ""),
        "portal_vein_thrombosis": (_("Portal vein thrombosis"), _("Vp1 and Vp2 are segmental, Vp3 lobar, Vp4 main")),
        "arterioportal_shunt": (_("Arterioportal shunt"), ""),
        "biliary_intervention": (_("Biliary stent or anastomosis"), ""),
        "dilated_bile_ducts": (_("Dilated bile ducts"), _("without external drainage")),
        "hyperthyroidism": (_("Hyperthyroidism"), ""),
        "pregnancy": (_("Pregnancy"), ""),
        "tumour_burden_percent": (
            _("Tumour in the liver"),
            _("share of the liver's volume; measured on the labels where not given"),
        ),
        "previous_tace_sessions": (_("Previous TACE sessions"), ""),
        "previous_tace": (
            _("What was given before"),
            _("one protocol for each session, such as Doxorubicin 50 mg + Lipiodol 10 ml"),
        ),
    }
