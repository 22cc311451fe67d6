"""Recipes: those of the papers, and overrides from the command line."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.spec import Training
from bench.training import recipes


def test_recipe_without_overrides_is_unchanged():
    assert recipes.with_overrides("quick", []) == Training()
    assert all(recipes.with_overrides(name, []) == recipe for name, recipe in recipes.RECIPES.items())


# The settings of the papers' scripts that a protocol contains.
PAPERS = {
    "flexnet": {
        "optimizer": "adam", "lr": (0.01,), "epochs": 350, "batch": 64, "warmup": 5, "weight_decay": 0.0, "augment": "flip",
    },
    "dfformer": {
        "optimizer": "adamw", "lr": (1e-3,), "epochs": 300, "batch": 1024, "warmup": 20, "weight_decay": 0.05, "mixup": 0.8,
        "cutmix": 1.0, "smoothing": 0.1, "erase": 0.25, "augment": "rand-m9-mstd0.5-inc1", "ema": 0.0, "res": 224,
    },
    "convnext": {
        "optimizer": "adamw", "lr": (4e-3,), "epochs": 300, "batch": 4096, "warmup": 20, "weight_decay": 0.05, "mixup": 0.8,
        "cutmix": 1.0, "smoothing": 0.1, "erase": 0.25, "augment": "rand-m9-mstd0.5-inc1", "ema": 0.9999, "res": 224,
    },
    "shared_basis": {
        "optimizer": "momentum", "lr": (0.1,), "epochs": 300, "batch": 256, "milestones": (150, 225), "weight_decay": 5e-4,
        "decay_all": True, "schedule": "multistep", "res": 32,
    },
    "shared_basis_imagenet": {"epochs": 150, "milestones": (60, 100, 140), "weight_decay": 1e-4, "optimizer": "momentum"},
}  # fmt: skip


@pytest.mark.parametrize("name", PAPERS)
def test_recipes_equal_the_papers(name):
    recipe = recipes.RECIPES[name]
    assert {field: getattr(recipe, field) for field in PAPERS[name]} == PAPERS[name]


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_timm_creates_the_components_of_a_recipe(name):
    from torch import nn

    from bench.training.optim import schedule

    recipe = recipes.RECIPES[name]
    optimizer, scheduler = schedule(nn.Linear(2, 2), recipe, recipe.lr[0], recipe.epochs, 2)
    scheduler.step_update(2 * recipe.epochs // 2)
    assert 0 < optimizer.param_groups[0]["lr"] <= recipe.lr[0]


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("lr=0.1,0.01", "lr", (0.1, 0.01)),
        ("epochs=3", "epochs", 3),
        ("warmup=0", "warmup", 0),
        ("milestones=4,8", "milestones", (4, 8)),
        ("channels_last=true", "channels_last", True),
        ("seconds=1.5", "seconds", 1.5),
        ("optimizer=lamb", "optimizer", "lamb"),
        ("dtype=bf16", "dtype", "bf16"),
        ("erase=1", "erase", 1.0),
    ],
)
def test_override_changes_only_its_setting(text, field, value):
    changed = recipes.with_overrides("quick", [text])
    assert getattr(changed, field) == value
    assert {name for name in vars(changed) if getattr(changed, name) != getattr(Training(), name)} == {field}


def test_milestones_can_be_empty():
    assert recipes.with_overrides("shared_basis", ["milestones="]).milestones == ()


def test_milestones_must_fit_the_budget():
    recipe = recipes.RECIPES["shared_basis"]
    assert recipes.validated(recipe) is recipe
    for changes in ({"epochs": 20}, {"seconds": 60.0}):
        with pytest.raises(ValueError, match=r"milestones \(150, 225\) do not fit"):
            recipes.validated(replace(recipe, **changes))
    assert recipes.validated(replace(recipe, epochs=20, schedule="cosine"))


def test_last_of_two_overrides_counts():
    assert recipes.with_overrides("quick", ["epochs=3", "epochs=4"]).epochs == 4


@pytest.mark.parametrize(
    "text",
    [
        "epochs=0", "epochs=1.5", "epochs=", "epochs", "batch=-1", "lr=", "lr=0", "lr=nan", "lr=0.1,0.1", "lr=a", "dtype=fp16",
        "schedule=stairs", "channels_last=1", "erase=1.1", "weight_decay=inf", "optimizer=", "res=0", "milestones=0", "seconds=0",
    ],
)  # fmt: skip
def test_invalid_value_is_an_error_with_the_setting(text):
    with pytest.raises(ValueError, match=f"--train '{text}': .* is not a valid {text.partition('=')[0]}"):
        recipes.with_overrides("quick", [text])


def test_unknown_setting_is_an_error_with_the_nearest():
    with pytest.raises(ValueError, match=r"no setting 'epoch'; did you mean 'epochs'\? \(settings: res, "):
        recipes.with_overrides("quick", ["epoch=3"])
    with pytest.raises(ValueError, match="no setting 'data'"):
        recipes.with_overrides("quick", ["data=digits"])
    with pytest.raises(ValueError, match=r"unknown recipe 'flexnets'; did you mean 'flexnet'\?"):
        recipes.with_overrides("flexnets", [])


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("epochs=20", {"epochs": 20, "seconds": None}),
        ("60s", {"seconds": 60.0}),
        ("1.5min", {"seconds": 90.0}),
        (".5h", {"seconds": 1800.0}),
    ],
)
def test_budget_is_a_time_or_epochs(text, fields):
    assert recipes.parse_budget(text) == fields


@pytest.mark.parametrize("text", ["epochs=0", "60", "s", "0s", "-1s", "epochs=", "epochs=2.5", "1 s", "1d", ""])
def test_invalid_budget_is_an_error(text):
    with pytest.raises(ValueError, match="is neither a time such as 60s nor epochs=20"):
        recipes.parse_budget(text)


def test_own_flags_override_the_recipe():
    protocol = recipes.protocol("flexnet", recipes.Changes(("epochs=3",), "epochs=5", 16, (16, 24)))
    assert (protocol.optimizer, protocol.epochs, protocol.res, protocol.eval_res) == ("adam", 5, 16, (16, 24))
    kept = recipes.protocol("flexnet", recipes.Changes(("res=20",)))
    assert (kept.epochs, kept.res) == (350, 20)


def test_recipes_are_listed():
    result = CliRunner().invoke(main, ["list"])
    assert result.exit_code == 0
    lines = result.output.partition("Training recipes\n")[2].splitlines()
    assert [line.split()[0] for line in lines[: len(recipes.RECIPES)]] == list(recipes.RECIPES)
    assert "350 epochs of batch 64, adam, lr 0.01" in lines[1]
    listed = json.loads(CliRunner().invoke(main, ["list", "--json"]).output)["recipes"]
    assert listed["flexnet"]["epochs"] == 350


def test_recipes_import_no_torch():
    code = (
        "import sys; from bench.training import recipes as r; r.with_overrides('quick', ['lr=1']); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
