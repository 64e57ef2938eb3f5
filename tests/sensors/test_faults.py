"""Faults: each changes what it should and nothing else, more at a higher severity, between its steps, the same in any batch."""

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sensors.errors import ConfigError
from sensors.faults import FAULTS_OF, FaultKind, Faults, Modality, fault_names, fault_suite
from sensors.frames import Frames
from sensors.presets import RIGS
from sensors.rendering import render
from sensors.timing import CLOCK_FAULTS

SENSES = ("camera", "lidar", "radar")
RIG = "micro"


def tensors(frames: Frames):
    return {(sense, f.name): getattr(getattr(frames, sense), f.name) for sense in (*SENSES, "ego") for f in fields(getattr(frames, sense))}


def assert_equal(a: Frames, b: Frames, but: tuple[str, ...] = ()):
    for (name, mine), theirs in zip(tensors(a).items(), tensors(b).values(), strict=True):
        if name[0] not in but:
            assert mine.dtype == theirs.dtype and torch.equal(mine, theirs), name


def past_of(scene, count=8, dt_s=0.1):
    """Earlier scenes, oldest first: everybody went straight on."""
    scenes = []
    for n in range(count, 0, -1):
        seconds = n * dt_s
        position = scene.position_m - seconds * scene.velocity_mps
        scenes.append(replace(scene, position_m=position, time_s=scene.time_s - seconds, step=scene.step - n))
    return scenes


@pytest.fixture
def driving(random_scene):
    """12 worlds 4 s and 40 steps into their episodes, and what was before."""
    scene = random_scene(21, worlds=12, actors=14)
    scene = replace(scene, step=torch.full_like(scene.step, 40), time_s=torch.full_like(scene.time_s, 4.0))
    return scene, past_of(scene)


@pytest.mark.parametrize(("modality", "kind"), [(m, k) for m, kinds in FAULTS_OF.items() for k in kinds])
def test_a_fault_changes_its_sensor_and_no_other(driving, modality, kind):
    scene, history = driving
    clean = render(scene, RIG, history)
    where = torch.arange(12) % 3 == 0
    faults = Faults.of(12, kind, modality, severity=3, index=0, where=where)
    spoilt = render(scene.with_faults(faults), RIG, history)
    name = modality.name.lower()
    assert_equal(spoilt, clean, but=(name,))
    mine, before = getattr(spoilt, name), getattr(clean, name)
    changed = torch.zeros_like(mine.valid)
    for field in fields(mine):
        new, old = getattr(mine, field.name), getattr(before, field.name)
        changed |= (new != old).reshape(*changed.shape, -1).any(-1)
    allowed = torch.zeros_like(changed)
    allowed[where, 0] = True
    assert not bool((changed & ~allowed).any())
    assert float(changed[allowed].float().mean()) > 0.7, "worlds that have the fault show it"
    for field in fields(mine):
        if getattr(mine, field.name).is_floating_point():
            assert torch.isfinite(getattr(mine, field.name)).all()


def test_faults_that_do_not_act_now_leave_every_bit(driving):
    scene, history = driving
    clean = render(scene, RIG)
    for modality, kind, severity in fault_suite():
        later = Faults.of(12, kind, modality, severity=severity, start_step=41)
        over = Faults.of(12, kind, modality, severity=severity, end_step=40)
        nothing = Faults.of(12, kind, modality, severity=severity, where=torch.zeros(12, dtype=torch.bool))
        assert_equal(render(scene.with_faults(Faults.join([later, over, nothing])), RIG, history), clean)


def mixed_faults(worlds):
    """Every fault of the suite, one a world, over and over."""
    suite = list(fault_suite())
    number = torch.arange(worlds)
    return Faults.join([Faults.of(worlds, kind, m, severity=s, where=number % len(suite) == n) for n, (m, kind, s) in enumerate(suite)])


def test_a_world_with_faults_alone_equals_itself_among_many(random_scene):
    worlds = 2 * len(list(fault_suite()))
    scene = random_scene(22, worlds=worlds, actors=14)
    scene = replace(scene, step=torch.full_like(scene.step, 40), time_s=torch.full_like(scene.time_s, 4.0))
    scene = scene.with_faults(mixed_faults(worlds))
    history = past_of(scene, 6)
    many = render(scene, RIG, history)
    assert_equal(render(scene, RIG, history), many)
    for world in range(0, worlds, 5):
        alone = render(scene.select([world]), RIG, [past.select([world]) for past in history])
        assert_equal(alone, many.select([world]))
    order = torch.randperm(worlds, generator=torch.Generator().manual_seed(0))
    assert_equal(render(scene.select(order), RIG, [past.select(order) for past in history]), many.select(order))


