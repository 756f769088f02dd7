"""The heuristic function of arXiv 2506.02327 (section 3.3, B.4): CT and tumour before and after treatment to a risk.

Differences from the paper, each for a CPU or for small cohorts: 16 instead of 64 features and one block a stage; the
depth is halved with the plane; group instead of batch normalisation; the CT inside the tumour is a third input plane,
and its histogram joins the tokens; sizes and clinical data join late; the survival regression is a hazard for each
interval of time, which censored patients can be scored on, instead of a regression on months.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from MeWMLib.core.bundle import rebuilding
from MeWMLib.core.errors import InputError, SurvivalDataError
from MeWMLib.survival.config import GROUP, SurvivalConfig, check_edges
from MeWMLib.survival.layers import Densities, GatedAttention, Positions, Residual, TwoWay

_MIN_SIDE = 16


class SurvivalOutput(NamedTuple):
    """What the network says about N patients.

    Attributes:
        log_risk: (N,) unbounded; the log hazard ratio against the average training patient. Protocols are ranked by it.
        log_increments: (N, B) log of the cumulative hazard that each interval adds: log_risk + baseline.
        patch_attention: (N, P) share of each patch in the score; sums to 1 over the patches of a patient.
        members: (N, M) log-risk of each bootstrap member of the last layer; (N, 0) without members.
        features: (N, E) what the last layer sees, for fitting the members.
    """

    log_risk: Tensor
    log_increments: Tensor
    patch_attention: Tensor
    members: Tensor
    features: Tensor

    @property
    def hazards(self) -> Tensor:
        """(N, B) probability of death in each interval for a patient alive at its start: 1 - exp(-exp(increment))."""
        return -torch.expm1(-torch.exp(self.log_increments))


class Prognosis(NamedTuple):
    """What the network says about one patient.

    Attributes:
        log_risk: log hazard ratio against the average training patient; lower is better.
        months: (B + 1,) times of the predicted survival curve.
        probability: (B + 1,) of being alive then.
        members: (M,) log-risk of each bootstrap member; empty for a bundle without members.
    """

    log_risk: float
    months: NDArray[np.float64]
    probability: NDArray[np.float64]
    members: NDArray[np.float64]


def survival_curve(hazards: Any, edges: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn interval hazards into a survival curve: S(t_b) is the product of 1 - h over the intervals up to t_b.

    The hazards of the network are proportional (complementary log-log link): S(t) = exp(-exp(log_risk) H0(t)).
    So the curve of a patient with a higher log-risk is lower at every time.

    Args:
        hazards: (B,) or (N, B) in [0, 1].
        edges: B + 1 edges in months.

    Returns:
        months (B + 1,) and probability (B + 1,) or (N, B + 1); it begins with 1 at 0 months and never rises.

    Raises:
        SurvivalDataError: hazards outside [0, 1], or of another number than the edges.
    """
    bounds = check_edges(edges)
    values = np.asarray(hazards.detach().cpu() if isinstance(hazards, Tensor) else hazards, dtype=np.float64)
    if values.ndim not in (1, 2) or values.shape[-1] != bounds.size - 1 or not ((values >= 0) & (values <= 1)).all():
        raise SurvivalDataError(what="The hazards are not probabilities of the intervals", given=str(values.shape))
    start = np.ones((*values.shape[:-1], 1))
    return bounds, np.cumprod(np.concatenate([start, 1.0 - values], axis=-1), axis=-1)


