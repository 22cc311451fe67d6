"""Data sets of natural images, on small files in the layouts of the real ones."""

import hashlib
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from bench import data
from bench.data import DataSpec, _images
from bench.training.batches import Seeded
from tests.data.image_files import CHANCE, classes, picture


def unchecked(monkeypatch, cls):
    """Disable torchvision's checksums, because the files are not the real ones."""
    monkeypatch.setattr(cls, "_check_integrity", lambda self: True)


def cifar(folder, names, key, count, each):
    folder.mkdir(parents=True)
    for name in names:
        labels = np.repeat(np.arange(count), each).tolist()
        entry = {"data": CHANCE.integers(0, 256, (len(labels), 3072), dtype=np.uint8), key: labels}
        (folder / name).write_bytes(pickle.dumps(entry))


@pytest.fixture
def cifar10(root, monkeypatch):
    from torchvision.datasets import CIFAR10

    unchecked(monkeypatch, CIFAR10)
    monkeypatch.setattr(CIFAR10, "_load_meta", lambda self: None)
    cifar(root / CIFAR10.base_folder, ["test_batch", *(f"data_batch_{i}" for i in range(1, 6))], "labels", 10, 4)


@pytest.fixture
def cifar100(root, monkeypatch):
    from torchvision.datasets import CIFAR100

    unchecked(monkeypatch, CIFAR100)
    monkeypatch.setattr(CIFAR100, "_load_meta", lambda self: None)
    cifar(root / CIFAR100.base_folder, ["train", "test"], "fine_labels", 100, 2)


@pytest.fixture
def stl10(root, monkeypatch):
    from torchvision.datasets import STL10

    unchecked(monkeypatch, STL10)
    folder = root / STL10.base_folder
    folder.mkdir(parents=True)
    for name, each in (("train", 4), ("test", 2)):
        (folder / f"{name}_X.bin").write_bytes(CHANCE.integers(0, 256, 10 * each * 3 * 96 * 96, dtype=np.uint8).tobytes())
        (folder / f"{name}_y.bin").write_bytes(np.repeat(np.arange(1, 11, dtype=np.uint8), each).tobytes())
    (folder / "unlabeled_X.bin").write_bytes(b"")


@pytest.fixture
def imagenette(root):
    from torchvision.datasets import Imagenette

    for part, each in (("train", 4), ("val", 2)):
        for name in Imagenette._WNID_TO_CLASS:
            for number in range(each):
                picture(root / "imagenette2-160" / part / name / f"{number}.jpeg", 30, 50)


@pytest.fixture
def eurosat(root):
    classes(root / "eurosat" / "2750", 10, 10, ".jpg", height=64, width=64)


@pytest.fixture
def flowers102(root, monkeypatch):
    from scipy.io import savemat
    from torchvision.datasets import Flowers102

    unchecked(monkeypatch, Flowers102)
    folder = root / "flowers-102"
    for number in range(1, 5 * 102 + 1):
        picture(folder / "jpg" / f"image_{number:05d}.jpg", 20, 25)
    numbers = np.arange(1, 5 * 102 + 1).reshape(5, 102)
    savemat(folder / "imagelabels.mat", {"labels": np.tile(np.arange(1, 103), 5)})
    savemat(folder / "setid.mat", {"trnid": numbers[:2].ravel(), "valid": numbers[2:4].ravel(), "tstid": numbers[4:].ravel()})


SIZES = {  # train, validation and test images of the fixtures
    "cifar10": (180, 20, 40),
    "cifar100": (100, 100, 200),
    "stl10": (30, 10, 20),
    "imagenette": (30, 10, 20),
    "eurosat": (70, 10, 20),
    "flowers102": (306, 102, 102),
}


