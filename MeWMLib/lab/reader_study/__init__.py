"""Reader studies: made of real and simulated scans, scored from answers and key, planned (docs/READER_STUDY.md)."""
