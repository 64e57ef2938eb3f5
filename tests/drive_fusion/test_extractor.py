"""The extractor: shapes, splats against loops, dead sensors, geometry."""

from __future__ import annotations

import math

import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from drive_fusion.bev import BevGrid, splat_max, splat_sum
from drive_fusion.encoders import CameraEncoder, LidarEncoder, RadarEncoder, beam_directions, depth_bins_m, lift_cells
from drive_fusion.extractor import SIZES, FusedExtractor, ModelSize
from sensors.camera.config import Camera
from sensors.errors import ConfigError
from sensors.lidar.config import Lidar
from sensors.mount import Mount
from sensors.presets import RIGS
from sensors.radar.config import Radar
from sensors.rig import Rig

GRID = BevGrid()


@pytest.fixture
def extractor(micro, micro_space) -> FusedExtractor:
    torch.manual_seed(0)
    return FusedExtractor(micro_space, micro)


def test_features_have_the_promised_shape_and_size(extractor, observe):
    features = extractor(observe(3))
    assert features.shape == (3, extractor.features_dim)
    assert torch.isfinite(features).all()
    assert 80_000 < sum(parameter.numel() for parameter in extractor.parameters()) < 120_000


def test_lateral_cells_are_at_most_two_metres():
    assert GRID.cell_m == pytest.approx((6.4, 1.6))
    with pytest.raises(ConfigError, match="3.20 m wide, expected at most 2.0"):
        BevGrid(y_cells=16)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(0, 60), cells=st.integers(1, 12))
