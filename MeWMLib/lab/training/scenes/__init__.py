"""Scenes that the segmenter learns from: real outlines of livers and tumours in drawn abdomens of random contrast."""