def test_two_faults_of_one_kind_act_as_the_severer(driving):
    scene, _ = driving
    mild, severe = (Faults.of(12, "blur", "camera", severity=s) for s in (1, 3))
    assert_equal(render(scene.with_faults(Faults.join([mild, severe])), RIG), render(scene.with_faults(severe), RIG))
    assert_equal(render(scene.with_faults(Faults.join([severe, mild])), RIG), render(scene.with_faults(severe), RIG))


def harm(modality, kind, spoilt, clean):
    """The measure by which a severity is worse than the one below."""
    if kind in (FaultKind.DROPPED, FaultKind.LOST):
        return float((~spoilt.valid).float().mean())
    if kind is FaultKind.LATENCY:
        return float(spoilt.age_s.mean())
    if modality is Modality.CAMERA:
        if kind is FaultKind.BLACK:
            return float((spoilt.rgb == 0).float().mean())
        return float((spoilt.rgb.float() - clean.rgb.float()).abs().mean())
    if modality is Modality.LIDAR:
        if kind in (FaultKind.BEAMS, FaultKind.FIELD_OF_VIEW, FaultKind.INCOMPLETE_ECHO):
            return -float(spoilt.hit.sum())
        return float((spoilt.range_m - clean.range_m).abs().clamp(max=10.0).mean())
    if kind in (FaultKind.SECTOR, FaultKind.INTERFERENCE):
        return -float(spoilt.mask.sum())
    if kind in (FaultKind.GHOSTS, FaultKind.CLUTTER):
        return float((spoilt.mask & (spoilt.actor < 0)).sum())
    return float((spoilt.detections - clean.detections).abs().sum(-1).clamp(max=50.0).mean())


GRADED = sorted({(m, k) for m, k, s in fault_suite() if s == 3 and k not in CLOCK_FAULTS or k is FaultKind.LATENCY})


@pytest.mark.parametrize(("modality", "kind"), GRADED)
def test_a_higher_severity_does_more_harm(random_scene, modality, kind):
    scene = random_scene(23, worlds=40, actors=14)
    scene = replace(scene, step=torch.full_like(scene.step, 40), time_s=torch.full_like(scene.time_s, 4.0))
    rig = replace(RIGS[RIG], **{f"{m.name.lower()}s": () for m in Modality if m is not modality})
    history = past_of(scene)
    name = modality.name.lower()
    clean = getattr(render(scene, rig, history), name)
    measured = [
        harm(modality, kind, getattr(render(scene.with_faults(Faults.of(40, kind, modality, severity=s)), rig, history), name), clean)
        for s in (1, 2, 3)
    ]
    if kind is FaultKind.BEAMS:  # an eighth and a thirty-second of eight beams are both one beam
        assert measured[0] < measured[1] == measured[2]
    else:
        assert measured[0] < measured[1] < measured[2]


def test_the_noise_of_a_fault_is_new_at_every_step_and_the_same_again(driving):
    scene, _ = driving
    for modality, kind in ((Modality.LIDAR, "crosstalk"), (Modality.RADAR, "range_noise"), (Modality.CAMERA, "low_light")):
        faulty = scene.with_faults(Faults.of(12, kind, modality))
        later = replace(faulty, step=faulty.step + 1)
        name, field = modality.name.lower(), {"LIDAR": "range_m", "RADAR": "detections", "CAMERA": "rgb"}[modality.name]
        first, again, other = (getattr(getattr(render(one, RIG), name), field) for one in (faulty, faulty, later))
        assert torch.equal(first, again) and not torch.equal(first, other)


def test_what_a_stack_cannot_know_is_not_told(driving):
    scene, history = driving
    for kind, told in (("black", True), ("blur", True), ("frozen", True), ("desynchronised", True), ("dead", False)):
        camera = render(scene.with_faults(Faults.of(12, kind, "camera", severity=3 if kind != "dead" else 1)), RIG, history).camera
        assert bool(camera.valid.all()) == told and bool(camera.valid.any()) == told, kind
        assert not bool(camera.age_s.any()), kind


def test_black_is_black_and_keeps_its_labels(driving):
    scene, _ = driving
    clean, black = render(scene, RIG).camera, render(scene.with_faults(Faults.of(12, "black", "camera", severity=3)), RIG).camera
    assert not bool(black.rgb.any())
    for name in ("depth_m", "semantic", "instance", "valid", "age_s"):
        assert torch.equal(getattr(black, name), getattr(clean, name))


