"""Combo contrastive learning: tumours under similar combos look alike, under other combos they differ.

Section "Combo Contrastive Learning" and eq. 3 of arXiv 2506.02327. The loss acts on tumour features of the one-step
estimate of x1, so its gradient reaches the denoiser.
"""

from __future__ import annotations

import torch
from torch import Tensor


def tumour_features(clean: Tensor, masks: Tensor) -> Tensor:
    """Features of a predicted change inside the tumour: mean and deviation of each channel.

    Args:
        clean: (N, C, d, h, w) one-step estimate.
        masks: (N, 2, d, h, w); the first is the share of tumour.

    Returns:
        (N, 2C).
    """
    weight = masks[:, :1]
    total = weight.sum((2, 3, 4)).clamp_min(1e-6)  # (N, 1)
    mean = (clean * weight).sum((2, 3, 4)) / total
    variance = ((clean - mean[:, :, None, None, None]).square() * weight).sum((2, 3, 4)) / total
    return torch.cat([mean, (variance + 1e-6).sqrt()], 1)


def combo_contrastive(features: Tensor, keywords: Tensor, pair: Tensor, temperature: float = 0.1) -> Tensor:
    """InfoNCE with cosine similarity.

    Positives of a row come from another pair whose combo shares keywords, weighted by the Jaccard overlap; negatives
    are the same pair under another combo. Rows that lack one of them do not count.

    Args:
        features: (N, F).
        keywords: (N, A) bool, which agents the combo holds.
        pair: (N,) which pre-treatment pair a row belongs to.
        temperature: delta of eq. 3.

    Returns:
        Scalar; 0 if no row counts.
    """
    unit = torch.nn.functional.normalize(features, dim=1, eps=1e-6)
    similarity = unit @ unit.T / temperature  # (N, N)
    words = keywords.float()
    both = words @ words.T
    either = words.sum(1)[:, None] + words.sum(1)[None] - both
    overlap = both / either.clamp_min(1.0)
    same_pair = pair[:, None] == pair[None]
    same_combo = overlap >= 1.0
    positive = torch.where(same_pair, 0.0, overlap)
    negative = same_pair & ~same_combo
    counts = (positive.sum(1) > 0) & negative.any(1)
    if not counts.any():
        return features.sum() * 0.0
    against = torch.where(negative, similarity, -torch.inf)
    losses = torch.logaddexp(similarity, torch.logsumexp(against, 1, keepdim=True)) - similarity  # of each positive
    each = (losses * positive)[counts].sum(1) / positive[counts].sum(1)
    return each.mean()
