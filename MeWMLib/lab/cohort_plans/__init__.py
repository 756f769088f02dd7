"""Plans for whole cohorts, on several processes or computers: a study; the product plans one patient at a time."""
