"""Grow a trained denoiser by inputs that it lacks, to go on training it."""

from __future__ import annotations

from dataclasses import replace

import torch

from MeWMLib.dynamics.denoiser import Denoiser


def grown(model: Denoiser, response: bool, fate: tuple[float, ...]) -> Denoiser:
    """A denoiser with inputs that the given one lacks, for further training.

    The new inputs begin at weight zero, so that it draws what it drew before. A response head begins untrained.

    Args:
        model: without the response, or without the fate maps; one that has both is returned as it is.
        response: give the U-Net the response.
        fate: weights of the fate maps; empty keeps those that the model has.
    """
    wanted = replace(model.config, response=response or model.config.response, fate=model.config.fate or fate)
    if wanted == model.config:
        return model
    out = Denoiser(wanted, model.state_dict().get("actions.phi"))
    state = dict(model.state_dict())
    stem = torch.zeros_like(out.stem.weight)
    stem[:, : model.stem.in_channels] = state["stem.weight"]
    state["stem.weight"] = stem
    out.load_state_dict(state, strict=False)
    return out.train(model.training)
