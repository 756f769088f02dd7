"""The paper's tables and figures (arXiv 2506.02327) on a cohort on disk: `mewm reproduce`."""
