"""From physical maps (tissue, iodine) to HU as a scanner shows them; no patients, no networks."""