def test_fog_of_a_sensor_is_the_fog_of_the_weather(driving):
    scene, _ = driving
    foggy = scene.with_weather(scene.weather.changed(visibility_m=60.0))
    for modality in ("camera", "lidar"):
        faulty = render(scene.with_faults(Faults.of(12, "fog", modality, severity=2)), RIG)
        for field in fields(getattr(faulty, modality)):
            assert torch.equal(getattr(getattr(faulty, modality), field.name), getattr(getattr(render(foggy, RIG), modality), field.name))


def test_an_extrinsic_error_is_the_view_from_a_moved_mount(driving):
    scene, _ = driving
    faults = Faults.of(12, "extrinsic_error", "camera", severity=2)
    faulty = render(scene.with_faults(faults), RIG).camera
    from sensors.faults.levels import levels_of
    from sensors.faults.physical import moved, moves_of

    rig = RIGS[RIG]
    codes = moves_of(scene, levels_of(faults, scene.step, Modality.CAMERA, 3), Modality.CAMERA, 3)
    assert len(codes.unique(dim=0)) > 3, "episodes differ in the direction"
    for world in (0, 5, 11):
        other = replace(rig, cameras=moved(rig.cameras, codes[world].tolist()))
        assert rig.cameras[0].mount != other.cameras[0].mount
        assert torch.equal(render(scene.select([world]), other).camera.rgb[0], faulty.rgb[world])
    later = replace(scene, step=scene.step + 7)
    assert torch.equal(moves_of(later, levels_of(faults, later.step, Modality.CAMERA, 3), Modality.CAMERA, 3), codes)


def test_lost_cameras_are_one_two_or_all(driving):
    scene, _ = driving
    for severity, lost in ((1, 1), (2, 2), (3, 3)):
        frames = render(scene.with_faults(Faults.of(12, "lost", "camera", severity=severity)), RIG).camera
        assert ((~frames.valid).sum(1) == lost).all()
        assert not bool(frames.rgb[~frames.valid].any())
    first = render(scene.with_faults(Faults.of(12, "lost", "camera", severity=1)), RIG).camera.valid
    assert len(first.unique(dim=0)) == 3, "which one is drawn by the episode"


def test_beams_and_field_of_view(driving):
    scene, _ = driving
    for severity, beams in ((1, 4), (2, 1), (3, 1)):
        hit = render(scene.with_faults(Faults.of(12, "beams", "lidar", severity=severity)), RIG).lidar.hit
        assert int(hit.any(-1).any(0)[0].sum()) <= beams
    narrow = render(scene.with_faults(Faults.of(12, "field_of_view", "lidar", severity=2)), RIG).lidar
    columns = torch.arange(64)
    behind = (columns >= 16) & (columns < 48)
    assert not bool(narrow.hit[..., behind].any()) and bool(narrow.hit[..., ~behind].any())
    assert not bool(narrow.range_m[..., behind].any()) and (narrow.actor[..., behind] == -1).all()


def test_radar_frames_stay_sorted_and_blank_where_there_is_nothing(driving):
    scene, _ = driving
    for kind in ("ghosts", "clutter", "interference", "sector"):
        frames = render(scene.with_faults(Faults.of(12, kind, "radar", severity=3)), RIG).radar
        snr = frames.detections[..., 5].masked_fill(~frames.mask, -1e9)
        assert (snr[..., :-1] >= snr[..., 1:]).all(), kind
        assert not bool(frames.detections[~frames.mask].any()) and (frames.actor[~frames.mask] == -1).all()


def test_doppler_folds_and_clutter_stands(driving):
    scene, _ = driving
    folded = render(scene.with_faults(Faults.of(12, "aliasing", "radar", severity=3)), RIG).radar
    assert float(folded.detections[..., 3].abs().max()) <= 5.0
    empty = replace(scene, valid=torch.arange(14).expand(12, -1) == 0)
    clean = render(empty, RIG).radar
    frames = render(empty.with_faults(Faults.of(12, "clutter", "radar", severity=1)), RIG).radar
    assert ((frames.mask.sum(-1) - clean.mask.sum(-1)) == 4).all()
    radar = RIGS[RIG].radars[0]
    heading, velocity = scene.heading_rad[:, 0], scene.velocity_mps[:, 0]
    for world in range(12):
        seen = frames.detections[world, 0][frames.mask[world, 0]]
        angle = heading[world] + radar.mount.yaw_rad + seen[:, 1].double()
        expected = -(velocity[world, 0] * angle.cos() + velocity[world, 1] * angle.sin())
        assert int((seen[:, 3] - expected).abs().lt(1e-3).sum()) >= 4


