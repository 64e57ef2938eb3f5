"""What weather and light do to pictures: how bright, whose lamps, what the ground and the air show; and what they leave alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sensors.camera.config import Camera
from sensors.camera.light import drops_per_m3, flakes_per_m3, radiance_of
from sensors.camera.render import render_camera
from sensors.errors import ConfigError
from sensors.frames import Semantic
from sensors.mount import Mount
from sensors.presets import RIGS
from sensors.road import Lane, Line, RoadMap, chain
from sensors.scene import Light
from sensors.weather import PRESETS, Weather

CAMERA = Camera("camera", Mount(1.0, 0.0, 1.4, pitch_rad=0.05), 120, 200, noise=False)
ROAD = RoadMap.build([Lane(chain((-100.0, 0.0), 0.0, [(900.0, 0.0)]), 8.0, Line.SOLID, Line.SOLID, 30.0, "road", 0)])


def weathers(*several):
    """One world for each of some dicts of weather fields."""
    clear = Weather.clear(len(several))
    names = {name for fields in several for name in fields}
    usual = {name: getattr(clear, name) for name in names}
    return replace(clear, **{n: torch.tensor([float(fields.get(n, usual[n][i])) for i, fields in enumerate(several)]) for n in names})


def look(scene, *several, camera=CAMERA):
    """Frames of one world's scene in several weathers, a world each."""
    many = replace(scene.select([0] * len(several)), road=ROAD)
    return render_camera(many.with_weather(weathers(*several)), [camera])


def luminance(frames):
    """(B, H, W) of display values."""
    return frames.rgb[:, 0].double().mean(1)


def test_night_is_darker_than_dusk_and_dusk_than_noon(make_scene):
    frames = look(make_scene([[(0, 0), (15, 3)]]), *(PRESETS[name] for name in ("noon", "dusk", "night")))
    light = luminance(frames)
    for label in (Semantic.SKY, Semantic.GRASS):
        noon, dusk, night = (float(light[n][frames.semantic[n, 0] == label].mean()) for n in range(3))
        assert night < 0.7 * dusk < 0.7 * noon
    noon, dusk, night = (float(picture.mean()) for picture in light)
    assert night < 0.7 * dusk < 0.7 * noon
    assert light[2][frames.semantic[2, 0] == Semantic.SKY].mean() < 60


def test_dusk_is_warm_towards_the_horizon_and_colder_above(make_scene):
    away = replace(CAMERA, mount=Mount(1.0, 0.0, 1.4, yaw_rad=3.1, pitch_rad=-0.25))
    sky = look(make_scene(np.zeros((1, 1, 2))), PRESETS["dusk"], camera=away).rgb[0, 0].double()
    top, low = sky[:, 0].mean(1), sky[:, 95].mean(1)
    assert low[0] > 1.2 * low[2] and top[0] / top[2] < 0.9 * low[0] / low[2]


def test_head_lights_light_the_road_before_them_and_paint_throws_more_back(make_scene):
    frames = look(make_scene(np.zeros((1, 1, 2))), PRESETS["night"])
    shown, labels, depth = radiance_of(frames.rgb[0, 0, 1].numpy()), frames.semantic[0, 0].numpy(), frames.depth_m[0, 0].numpy()
    road = (labels == Semantic.ROAD) & (np.abs(np.arange(200) - 100) < 12)
    near, far = (shown[road & (depth > low) & (depth < high)].mean() for low, high in ((6, 10), (45, 90)))
    assert near > 10.0 * far and near > 0.03
    paint, beside = (shown[(labels == label) & (depth > 12) & (depth < 20)].mean() for label in (Semantic.PAINT, Semantic.GRASS))
    assert paint > 3.0 * beside


def test_head_lights_light_a_car_below_their_cut_off(make_scene):
    frames = look(make_scene([[(0, 0), (16, 0)]]), PRESETS["night"])
    rows = np.nonzero((frames.instance[0, 0].numpy() == 1).any(1))[0]
    columns = np.nonzero((frames.instance[0, 0].numpy() == 1).any(0))[0]
    light = luminance(frames)[0].numpy()[:, columns.min() + 2 : columns.max() - 2]
    assert light[rows.max() - 3].mean() > 2.0 * light[rows.min() + 3].mean()


