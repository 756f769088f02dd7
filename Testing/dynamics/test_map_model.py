"""The dynamics model on coarse maps: two answers, common random numbers, and parts of a bundle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from MeWMLib.core.coarse_maps import OutcomeMaps
from MeWMLib.core.errors import BundleError, GeometryMismatchError, PlanSettingsError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import centred_grid
from MeWMLib.dynamics.map_model import EncodedRegion, MapModel, is_maps, mean_maps, network_from_part, network_part
from MeWMLib.dynamics.map_network import MapNetwork, session_numbers

OIL, OTHER = Protocol.parse("Doxorubicin + Lipiodol"), Protocol.parse("Cisplatin + PVA")


def same(one: OutcomeMaps, other: OutcomeMaps, far: float = 5e-3) -> bool:
    return all(np.allclose(a, b, atol=far) for a, b in zip(one.arrays, other.arrays, strict=True))


def test_a_sample_depends_on_its_seed_and_on_no_neighbour(map_model: MapModel, region: EncodedRegion) -> None:
    both = map_model.sample(region, [OIL, OTHER], [7, 8], steps=2)
    alone = map_model.sample(region, [OTHER], [8], steps=2)[0]
    assert same(both[1], alone)
    assert not same(both[1], map_model.sample(region, [OTHER], [9], steps=2)[0])


def test_what_is_expected_knows_no_noise(map_model: MapModel, region: EncodedRegion) -> None:
    one, other = map_model.expected(region, [OIL, OIL], [1, 2], spread=0.0)
    assert same(one, other)
    # with its spread, each seed has the response that `responses` says
    drawn = map_model.expected(region, [OIL, OIL], [1, 2])
    assert not same(*drawn)
    told = map_model.responses(region, [OIL, OIL], [1, 2])
    assert told.shape == (2, 3)
    assert ((told[:, [0, 2]] >= 0) & (told[:, [0, 2]] <= 1)).all()
    assert (map_model.responses(region, [OTHER], [1])[:, 2] == 0).all()


def test_a_territory_is_told_and_none_is_drawn(map_model: MapModel, region: EncodedRegion) -> None:
    front = np.zeros(region.tumour.shape, np.float32)
    front[:, :12] = 1
    none, half, whole = (map_model.expected(region, [OIL], [1], fed)[0] for fed in (None, front, np.ones_like(front)))
    assert not same(none, half)
    assert not same(half, whole)
    assert not same(none, whole)
    # a sample without a territory is that of the territory its seed draws
    from MeWMLib.dynamics.map_territory import drawn_territory

    given = drawn_territory(region.tumour, 5)
    assert same(
        map_model.sample(region, [OIL], [5], steps=2)[0], map_model.sample(region, [OIL], [5], given, steps=2)[0]
    )


def test_weeks_and_phase_are_told(map_model: MapModel, region: EncodedRegion) -> None:
    early, late, unknown = (map_model.expected(region, [OIL], [1], weeks=w)[0] for w in (2.0, 20.0, None))
    assert not same(early, late)
    assert not same(early, unknown)
    assert not same(early, map_model.expected(replace(region, arterial=True), [OIL], [1], weeks=2.0)[0])
    numbers = session_numbers(
        torch.tensor([5.0, float("nan")]), torch.tensor([True, False]), torch.tensor([True, False])
    )
    assert numbers.tolist() == [[0, 1, 1, 1], [0, 0, 0, 0]]


def test_without_guidance_the_protocol_is_hidden(map_model: MapModel, region: EncodedRegion) -> None:
    one, other = map_model.sample(region, [OIL, OTHER], [3, 3], steps=2, guidance=0.0, spread=0.0)
    assert same(one, other)
    twice = map_model.sample(region, [OIL], [3], steps=1, guidance=2.0)[0]
    once, none = (map_model.sample(region, [OIL], [3], steps=1, guidance=g)[0] for g in (1.0, 0.0))
    # within the tumour the density is that of the response (`map_following`)
    beside = region.tumour == 0
    assert np.allclose(twice.change[beside], (2 * once.change - none.change)[beside], atol=1e-3)


def test_the_mean_of_maps(map_model: MapModel, region: EncodedRegion) -> None:
    found = map_model.expected(region, [OIL, OIL, OTHER], [1, 2, 3])
    assert np.allclose(mean_maps(found).iodine, np.mean([m.iodine for m in found], axis=0), atol=1e-6)


def test_a_part_of_a_bundle_gives_the_same_network(
    map_model: MapModel, map_network: MapNetwork, region: EncodedRegion
) -> None:
    config, tensors = network_part(map_network)
    assert is_maps(config)
    again = MapModel(network_from_part(config, tensors), torch.device("cpu"), mixed=False)
    assert same(again.expected(region, [OIL], [1])[0], map_model.expected(region, [OIL], [1])[0], 0)
    with pytest.raises(BundleError, match="does not fit this version"):
        network_from_part(config, {k: v for k, v in tensors.items() if not k.startswith("stem")})
    with pytest.raises(BundleError, match="the bundle's dynamics part"):
        network_from_part({**config, "depth": 3}, tensors)


def test_what_cannot_be_simulated_is_said(map_model: MapModel, region: EncodedRegion) -> None:
    shape = (22, 24, 24)
    flat = np.zeros(shape, np.float32)
    with pytest.raises(GeometryMismatchError, match="does not fit the map network"):
        map_model.encode(flat, flat, flat, centred_grid(np.zeros(3), shape, 4.0))
    with pytest.raises(PlanSettingsError, match="no such sampler"):
        map_model.sample(region, [OIL], [1], sampler="euler")
    with pytest.raises(PlanSettingsError, match="at least one step"):
        map_model.sample(region, [OIL], [1], steps=-1)


def test_what_is_expected_needs_no_sample(map_model: MapModel, region: EncodedRegion) -> None:
    drawn = map_model.simulate(region, [OIL, OTHER], [4, 4], steps=2)
    scored = map_model.simulate(region, [OIL, OTHER], [4, 4], steps=0)
    assert [sample for sample, _ in scored] == [None, None]
    for (_, one), (_, other) in zip(drawn, scored, strict=True):
        assert same(one, other)


def test_in_bfloat16_nearly_the_same_is_expected(
    map_network: MapNetwork, map_model: MapModel, region: EncodedRegion
) -> None:
    mixed = MapModel(map_network, torch.device("cpu"), mixed=True)
    one, other = (model.expected(region, [OIL], [1], spread=0.0)[0] for model in (mixed, map_model))
    assert one.change.dtype == np.float32
    assert not same(one, other, 0)
    assert same(one, other, 0.1 * float(np.abs(other.change).max()))
    # the same again, to the bit
    assert same(mixed.sample(region, [OIL], [3], steps=1)[0], mixed.sample(region, [OIL], [3], steps=1)[0], 0)


@pytest.mark.parametrize("territory", [False, True])
def test_maps_hold_what_the_head_tells_of_them(map_model: MapModel, region: EncodedRegion, territory: bool) -> None:
    fed = np.linspace(0, 1, region.tumour.size, dtype=np.float32).reshape(region.tumour.shape) if territory else None
    dead = replace(region, alive=np.where(np.arange(24) < 12, 0, 1).astype(np.float32) * np.ones_like(region.tumour))
    for one in (region, dead):
        trials = [OIL, OTHER, OIL], [4, 4, 9]
        told = map_model.left(one, *trials, fed)
        for sample, mean in map_model.simulate(one, *trials, fed, steps=1):
            (viable, tumour), told = told[0], told[1:]
            for maps in (sample, mean):
                assert maps is not None
                held = [float(x.sum(dtype=np.float64)) for x in (maps.viable, maps.tumour)]
                # a network by chance may leave the dead part more room than the living one fits beside
                most = float((maps.tumour * np.where(one.tumour > 0, one.alive, 1)).sum(dtype=np.float64))
                assert held == pytest.approx([min(viable, most), tumour], rel=0.01)
    known = map_model.left(region, [OIL, OTHER], [4, 7], fed)
    assert map_model.left(region, [OIL], [4], fed)[0] == pytest.approx(known[0], rel=1e-6)
