"""Pathfinder's generator: its images, and that they are the same on every machine. No network is trained."""

import hashlib

import numpy as np
import pytest
import torch

from bench import data
from bench.data import DataSpec, _cache, pathfinder
from bench.data._pathfinder import snakes
from bench.data._pathfinder.image import discs, picture

UNIT = snakes.UNIT
RESOLUTIONS = {32: 8, 64: 4, 128: 4}  # and the number of images that are checked


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LKB_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def scenes():
    return [pathfinder.image(res, 14, 0, index) for res, count in RESOLUTIONS.items() for index in range(count)]


def dense(snake, shape, count=41):
    """Return points (paddles, count, 2) along the axis of each paddle, in pixels."""
    paddles = snakes.as_array([snake])
    way = np.linspace(0, shape.paddle, count)[:, None]
    return (paddles[:, None, :2] + way * snakes.DIRECTIONS[paddles[:, None, 2]]) / UNIT


def test_snakes_do_not_touch_and_are_inside(scenes):
    for scene in scenes:
        shape = scene.shape
        lines = [dense(snake, shape) for snake in (*scene.contours, *scene.distractors)]
        for number, line in enumerate(lines):
            assert line.min() >= shape.padding - 1e-6 and line.max() <= shape.res - shape.padding + 1e-6
            for other in lines[:number]:
                gaps = np.linalg.norm(line.reshape(-1, 1, 2) - other.reshape(1, -1, 2), axis=-1)
                assert gaps.min() > shape.thickness + shape.margin


def test_contours_are_complete_and_smooth(scenes):
    for scene in scenes:
        shape = scene.shape
        assert [len(snake) for snake in scene.contours] == [14, 14]
        for snake in (*scene.contours, *scene.distractors):
            line, headings = dense(snake, shape), np.array([paddle[2] for paddle in snake])
            turns = (np.diff(headings) + 180) % 360 - 180
            assert np.abs(turns).max(initial=0) <= 90 / shape.continuity
            gaps = np.linalg.norm(line[1:, 0] - line[:-1, -1], axis=-1)
            assert (gaps <= 2 * shape.margin + 0.01).all()
            assert (gaps >= 2 * shape.margin * np.cos(np.deg2rad(turns / 2)) - 0.01).all(), "two margins, seen across the turn"


def test_starting_points_have_their_distance(scenes):
    for scene in scenes:
        first, second = (snakes.tail(snake) for snake in scene.contours)
        assert np.linalg.norm(first - second) / UNIT == pytest.approx(scene.shape.seed_distance, abs=0.02)


def test_markers_are_on_the_tips_given_by_the_label(scenes):
    from scipy.ndimage import center_of_mass, label

    for scene in scenes:
        origin, terminal = scene.tips()
        own = scene.contours[scene.origin]
        other = scene.contours[1 - scene.origin]
        assert np.array_equal(origin, snakes.tail(own))
        assert np.array_equal(terminal, snakes.head(own if scene.label else other, scene.shape))
        found, count = label(discs(scene))
        assert count == 2, "no more, and no two in one"
        for tip in (origin, terminal):
            inside = (tip > scene.shape.radius * UNIT).all() and (tip < (scene.shape.res - scene.shape.radius) * UNIT).all()
            if inside:  # a marker at the border is clipped
                centres = np.array(center_of_mass(found > 0, found, [1, 2]))[:, ::-1]
                assert np.abs((centres + 0.5) / 4 - tip / UNIT).max(1).min() < 0.1
    assert {scene.label for scene in scenes} == {0, 1}


def test_paddles_are_dimmer_than_markers():
    scene = pathfinder.image(64, 14, 0, 3)
    image = picture(scene)
    assert image.shape == (64, 64) and image.dtype == np.uint8
    x, y = scene.tips()[0] // UNIT
    assert image[y, x] == 255
    middle = dense(scene.contours[0], scene.shape)[5, 20].astype(int)
    assert 60 < image[middle[1], middle[0]] <= 0.8 * 255
    assert (image == 0).mean() > 0.6


@pytest.mark.parametrize(("res", "wanted"), [(32, "acd56e954a513cf7"), (64, "cdecd683432bafff"), (128, "ef8603b9263a2cee")])
def test_images_are_bit_identical_in_any_order(res, wanted):
    images = {index: picture(pathfinder.image(res, 6, 0, index)) for index in (2, 0, 1)}
    assert hashlib.sha256(b"".join(images[index].tobytes() for index in range(3))).hexdigest()[:16] == wanted
    assert not np.array_equal(images[0], picture(pathfinder.image(res, 6, 1, 0))), "another part, other images"


