"""DICOM folders: the one way in for `plan`, `segment`, `assess` and `cohort import`.

`headers` reads one file (classic, enhanced or legacy-converted CT) into slice records, `scan` a folder, `stacks` says
which slices make one volume (`order` where no tag tells them apart), `series` chooses among them, `assemble` checks a
stack and lays its grid, `voxels` reads it in HU; `segmentation` reads DICOM SEG. pydicom and highdicom are imported
when the first folder is read.
"""
