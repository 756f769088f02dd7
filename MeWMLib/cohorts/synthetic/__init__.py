"""The synthetic TACE world: CT with tumours that answer to protocols by a written law. No clinical evidence."""