@pytest.mark.parametrize("name", PRESETS)
def test_brake_lights_are_brighter_than_tail_lights_in_every_weather(make_scene, name):
    scene = make_scene([[(0, 0), (15, 0)]])
    braking = replace(scene, lights=torch.tensor([[0, int(Light.BRAKE)]]))
    for camera in (CAMERA, *RIGS["micro"].cameras[:1]):
        camera = replace(camera, noise=False)
        off, on = (look(state, PRESETS[name], camera=camera).rgb[0, 0].double() for state in (scene, braking))
        brighter = on[0] - off[0]
        redder = (on[0] - on[1:].mean(0)) - (off[0] - off[1:].mean(0))
        assert brighter.max() > 20 and redder.max() > 20
        assert (brighter > 8).sum() >= 2


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("side", [Light.LEFT, Light.RIGHT])
def test_a_turn_lamp_is_amber_and_on_its_side(make_scene, name, side):
    scene = make_scene([[(0, 0), (12, 0)]])
    blinking = replace(scene, lights=torch.tensor([[0, int(side)]]))
    off, on = (look(state, PRESETS[name]).rgb[0, 0].double() for state in (scene, blinking))
    change = (on - off).sum(0)
    row, column = divmod(int(change.argmax()), 200)
    assert (column < 100) == (side == Light.LEFT)
    if name in ("noon", "dusk", "night"):
        red, green, blue = on[:, row, column].tolist()
        assert red > 200 and 0.35 * red < green < 0.75 * red and blue < 0.7 * green


def test_a_crashed_car_warns_with_both_turn_lamps(make_scene):
    scene = make_scene([[(0, 0), (12, 0)]])
    crashed = replace(scene, crashed=torch.tensor([[False, True]]))
    off, on = (look(state, PRESETS["noon"]).rgb[0, 0].double() for state in (scene, crashed))
    change = (on - off).sum(0)
    for half in (change[:, :100], change[:, 100:]):
        row, column = divmod(int(half.argmax()), 100)
        red, green, blue = on[:, row, column + (0 if half is change[:, :100] else 100)].tolist()
        assert half.max() > 60
    sides = [on[:, :, :100] - off[:, :, :100], (on[:, :, 100:] - off[:, :, 100:]).flip(2)]
    assert all((side[0] > 60).sum() >= 4 for side in sides)


def lamps_of_a_car_ahead(make_scene, name, lights=0):
    """Colours at the middles of the left and right head lamp (as its driver has them) and of the grille of a car that faces the camera."""
    scene = make_scene([[(0, 0), (12, 0)]], heading=[[0.0, np.pi]])
    shown = look(replace(scene, lights=torch.tensor([[0, lights]])), PRESETS[name])
    cos, sin = np.cos(CAMERA.mount.pitch_rad), np.sin(CAMERA.mount.pitch_rad)
    ahead, below = 12.0 - 2.5 - CAMERA.mount.x_m, CAMERA.mount.z_m - 0.74 * 0.56 * 1.5
    scale = CAMERA.focal_px / (ahead * cos + below * sin)
    row, colours = int((below * cos - ahead * sin) * scale + 60), []
    for left in (0.86, -0.86, 0.0):
        colours.append(shown.rgb[0, 0, :, row, int(left * scale + 100)].double())
    return colours


def test_head_lamps_are_pale_beside_a_dark_grille_by_day(make_scene):
    left, right, grille = lamps_of_a_car_ahead(make_scene, "noon")
    assert left.mean() > 1.8 * grille.mean() and right.mean() > 1.8 * grille.mean()


@pytest.mark.parametrize("name", ["noon", "dusk", "night", "rain"])
def test_a_turn_lamp_is_seen_beside_a_head_lamp(make_scene, name):
    left, right, _ = lamps_of_a_car_ahead(make_scene, name, int(Light.LEFT))
    assert left[0] > left[2] + 60 and right[0] < right[2] + 40