class SurvivalNetwork(nn.Module):
    """Pre- and post-treatment [CT, tumour mask] and covariates to a log-risk and a discrete survival curve."""

    def __init__(self, config: SurvivalConfig) -> None:
        super().__init__()
        self.config = config
        late, hidden = len(config.covariates), config.hidden if config.images else 0
        if config.images:
            self._read_images(config)
        # A straight path makes the network at least the linear Cox model of its covariates.
        self.straight = nn.Linear(late, 1, bias=False) if late else None
        widths = torch.diff(torch.tensor(config.edges_months, dtype=torch.float32))
        # A patient of log-risk 0 begins with an exponential survival of a median of 24 months.
        self.baseline = nn.Parameter(torch.log(widths * float(np.log(2)) / 24))
        self.register_buffer("covariate_mean", torch.zeros(late))
        self.register_buffer("covariate_scale", torch.ones(late))
        self.register_buffer("risk_shift", torch.zeros(()))
        self.register_buffer("risk_scale", torch.ones(()))
        if config.members:
            self.register_buffer("member_weights", torch.zeros(config.members, hidden + late))
            self.register_buffer("member_shift", torch.zeros(config.members))

    def _read_images(self, config: SurvivalConfig) -> None:
        """The layers that look at images and join them with the covariates."""
        stages = [config.width * n for n in (1, 2, 4, 6)]
        features = stages[-1]
        self.stem = nn.Sequential(
            nn.Conv3d(3, config.width, (3, 7, 7), stride=2, padding=(1, 3, 3), bias=False),
            nn.GroupNorm(config.width // GROUP, config.width),
            nn.ReLU(inplace=True),
        )
        blocks: list[nn.Module] = []
        inputs = config.width
        for stage, (outputs, count) in enumerate(zip(stages, config.blocks, strict=True)):
            for block in range(count):
                volumetric, halve = stage < config.volumetric_stages, stage > 0 and block == 0
                blocks.append(Residual(inputs, outputs, volumetric=volumetric, halve=halve))
                inputs = outputs
        self.stages = nn.Sequential(*blocks)
        self.positions = Positions(features)
        self.densities = Densities(features)
        self.exchange = TwoWay(features, config.heads)
        self.pool_tokens = GatedAttention(2 * features, config.hidden)
        self.pool_patches = GatedAttention(2 * features, config.hidden)
        self.head = nn.Sequential(
            nn.LayerNorm(2 * features),
            nn.Dropout(config.dropout),
            nn.Linear(2 * features, config.hidden),
            nn.GELU(),
        )
        self.risk = nn.Linear(config.hidden + len(config.covariates), config.hidden)
        self.risk_out = nn.Linear(config.hidden, 1)
        nn.init.zeros_(self.risk_out.bias)

    def encode(self, image: Tensor) -> Tensor:
        """Encode the cubes of one time point; the tokens before treatment can be kept for all protocols.

        Args:
            image: (N, P, 2, D, H, W): CT in [-1, 1] (window -175 to 600 HU) and tumour mask in [0, 1].

        Returns:
            (N, P, T, C) tokens; T is 27 for cubes of 48^3. One of zeros for a model without images.

        Raises:
            InputError: another shape, or a side under 16 voxels.
        """
        if image.ndim != 6 or image.shape[2] != 2 or min(image.shape[3:]) < _MIN_SIDE or 0 in image.shape:
            raise InputError(
                what="The survival network needs (patients, patches, 2, D, H, W): CT and tumour mask",
                given=str(tuple(image.shape)),
                remedy=f"Give at least one patch with sides of at least {_MIN_SIDE} voxels",
            )
        n, p = image.shape[:2]
        if not self.config.images:
            return self.baseline.new_zeros(n, p, 1, 1)
        flat = image.flatten(0, 1).to(self.baseline.dtype)  # (N P, 2, D, H, W)
        ct, mask = flat[:, :1], flat[:, 1:]
        x = torch.cat([flat, (ct + 1) * mask], dim=1)  # (N P, 3, D, H, W)
        # oneDNN sends a single small 3D convolution down a path that is several times slower than two of them.
        alone = x.shape[0] == 1 and x.device.type == "cpu" and not torch.is_grad_enabled()
        if alone:
            x = x.expand(2, -1, -1, -1, -1)
        maps = self.stages(self.stem(x))[: n * p]  # (N P, C, D', H', W')
        tokens = self.positions(maps) + self.densities(ct, mask, tuple(maps.shape[2:]))  # (N P, T, C)
        return tokens.unflatten(0, (n, p))

    def risk_from_tokens(self, pre: Tensor, post: Tensor, covariates: Tensor) -> SurvivalOutput:
        """Judge encoded patients.

        Args:
            pre, post: (N, P, T, C) from `encode`; N of `pre` may be 1, one patient for N protocols.
            covariates: (N, F) in the order of `config.covariates`; NaN where not known.

        Raises:
            InputError: tokens or covariates that do not fit one another.
        """
        if pre.shape[0] == 1:
            pre = pre.expand(post.shape[0], -1, -1, -1)
        if pre.shape != post.shape or covariates.shape != (post.shape[0], len(self.config.covariates)):
            raise InputError(
                what="Tokens before, tokens after and covariates do not fit one another",
                given=f"{tuple(pre.shape)}, {tuple(post.shape)}, {tuple(covariates.shape)}",
                remedy="Covariates: " + ", ".join(self.config.covariates),
            )
        n, p = post.shape[:2]
        known = (covariates.to(self.baseline.dtype) - self.covariate_mean) / self.covariate_scale
        late = torch.where(torch.isnan(known), 0.0, known)  # (N, F); an unknown value is the mean patient's
        if self.config.images:
            hidden, attention = self._seen(pre, post, late)
            risk = self.risk_out(hidden).squeeze(1)
        else:
            hidden, attention = late.new_zeros(n, 0), late.new_full((n, p), 1 / p)
            risk = late.new_zeros(n)
        if self.straight is not None:
            risk = risk + self.straight(late).squeeze(1)
        log_risk = (risk - self.risk_shift) * self.risk_scale  # (N,)
        features = torch.cat([hidden, late], dim=1)  # (N, H + F)
        members = log_risk.new_zeros(n, 0)
        if self.config.members:
            change = features @ self.member_weights.T - self.member_shift  # (N, M)
            members = log_risk[:, None] + self.risk_scale * change
        return SurvivalOutput(log_risk, log_risk[:, None] + self.baseline, attention, members, features)

    def _seen(self, pre: Tensor, post: Tensor, late: Tensor) -> tuple[Tensor, Tensor]:
        """What the images and covariates say together (N, H), and the weights of the patches (N, P)."""
        n, p = post.shape[:2]
        before, after = self.exchange(pre.flatten(0, 1), post.flatten(0, 1))  # (N P, T, C) each
        patches, _ = self.pool_tokens(torch.cat([before, after], dim=-1))  # (N P, 2C)
        patient, attention = self.pool_patches(patches.unflatten(0, (n, p)))  # (N, 2C), (N, P)
        return F.gelu(self.risk(torch.cat([self.head(patient), late], dim=1))), attention

    def forward(self, pre: Tensor, post: Tensor, covariates: Tensor) -> SurvivalOutput:
        """Judge N patients of P patches: pre and post (N, P, 2, D, H, W), covariates (N, F)."""
        if pre.shape != post.shape:
            raise InputError(
                what="The patches before and after treatment differ in shape",
                given=f"{tuple(pre.shape)}, {tuple(post.shape)}",
            )
        before, after = self.encode(torch.cat([pre, post], dim=0)).chunk(2)
        return self.risk_from_tokens(before, after, covariates)


class Assessor:
    """A trained survival network in inference mode: the same input gives the same bits on one machine.

    Args:
        config: the configuration of bundle part "survival"; fields of `SurvivalConfig`, under "network" if it is there.
        tensors: weights by name.
        device: where to compute.

    Raises:
        BundleError: weights that do not fit the configuration.
    """

    def __init__(
        self, config: Mapping[str, Any], tensors: Mapping[str, Any], device: str | torch.device = "cpu"
    ) -> None:
        self.config = SurvivalConfig.from_json(config.get("network", config))
        self.device = torch.device(device)
        what, remedy = "The weights of the survival network do not fit its configuration", "Import the bundle again"
        # the initial weights are replaced; drawing them must leave no trace
        with rebuilding(what, remedy), torch.random.fork_rng(devices=[]):
            network = SurvivalNetwork(self.config)
            network.load_state_dict({name: torch.as_tensor(np.array(value)) for name, value in tensors.items()})
        self.network = network.to(self.device).eval().requires_grad_(False)

    def encode(self, image: Any) -> Tensor:
        """Encode the P patches (P, 2, D, H, W) of one patient at one time; (1, P, T, C) tokens for `judge`.

        Raises:
            InputError: another shape, values that are not numbers, a CT that is not windowed, a mask outside [0, 1].
        """
        array = np.asarray(image, dtype=np.float32)
        if array.ndim != 5 or array.shape[1] != 2:
            raise InputError(what="A patient is (patches, 2, D, H, W): CT and tumour mask", given=str(array.shape))
        ct, mask = array[:, 0], array[:, 1]
        # A simulated CT may leave the window a little; Hounsfield units leave it by hundreds.
        if not (np.abs(ct) <= 2).all() or not ((mask >= 0) & (mask <= 1)).all():
            raise InputError(
                what="The CT must be windowed to [-1, 1] and the mask must be within [0, 1]",
                given=f"CT {ct.min():g} to {ct.max():g}, mask {mask.min():g} to {mask.max():g}",
            )
        with torch.inference_mode():
            return self.network.encode(torch.from_numpy(array).to(self.device)[None])

    def judge(self, pre: Any, post: Any, covariates: Any) -> Prognosis:
        """Judge one patient after one treatment.

        Args:
            pre, post: (P, 2, D, H, W) patches, or their tokens from `encode`; keep the tokens before treatment when
                many protocols are judged.
            covariates: (F,) in the order of `config.covariates`, or a mapping of their names; NaN, and names that the
                mapping leaves out, count as not known.

        Raises:
            InputError: arrays or covariates that do not fit.
        """
        before, after = (x if isinstance(x, Tensor) else self.encode(x) for x in (pre, post))
        if isinstance(covariates, Mapping):
            unknown = sorted(set(covariates) - set(self.config.covariates))
            if unknown:
                raise InputError(
                    what="Unknown covariate",
                    given=", ".join(unknown),
                    remedy="Known: " + ", ".join(self.config.covariates),
                )
            covariates = [covariates.get(name, np.nan) for name in self.config.covariates]
        late = torch.as_tensor(np.asarray(covariates, dtype=np.float32), device=self.device)[None]
        if torch.isinf(late).any():
            raise InputError(
                what="A covariate is infinite", given=str(late[0].tolist()), remedy="Leave out the unknown"
            )
        with torch.inference_mode():
            output = self.network.risk_from_tokens(before, after, late)
        months, probability = survival_curve(output.hazards[0], self.config.edges_months)
        members = output.members[0].cpu().numpy().astype(np.float64)
        return Prognosis(float(output.log_risk[0]), months, probability, members)