def test_names_and_numbers_that_cannot_be_are_refused():
    for call, words in (
        (lambda: Faults.of(2, "blurr", "camera"), "unknown fault 'blurr'; did you mean 'blur'"),
        (lambda: Faults.of(2, "blur", "camra"), "unknown modality 'camra'; did you mean 'camera'"),
        (lambda: Faults.of(2, "beams", "camera"), "unknown fault of a camera 'beams'"),
        (lambda: Faults.of(2, "none", "camera"), "unknown fault of a camera 'none'"),
        (lambda: Faults.of(2, "blur", "camera", severity=4), "severity 4"),
        (lambda: Faults.of(2, "blur", "camera", severity=0), "severity 0"),
        (lambda: Faults.of(2, "blur", "camera", index=-2), "index -2"),
        (lambda: Faults.of(2, "blur", "camera", start_step=5, end_step=4), "end_step 4"),
        (lambda: Faults.of(2, "blur", "camera", severity=torch.tensor([1, 2, 3])), r"shape \(3,\)"),
        (lambda: Faults.join([Faults.none(2), Faults.none(3)]), "same number"),
        (lambda: Faults.join([]), "at least one part"),
        (lambda: Faults.parse("blur:camera:two", 1), "'two' is not a whole number"),
        (lambda: Faults.parse("blur:camera:1:2:3:4", 1), "6 parts"),
        (lambda: Faults.parse("none", 1), "is no fault"),
    ):
        with pytest.raises(ConfigError, match=words):
            call()


def test_entries_that_cannot_be_are_refused_by_render(random_scene):
    scene = random_scene(3, worlds=2)
    entry = Faults.of(2, "blur", "camera")
    for bad in ({"kind": 99}, {"modality": 7}, {"severity": 9}, {"kind": int(FaultKind.BEAMS)}):
        faults = replace(entry, **{name: torch.tensor([[int(getattr(entry, name)[0])], [value]]) for name, value in bad.items()})
        with pytest.raises(ConfigError, match="fault 0 of world 1"):
            render(scene.with_faults(faults), RIG)


def test_parse_reads_what_of_makes():
    def same(a, b):
        return all(torch.equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))

    assert same(Faults.parse("frozen:camera:3:30:60", 2), Faults.of(2, "frozen", "camera", severity=3, start_step=30, end_step=60))
    assert same(Faults.parse("beams", 2), Faults.of(2, "beams", "lidar"))
    assert same(Faults.parse("fog", 1), Faults.join([Faults.of(1, "fog", "camera"), Faults.of(1, "fog", "lidar")]))
    assert same(Faults.parse("dead::1:5", 1), Faults.join([Faults.of(1, "dead", m, severity=1, start_step=5) for m in Modality]))


def test_the_suite_has_every_kind_of_every_modality():
    suite = list(fault_suite())
    assert {(m, k) for m, k, _ in suite} == {(m, k) for m, kinds in FAULTS_OF.items() for k in kinds}
    assert {k for kinds in FAULTS_OF.values() for k in kinds} == set(FaultKind) - {FaultKind.NONE}
    assert {s for _, k, s in suite if k is not FaultKind.DEAD} == {1, 2, 3} and len(suite) == len(set(suite))
    assert set(fault_names()) == {k.name.lower() for k in FaultKind} - {"none"}
    assert FaultKind.DEAD == 1


entries = st.tuples(
    st.sampled_from(list(fault_suite())),
    st.integers(-1, 2),
    st.integers(30, 45),
    st.integers(30, 50),
    st.lists(st.booleans(), min_size=3, max_size=3),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(entries, max_size=4))
def test_any_mixture_renders_alike_alone_and_in_any_order_of_entries(random_scene, mixture):
    scene = random_scene(24, worlds=3, actors=8)
    scene = replace(scene, step=torch.full_like(scene.step, 40), time_s=torch.full_like(scene.time_s, 4.0))
    parts = [
        Faults.of(3, k, m, severity=s, index=i, start_step=min(a, b), end_step=max(a, b), where=torch.tensor(where))
        for (m, k, s), i, a, b, where in mixture
    ]
    history = past_of(scene, 4)
    frames = render(scene.with_faults(Faults.join([*parts, Faults.none(3)])), RIG, history)
    assert_equal(render(scene.with_faults(Faults.join([Faults.none(3), *parts[::-1]])), RIG, history), frames)
    one = scene.with_faults(Faults.join([*parts, Faults.none(3)])).select([1])
    assert_equal(render(one, RIG, [past.select([1]) for past in history]), frames.select([1]))
    for sense in SENSES:
        seen = getattr(frames, sense)
        for field in fields(seen):
            values = getattr(seen, field.name)
            assert torch.isfinite(values.double()).all()
            if field.name not in ("instance", "actor"):
                assert not bool(values[~seen.valid].any())