def test_data_set_is_balanced_and_standardised():
    splits = data.DataSet("pathfinder[length=4,train=600,validation=10,test=300]").load(DataSpec(32))
    assert [len(part) for part in splits[:3]] == [600, 10, 300]
    images, labels = splits.train.tensors
    assert images.shape == (600, 1, 32, 32) and images.dtype == torch.float32 and labels.dtype == torch.int64
    assert float(labels.float().mean()) == pytest.approx(0.5, abs=0.08)
    assert images.mean().abs() < 1e-4 and float(images.std()) == pytest.approx(1, abs=1e-3)
    assert (splits.classes, splits.channels, splits.trivial_predictor) == (2, 1, "markers alone")
    assert 70 < splits.trivial_accuracy < 95, "short contours leak"


def test_markers_alone_are_close_to_chance_at_length_14():
    """Only the positions are needed, so no distractors are drawn. They come after the contours and before the label."""
    shape = pathfinder.SHAPES[32][0]._replace(distractor_paddles=0)
    draws = [snakes.scene(shape, 14, np.random.default_rng([9, index])) for index in range(700)]
    arrays = {"tips": np.stack([one.tips() / UNIT for one in draws]), "labels": np.array([one.label for one in draws])}
    train, test = ({name: part[half] for name, part in arrays.items()} for half in (slice(350), slice(350, None)))
    assert pathfinder.accuracy_from_markers(train, test) < 60


def test_data_set_is_generated_once_and_again_if_damaged(cache, monkeypatch):
    text = "pathfinder[length=3,train=30,validation=4,test=10]"
    first = data.DataSet(text).load(DataSpec(32))
    kept = sorted(cache.iterdir())
    assert len(kept) == 4 and not list(cache.glob("*.tmp*"))
    victim = max(kept, key=lambda path: path.stat().st_size)
    victim.write_bytes(victim.read_bytes()[:-100])
    again = data.DataSet(text).load(DataSpec(32))
    monkeypatch.setattr(snakes, "scene", lambda *rest: pytest.fail("drawn again"))
    monkeypatch.setattr(pathfinder, "scene", lambda *rest: pytest.fail("drawn again"))
    hit = data.DataSet(text).load(DataSpec(32))
    for splits in (again, hit):
        assert all(torch.equal(a, b) for part, twin in zip(first[:3], splits[:3]) for a, b in zip(part.tensors, twin.tensors))
        assert splits.trivial_accuracy == first.trivial_accuracy


def test_flipped_bit_is_detected(cache):
    made, cached = [], _cache.cached

    def make():
        made.append(1)
        return {"images": np.arange(10_000, dtype=np.int32) % 97}

    cached("victim", make)
    whole = (cache / "victim.npz").read_bytes()
    for place in range(60, len(whole) - 200, 97):
        (cache / "victim.npz").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert np.array_equal(cached("victim", make)["images"], np.arange(10_000) % 97)
    assert len(made) > 1


def test_other_settings_are_cached_under_other_names(cache):
    data.DataSet("pathfinder[length=2,train=8,validation=1,test=4]").load(DataSpec(32))
    before = set(cache.iterdir())
    data.DataSet("pathfinder[length=3,train=8,validation=1,test=4]").load(DataSpec(32))
    assert len(set(cache.iterdir())) == 2 * len(before)


def test_cached_arrays_are_replaced_atomically(cache):
    def breaks():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _cache.cached("name", breaks)
    assert not list(cache.iterdir())


@pytest.mark.parametrize(
    ("text", "spec", "reason"),
    [
        ("pathfinder", DataSpec(48), "supports 32, 64, 128 px, not 48"),
        ("pathfinder[length=1]", DataSpec(32), "from 2 to 18"),
        ("pathfinder[length=14.5]", DataSpec(32), "not an integer"),
        ("pathfinder[test=0]", DataSpec(32), "not positive integers"),
        ("pathfinder", DataSpec(32, "flip"), "does not support augmentation"),
        ("pathfinder[paddle=3]", DataSpec(32), "paddle"),
    ],
)
def test_invalid_options_are_rejected(text, spec, reason):
    with pytest.raises(ValueError, match=reason):
        data.DataSet(text).load(spec)
