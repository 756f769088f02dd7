"""Results that travel: a plan as DICOM objects of a study, checked, and to and from a PACS (docs/DICOM.md).

`study` says what every object of an export shares: a patient and a study that the user names, a synthetic one, or a
de-identified copy (`deidentify`). `ct_series`, `segments`, `deviation`, `report_sr` and `report_pdf` each write one
kind of object, `export` joins them, `verify` checks what arrived. `address`, `clients` (`dicomweb`, `dimse`) and
`transfer` talk to a PACS. pydicom and highdicom are imported when something is written.
"""
