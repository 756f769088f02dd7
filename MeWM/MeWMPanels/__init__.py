"""The panels of the Slicer module MeWM, and what they share. Nothing here imports torch: the worker process does."""