def test_splats_equal_a_loop_with_gradients(seed, rows, cells):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(rows, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    cell = torch.randint(0, cells, (rows,), generator=generator)
    weight = torch.randn(cells, 3, dtype=torch.float64, generator=generator)
    for splat, start, join in ((splat_sum, 0.0, torch.add), (splat_max, 0.0, torch.maximum)):
        looped = [torch.full((3,), start, dtype=torch.float64) for _ in range(cells)]
        for row in range(rows):
            looped[cell[row]] = join(looped[cell[row]], features[row])
        expected = torch.stack(looped)
        found = splat(features, cell, cells)
        assert torch.allclose(found, expected, atol=1e-12)
        if rows:
            (slow,) = torch.autograd.grad((expected * weight).sum(), features)
            (fast,) = torch.autograd.grad((found * weight).sum(), features)
            assert torch.allclose(slow, fast, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(x=st.floats(-200, 200), y=st.floats(-200, 200))
def test_a_point_lies_in_its_cell(x, y):
    cell, inside, off_x, off_y = GRID.locate(torch.tensor([x], dtype=torch.float64), torch.tensor([y], dtype=torch.float64))
    assert bool(inside) == (-25.6 <= x < 76.8 and -25.6 <= y < 25.6)
    if inside:
        row, column = divmod(int(cell), GRID.y_cells)
        centre = (-25.6 + (row + 0.5) * 6.4, -25.6 + (column + 0.5) * 1.6)
        assert (x - centre[0]) / 6.4 == pytest.approx(float(off_x), abs=1e-9)
        assert (y - centre[1]) / 1.6 == pytest.approx(float(off_y), abs=1e-9)
        assert abs(float(off_x)) <= 0.5 + 1e-9 and abs(float(off_y)) <= 0.5 + 1e-9


@pytest.mark.parametrize("modality", ["camera", "lidar", "radar"])
def test_a_dead_sensors_content_cannot_change_the_features(extractor, observe, modality):
    place = {"camera": slice(0, 3), "lidar": slice(3, 4), "radar": slice(4, 5)}[modality]
    with torch.no_grad():
        extractor.missing[modality].map.normal_()
    observation, other = observe(3, seed=1), observe(3, seed=2)
    for seen in (observation, other):
        seen["alive"][:, place] = 0.0
    changed = {**observation, modality: other[modality]}
    assert torch.equal(extractor(observation), extractor(changed))
    alive = {**changed, "alive": torch.ones_like(changed["alive"])}
    assert not torch.equal(extractor(alive), extractor(changed))


def test_one_dead_camera_among_live_ones_cannot_change_the_features(extractor, observe):
    observation = observe(3)
    observation["alive"][:, 1] = 0.0
    changed = {**observation, "camera": observation["camera"].clone()}
    changed["camera"][:, 1] = 255.0 - changed["camera"][:, 1]
    assert torch.equal(extractor(observation), extractor(changed))


def test_a_dead_modality_is_its_learned_map(extractor, observe):
    observation = observe(2)
    observation["alive"][0, 4] = 0.0
    with torch.no_grad():
        extractor.missing["radar"].map.fill_(7.0)
    radar = extractor.maps(observation)[0][2]
    assert torch.equal(radar[0], torch.full_like(radar[0], 7.0))
    assert not (radar[1] == 7.0).any()


def test_features_know_the_age_of_a_sensor(extractor, observe):
    observation = observe(2)
    aged = {**observation, "age": observation["age"] * 0.0 + 0.3}
    fresh = {**observation, "age": observation["age"] * 0.0}
    assert not torch.equal(extractor(aged), extractor(fresh))


def test_a_world_alone_equals_the_world_in_a_batch(extractor, observe):
    observation = {name: value.double() for name, value in observe(5).items()}
    extractor.double()
    alone = extractor({name: value[2:3] for name, value in observation.items()})
    assert torch.allclose(alone, extractor(observation)[2:3], atol=1e-9)


def test_there_is_no_batch_norm(extractor):
    assert not any("BatchNorm" in type(module).__name__ for module in extractor.modules())


def test_another_rigs_observation_is_refused(micro_space, micro):
    wider = Rig("wider", cameras=micro.cameras, lidars=(Lidar("top", elevations_rad=(0.0, 0.1), columns=8),), radars=micro.radars)
    with pytest.raises(ConfigError, match=r"'lidar' has shape \(1, 3, 8, 64\), expected \(1, 3, 2, 8\) for rig 'wider'"):
        FusedExtractor(micro_space, wider)


def test_misspelt_names_are_refused(micro_space):
    with pytest.raises(ConfigError, match="did you mean 'concat'"):
        FusedExtractor(micro_space, "micro", spatial="concatt")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="did you mean 'micro'"):
        FusedExtractor(micro_space, "mirco")
    with pytest.raises(ConfigError, match="did you mean 'micro'"):
        FusedExtractor(micro_space, "micro", size="mcro")


def test_rigs_with_fewer_senses_work(observe, micro_space, micro):
    for kept in (("camera",), ("lidar",), ("radar",), ()):
        rig = Rig(
            "some",
            cameras=micro.cameras if "camera" in kept else (),
            lidars=micro.lidars if "lidar" in kept else (),
            radars=micro.radars if "radar" in kept else (),
        )
        names = [*kept, "ego", *(("alive", "age") if kept else ())]
        space = spaces.Dict({name: micro_space[name] for name in names})
        sensors = rig.num_sensors
        if kept:
            space["alive"] = space["age"] = spaces.Box(0.0, 1.0, (sensors,))
        observation = {name: value[:, :sensors] if name in ("alive", "age") else value for name, value in observe(2).items()}
        assert FusedExtractor(space, rig)({name: observation[name] for name in names}).shape == (2, 96 if kept else 32)


def test_lift_puts_a_pixel_where_its_ray_goes():
    camera = Camera("front", Mount(1.0, 0.5, 1.4, yaw_rad=math.radians(30.0)), 24, 48, math.radians(70.0))
    cell, inside = lift_cells((camera,), GRID, bins=8)
    depth_m = depth_bins_m(8)[4]
    column = 4  # centred on pixel 8 * 4 + 2, so 10 pixels right of the middle
    left = -10.0 / camera.focal_px
    cos, sin = math.cos(math.radians(30.0)), math.sin(math.radians(30.0))
    x, y = 1.0 + depth_m * (cos - sin * left), 0.5 + depth_m * (sin + cos * left)
    expected, within, _, _ = GRID.locate(torch.tensor([x]), torch.tensor([y]))
    assert bool(within) and bool(inside[0, 4, column])
    assert int(cell[0, 4, column]) == int(expected)


class Planted(torch.nn.Module):
    """Stands in for a camera's CNN: the same features whatever it sees."""

    def __init__(self, features: torch.Tensor):
        super().__init__()
        self.features = features  # (B K, D + C, h, w)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.features


def test_what_is_alike_along_a_picture_row_is_not_lifted():
    size, worlds, cameras = SIZES["micro"], 2, 3
    rig = (Camera("front", width_px=48, height_px=24),) * cameras
    encoder, picture = CameraEncoder(rig, size).double(), torch.zeros(worlds, cameras, 3, 24, 48, dtype=torch.float64)
    alive = torch.ones(worlds, cameras, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    shape = encoder.trunk(picture.flatten(0, 1)).shape
    found = torch.randn(shape, dtype=torch.float64, generator=generator)
    along = torch.randn(*shape[:3], 1, dtype=torch.float64, generator=generator)  # sky and road: the same along a row
    along[:, : size.depth_bins] = 0.0

    def lifted(features: torch.Tensor) -> torch.Tensor:
        encoder.trunk = Planted(features)
        result: torch.Tensor = encoder(picture, alive)[0]
        return result

    assert torch.allclose(lifted(found + 50.0 * along), lifted(found), atol=1e-12)
    assert torch.allclose(lifted(along.expand(shape)), torch.zeros(()).double(), atol=1e-14)
    car = along.expand(shape).clone()
    car[:, size.depth_bins :, 1, 2] += 1.0  # one feature cell of every picture
    expected = torch.zeros(size.grid.cells, dtype=torch.float64)
    likely = along.expand(shape).flatten(2)[0, : size.depth_bins].softmax(0)  # (D, h w)
    columns = shape[3]
    for depth, column in torch.cartesian_prod(torch.arange(size.depth_bins), torch.arange(columns)).tolist():
        pixel = columns + column
        for camera in range(cameras):
            place = encoder.cell.view(cameras, size.depth_bins, -1)[camera, depth, pixel]
            less_mean = float(column == 2) - 1.0 / columns
            expected[place] += likely[depth, pixel] * encoder.inside[camera, depth, pixel] * less_mean
    for channel in lifted(car)[0]:
        assert torch.allclose(channel.flatten(), expected, atol=1e-12)


def test_lidar_returns_fill_the_cells_where_they_lie():
    lidar = Lidar("top", Mount(0.0, 0.0, 1.0), (-0.2, 0.0), columns=4)
    encoder = LidarEncoder((lidar,), GRID, width=4, hidden=8)
    torch.nn.init.ones_(encoder.pillars.net[3].bias)
    sweep = torch.zeros(1, 1, 3, 2, 4)
    sweep[0, 0, 0, 1, 0], sweep[0, 0, 1, 1, 0] = 1.0, 20.0 / 80.0  # level beam, column 0: 45 degrees to the left ahead
    sweep[0, 0, 0, 0, 1], sweep[0, 0, 1, 0, 1] = 1.0, 1.0 / math.sin(0.2) / 80.0  # the road itself: left out
    filled = (encoder(sweep, torch.ones(1, 1, dtype=torch.bool))[0] != 0).any(0).nonzero().tolist()
    across = 20.0 / math.sqrt(2.0)
    cell, _, _, _ = GRID.locate(torch.tensor([across]), torch.tensor([across]))
    assert filled == [list(divmod(int(cell), GRID.y_cells))]
    assert torch.allclose(beam_directions(lidar)[4], torch.tensor([0.5**0.5, 0.5**0.5, 0.0]))


def test_a_standing_car_has_no_speed_over_ground_in_the_radars_features():
    radar = Radar("front", Mount(2.0, 0.0, 0.5), detections=2)
    encoder = RadarEncoder((radar,), GRID, width=4, hidden=8)
    seen = []
    encoder.pillars.net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    azimuth, speed = 0.4, 25.0
    detection = torch.tensor([30.0 / 150.0, azimuth / math.pi, 0.0, -speed * math.cos(azimuth) / 80.0, 0.1, 0.1])
    detections = torch.zeros(1, 1, 2, 7)
    detections[0, 0, 0, 0], detections[0, 0, 0, 1:] = 1.0, detection
    encoder(detections, torch.ones(1, 1, dtype=torch.bool), torch.tensor([speed]))
    (features,) = seen
    assert features.shape == (1, 12)
    assert features[0, 8] == pytest.approx(0.0, abs=1e-5)
    assert features[0, 0] == pytest.approx((2.0 + 30.0 * math.cos(azimuth)) / 40.0, rel=1e-5)


def test_a_size_of_ones_own_is_used(micro_space, observe):
    extractor = FusedExtractor(micro_space, RIGS["micro"], size=ModelSize(features=32, width=4))
    assert extractor(observe(2)).shape == (2, 64)