@pytest.mark.parametrize("name", SIZES)
def test_splits_of_a_data_set(name, request):
    assert "--download" in data.DataSet(name).missing()
    request.getfixturevalue(name)
    assert data.DataSet(name).missing() is None
    splits = data.DataSet(name).load(DataSpec(16))
    assert tuple(len(part) for part in splits[:3]) == SIZES[name]
    assert splits.classes == int(name.removeprefix("cifar") if "cifar" in name else 102 if "flowers" in name else 10)
    image, label = splits.train[0]
    assert image.shape == (splits.channels, 16, 16) and image.dtype == torch.float32 and isinstance(label, int)
    assert {splits.test[index][1] for index in range(len(splits.test))} == set(range(splits.classes)), "every class from 0"
    assert splits.trivial_accuracy == pytest.approx(100 / splits.classes)
    assert torch.equal(image, data.DataSet(name).load(DataSpec(16)).train[0][0]), "the same split each time, nothing at random"


def test_other_size_of_imagenette_has_its_own_folder(imagenette):
    assert "imagenette2-320" in data.DataSet("imagenette[size=320px]").missing()
    with pytest.raises(ValueError, match="size '64px' is not one of 160px, 320px, full"):
        data.DataSet("imagenette[size=64px]").load(DataSpec(16))


def test_standardisation_is_that_of_the_data_set(cifar10):
    from torchvision.datasets import CIFAR10

    splits = data.DataSet("cifar10").load(DataSpec(32))
    raw = torch.from_numpy(CIFAR10(data.root(), train=False).data[7]).permute(2, 0, 1) / 255
    mean, deviation = (torch.tensor(values)[:, None, None] for values in ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)))
    torch.testing.assert_close(splits.test[7][0], (raw - mean) / deviation)


def test_splits_are_disjoint_and_stratified():
    labels = np.repeat(np.arange(3), (100, 40, 1))
    rest, taken = _images.held_out(labels, np.arange(141), 0.1)
    assert sorted([*rest, *taken]) == list(range(141))
    assert np.bincount(labels[taken], minlength=3).tolist() == [10, 4, 0], "a class of one image trains"
    digest = hashlib.sha256(np.array(taken, "<i8").tobytes()).hexdigest()[:16]
    assert digest == "a66566beb31a4ae0", "another split would make other accuracies"


def test_folders_of_classes_are_split(tmp_path):
    classes(tmp_path / "set", 3, 10, height=30, width=50)
    splits = data.DataSet(f"folder:{tmp_path / 'set'}").load(DataSpec(24))
    assert tuple(len(part) for part in splits[:3]) == (21, 3, 6)
    shown = [{image.numpy().tobytes() for image, _ in (part[i] for i in range(len(part)))} for part in splits[:3]]
    assert len(set.union(*shown)) == 30, "no image twice"
    assert splits.classes == 3 and splits.train[0][0].shape == (3, 24, 24)


def test_imagenet_layout_uses_its_splits(tmp_path):
    classes(tmp_path / "train", 2, 10)
    classes(tmp_path / "val", 2, 3)
    assert tuple(len(part) for part in data.DataSet(f"folder:{tmp_path}").load(DataSpec(8))[:3]) == (18, 2, 6)
    picture(tmp_path / "val" / "class9" / "0.png")
    with pytest.raises(ValueError, match="train and val do not have the same classes: only one has class9"):
        data.DataSet(f"folder:{tmp_path}").load(DataSpec(8))


@pytest.mark.parametrize("names", [("train", "valid"), ("Training", "Testing"), ("train", "validation"), ("TRAIN", "test")])
def test_usual_names_of_splits_are_known(names, tmp_path):
    for name, each in zip(names, (10, 3)):
        classes(tmp_path / name, 2, each)
    splits = data.DataSet(f"folder:{tmp_path}").load(DataSpec(8))
    assert (splits.classes, len(splits.train), len(splits.test)) == (2, 18, 6)


def test_a_class_of_folders_is_rejected(tmp_path):
    for name in ("fit", "score"):
        classes(tmp_path / name, 2, 10)
    with pytest.raises(ValueError, match=r"class folder .*fit has only folders: give a folder with one folder per class"):
        data.DataSet(f"folder:{tmp_path}").load(DataSpec(8))