def test_other_cars_head_lamps_shine_at_who_is_before_them_only(make_scene):
    heading = np.asarray([[0.0, np.pi], [0.0, 0.0]])
    scene = make_scene([[(0, 0), (20, 3)], [(0, 0), (20, 3)]], heading=heading)
    frames = render_camera(replace(scene, road=ROAD).with_weather(Weather.named("night", 2)), [CAMERA])
    rgb, car = frames.rgb[:, 0], frames.instance[:, 0] == 1
    white = [int((rgb[n].min(0).values[car[n]] > 150).sum()) for n in range(2)]
    red = [int((rgb[n, 0].int() - rgb[n, 2].int() > 60)[car[n]].sum()) for n in range(2)]
    assert white[0] > white[1] + 4 and red[1] > red[0] + 4


def test_fogs_air_light_is_the_skys_at_the_horizon_and_not_white(make_scene):
    frames = look(make_scene(np.zeros((1, 1, 2))), PRESETS["fog"])
    rgb = frames.rgb[0, 0].double().mean(2)
    edge = int((frames.semantic[0, 0, :, 0] == Semantic.SKY).sum())
    assert (rgb[:, edge - 1] - rgb[:, edge]).abs().max() < 4
    assert 150 < float(rgb[:, :edge].mean()) < 225 and float(rgb.diff(dim=1).abs().max()) < 12


def test_fog_scatters_head_lights_at_night(make_scene):
    night = PRESETS["night"]
    clear, fog = luminance(look(make_scene(np.zeros((1, 1, 2))), night, night | PRESETS["fog"]))
    assert fog[60:70].mean() > 1.5 * clear[60:70].mean()


def test_a_wet_road_is_darker_near_and_mirrors_the_sky_far(make_scene):
    rain = {"rain_mm_per_h": 0.2, "visibility_m": 20_000.0}
    dry, wet = radiance_of(look(make_scene(np.zeros((1, 1, 2))), rain, rain | {"wetness": 1.0}).rgb[:, 0, 1].numpy())
    assert wet[100:, 90:110].mean() < 0.85 * dry[100:, 90:110].mean()
    assert wet[56:58, 98:102].mean() > 1.3 * dry[56:58, 98:102].mean()


def test_a_wet_road_mirrors_brake_lights(make_scene):
    scene = make_scene([[(0, 0), (15, 0)]])
    braking = replace(scene, lights=torch.tensor([[0, int(Light.BRAKE)]]))
    several = PRESETS["night"], PRESETS["night"] | {"wetness": 1.0}
    off, on = look(scene, *several), look(braking, *several)
    red = (on.rgb[:, 0, 0].double() - off.rgb[:, 0, 0].double()) * (on.semantic[:, 0] == Semantic.ROAD)
    low = int((on.instance[0, 0] == 1).any(1).nonzero().max()) + 8  # below the lamps' own glow
    assert red[1, low:].max() > 8 and red[1, low:].sum() > 3 * red[0, low:].sum()


def test_snow_whitens_the_ground_and_hides_paint_by_its_cover(make_scene):
    frames = look(make_scene(np.zeros((1, 1, 2))), *({"snow_cover": share} for share in (0.0, 0.4, 0.8, 1.0)))
    rgb, labels = frames.rgb[:, 0].double(), frames.semantic[0, 0]
    grass = [float(rgb[n, 2][labels == Semantic.GRASS].mean()) for n in range(4)]
    assert grass == sorted(grass) and grass[3] > 200
    light = radiance_of(rgb.mean(1).numpy().round().astype(np.uint8))
    near = (labels == Semantic.PAINT).numpy() & (frames.depth_m[0, 0].numpy() < 15)
    road = (labels == Semantic.ROAD).numpy() & (frames.depth_m[0, 0].numpy() < 15)
    contrast = [light[n][near].mean() / light[n][road].mean() - 1.0 for n in range(4)]
    assert contrast == sorted(contrast, reverse=True) and contrast[2] < 0.5 * contrast[0]


def test_streaks_grow_with_the_rate_of_rain_and_snow(make_scene):
    scene = make_scene(np.zeros((1, 1, 2)), velocity=[[(20.0, 0.0)]])
    for name, rates in (("rain_mm_per_h", (1e-3, 2.0, 10.0, 50.0)), ("snow_mm_per_h", (1e-3, 0.5, 3.0, 10.0))):
        several = [{name: rate, "visibility_m": 3_000.0} for rate in rates]
        frames = look(scene, *several)
        still = look(replace(scene, step=scene.step + 1), *several)
        moved = [int(((frames.rgb[n, 0].int() - still.rgb[n, 0].int()).abs().amax(0) > 4).sum()) for n in range(4)]
        assert moved == sorted(moved) and moved[1] < moved[2] < moved[3] and moved[0] < 20


