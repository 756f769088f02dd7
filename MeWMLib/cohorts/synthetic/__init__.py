"""The synthetic TACE world: CT with tumours whose answer to each protocol follows a written law. No clinical
evidence."""