def test_hidden_files_and_folders_are_skipped(tmp_path):
    classes(tmp_path, 2, 10)
    for hidden in (".ipynb_checkpoints/0.png", "__MACOSX/0.png", "class0/._0.png", "class1/.ipynb_checkpoints/1.png"):
        picture(tmp_path / hidden)
    splits = data.DataSet(f"folder:{tmp_path}").load(DataSpec(8))
    assert splits.classes == 2 and sum(len(part) for part in splits[:3]) == 20


def test_folder_without_images_is_rejected(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="Couldn't find any class folder"):
        data.DataSet(f"folder:{tmp_path / 'empty'}").load(DataSpec(8))
    picture(tmp_path / "single" / "class" / "0.png")
    with pytest.raises(ValueError, match="too few images"):
        data.DataSet(f"folder:{tmp_path / 'single'}").load(DataSpec(8))


def draws(name, spec, seeds):
    """Return the first train image under several seeds."""
    part = data.DataSet(name).load(spec).train
    return [Seeded(part, seed)[0][0] for seed in seeds]


@pytest.mark.parametrize("augment", ["flip", "rand-m9-mstd0.5-inc1", "augmix-m5-w4-d2"])
@pytest.mark.parametrize("name", ["cifar10", "imagenette"])
def test_augmentation_depends_only_on_the_seed(name, augment, request):
    request.getfixturevalue(name)
    first, again, *others = draws(name, DataSpec(16, augment), [1, 1, 2, 3, 4])
    assert torch.equal(first, again)
    assert any(not torch.equal(first, other) for other in others)
    assert all(image.shape == (3, 16, 16) for image in others)
    plain = data.DataSet(name).load(DataSpec(16)).test
    assert torch.equal(data.DataSet(name).load(DataSpec(16, augment)).test[0][0], plain[0][0]), "never in evaluation"


def test_small_images_are_shifted_and_flipped(cifar10):
    plain = data.DataSet("cifar10").load(DataSpec(32)).train[0][0]
    moved = draws("cifar10", DataSpec(32, "flip"), range(12))
    centre = (slice(None), slice(8, 24), slice(8, 24))
    found = 0
    for image in moved:
        shifts = [plain.roll((dy, dx), (1, 2)) for dy in range(-4, 5) for dx in range(-4, 5)]
        mirrored = [plain.flip(2).roll((dy, dx), (1, 2)) for dy in range(-4, 5) for dx in range(-4, 5)]
        found += any(torch.allclose(image[centre], one[centre]) for one in [*shifts, *mirrored])
    assert found == len(moved)


@pytest.mark.parametrize("augment", ["none", "flip"])
def test_erasing_replaces_a_rectangle(cifar10, augment):
    whole, erased = (draws("cifar10", DataSpec(32, augment, erase), range(20)) for erase in (0.0, 1.0))
    changed = [(a != b).float().mean().item() for a, b in zip(whole, erased)]
    assert all(0.01 < share < 0.5 for share in changed)
    assert all((b[a != b] == 0).all() for a, b in zip(whole, erased))


def test_unknown_policy_is_rejected(cifar10):
    with pytest.raises(ValueError, match="'magic' is not none, flip or a policy"):
        data.DataSet("cifar10").load(DataSpec(32, "magic"))


def test_crop_is_the_same_at_every_resolution(tmp_path):
    """An off-centre disc in each photograph has the same relative position and size in every test image."""
    y, x = np.mgrid[:60, :80]
    for label in range(2):
        for number in range(5):
            path = tmp_path / f"class{label}" / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray((255 * ((x - 45) ** 2 + (y - 25) ** 2 < 100)).astype(np.uint8)).save(path)
    for res in (16, 48):
        image = data.DataSet(f"folder:{tmp_path}").load(DataSpec(res)).test[0][0][0]
        bright = (image > 0).nonzero() + 0.5
        assert (bright.mean(0) / res).tolist() == pytest.approx([(25.5 - 3.75) / 52.5, (45.5 - 13.75) / 52.5], abs=0.02)
        assert len(bright) / res**2 == pytest.approx(314 / 52.5**2, rel=0.1)