def test_numbers_of_drops_and_flakes_follow_their_published_sizes():
    assert drops_per_m3(0.0) == 0.0 and flakes_per_m3(0.0) == 0.0
    diameter_mm = np.arange(2.0, 12.0, 1e-3) + 5e-4
    sum_over_sizes = (8000.0 * np.exp(-4.1 * 20.0**-0.21 * diameter_mm)).sum() * 1e-3
    assert drops_per_m3(20.0) == pytest.approx(sum_over_sizes, rel=1e-3)


def test_streaks_are_keyed_by_seed_and_step(make_scene):
    scene = make_scene(np.zeros((1, 1, 2)))
    first, again = look(scene, PRESETS["rain"]), look(scene, PRESETS["rain"])
    other = look(replace(scene, episode_seed=scene.episode_seed + 1), PRESETS["rain"])
    assert torch.equal(first.rgb, again.rgb) and not torch.equal(first.rgb, other.rgb)


def test_a_low_sun_before_the_camera_veils_the_picture_and_one_behind_it_does_not(make_scene):
    low = {"sun_elevation_rad": 0.1}
    scene = make_scene([[(0, 0), (12, 0)]])
    before, behind = look(scene, low | {"sun_azimuth_rad": 0.0}, low | {"sun_azimuth_rad": 3.14159}).rgb[:, 0].double()
    car = (look(scene, {}).instance[0, 0] == 1).numpy()
    dark = [np.quantile(picture.mean(0).numpy()[car], 0.1) for picture in (before, behind)]
    assert dark[0] > dark[1] + 25


def test_weather_leaves_depth_and_labels_alone(random_scene):
    scene = replace(random_scene(7, worlds=1), road=ROAD)
    frames = look(scene, *PRESETS.values(), PRESETS["night"] | PRESETS["snow"])
    for name in ("depth_m", "semantic", "instance"):
        images = getattr(frames, name)
        assert all(torch.equal(images[n], images[0]) for n in range(len(images))), name


def test_a_world_is_the_same_alone_and_among_others_in_mixed_weather(random_scene):
    names = [*PRESETS] * 3
    scene = replace(random_scene(9, worlds=len(names)), road=ROAD).with_weather(weathers(*(PRESETS[name] for name in names)))
    for cameras in (RIGS["micro"].cameras, [replace(CAMERA, noise=True)]):
        together = render_camera(scene, cameras)
        for world in range(len(names)):
            alone, among = render_camera(scene.select([world]), cameras), together.select([world])
            assert torch.equal(alone.rgb, among.rgb), names[world]


def test_a_sensors_noise_grows_with_its_level_and_in_the_dark(make_scene):
    scene = make_scene(np.zeros((1, 1, 2)))
    quiet = look(scene, {}, PRESETS["night"]).rgb.double()
    spread = [
        (look(scene, {}, PRESETS["night"], camera=replace(CAMERA, noise=True, noise_level=level)).rgb.double() - quiet).std((1, 2, 3, 4))
        for level in (1.0, 2.0)
    ]
    assert spread[0][1] > 1.5 * spread[0][0] and spread[1][0] > 1.6 * spread[0][0]


def test_exposure_is_in_stops(make_scene):
    plain, more = (
        radiance_of(look(make_scene(np.zeros((1, 1, 2))), {}, camera=replace(CAMERA, exposure_ev=ev)).rgb[0, 0].numpy()) for ev in (-2, -1)
    )
    assert np.median(more / np.maximum(plain, 1e-3)) == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize("field, value", [("noise_level", -1.0), ("exposure_ev", 9.0), ("shutter_s", 0.0)])
def test_optics_out_of_range_are_refused(field, value):
    with pytest.raises(ConfigError, match=f"{field} {value}"):
        replace(CAMERA, **{field: value})
