"""Training on the patients of a cohort on disk (docs/COHORTS.md), real or synthetic: `mewm train PART --cohort DIR`."""
