"""A network of a bundle's dynamics part, rebuilt from its configuration and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from MeWMLib.core.bundle import rebuilding
from MeWMLib.core.errors import BundleError
from MeWMLib.core.records import from_plain

Config = TypeVar("Config")
Network = TypeVar("Network", bound=nn.Module)
Weights = dict[str, Tensor]

_REMEDY = "Use a bundle of this version, or train the part again with `mewm train dynamics`"


def rebuilt(
    settings: type[Config],
    network: Callable[[Config], Network],
    config: dict[str, Any],
    tensors: Mapping[str, NDArray[Any]],
    adapt: Callable[[Weights, Network], Weights] | None = None,
) -> Network:
    """The network of a part, in inference.

    Args:
        settings: the class of its configuration.
        network: makes the untrained network.
        config, tensors: the part.
        adapt: changes the weights of an older version, given the untrained network.

    Raises:
        BundleError: the part was made for another version of MeWM.
    """
    known = from_plain(settings, config, "the bundle's dynamics part", BundleError, _REMEDY)
    # the initial weights are replaced; drawing them must leave no trace
    with (
        rebuilding("The configuration of the bundle's dynamics part is not possible", _REMEDY),
        torch.random.fork_rng(devices=[]),
    ):
        model = network(known)
    weights = {k: torch.from_numpy(np.asarray(v, np.float32)) for k, v in tensors.items()}
    try:
        model.load_state_dict(weights if adapt is None else adapt(weights, model))
    except RuntimeError as error:
        raise BundleError(
            what="The bundle's dynamics part does not fit this version of MeWM",
            given=str(error).splitlines()[0][:200],
            remedy=_REMEDY,
        ) from error
    return model.eval()
