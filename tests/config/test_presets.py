import pathlib

import pytest

from dg_jax import config, errors, run
from dg_jax.command_line import flags as command_flags
from dg_jax.data import registry
from experiments import sweep


@pytest.mark.parametrize("dataset", registry.DATASETS)
@pytest.mark.parametrize("preset", ["dataset", "paper", "released"])
def test_every_preset_of_every_dataset_holds_its_values(dataset, preset):
    values = {"paper": config.PAPER, "released": config.RELEASED}.get(preset) or config.PRESETS.get(
        dataset, config.PAPER
    )
    one = config.defaults(dataset, preset)
    assert one == config.changed(one, **values)
    assert (one.data.dataset, one.preset) == (dataset, preset)
    assert one.target in ("", *one.data.domains)


def test_section_4_of_the_paper():
    one = config.defaults("pacs", "paper")
    assert one.rates == config.Rates(learning_rate=1e-5, weight_decay=5e-5)
    assert one.optimisation == config.Optimisation(iterations=1000, batch_size=128, val_every=20)
    assert (one.network.model, one.data.image_size) == ("alexnet", 224)


def test_an_unknown_dataset_is_named_with_the_nearest():
    with pytest.raises(errors.UserError, match=r"unknown dataset 'pacz'.*did you mean pacs"):
        config.defaults("pacz")


def test_without_a_dataset_a_pretrained_network_learns_styles():
    one = run.parse(["--strategy=agr_sum"])
    assert one == run.configure(strategy="agr_sum") == config.changed(config.defaults("styles"), strategy="agr_sum")
    assert (one.network.model, one.network.weights, one.target) == ("squeezenet", config.IMAGENET, "line")
    assert len(one.network.frozen_layers) == 8


@pytest.mark.parametrize(
    ("settings", "weights", "frozen"),
    [
        ({"model": "squeezenet"}, config.IMAGENET, 8),
        ({"model": "Squeeze-Net"}, config.IMAGENET, 8),
        ({"model": "efficientnet_lite0"}, config.IMAGENET, 0),
        ({"model": "alexnet"}, config.IMAGENET, 0),
        ({"model": "small_cnn"}, None, 0),
        ({"weights": None}, None, 0),
        ({"weights": "NONE"}, None, 0),
        ({"weights": "ImageNet"}, config.IMAGENET, 8),
        ({"weights": "w.safetensors"}, pathlib.Path("w.safetensors"), 8),
        ({"model": "small_cnn", "weights": "w.safetensors"}, pathlib.Path("w.safetensors"), 0),
        ({"model": "small_cnn", "weights": "w", "frozen_layers": "conv1"}, pathlib.Path("w"), 1),
        ({"frozen_layers": ()}, config.IMAGENET, 0),
        ({"frozen_layers": "conv1"}, config.IMAGENET, 1),
        ({"preset": "paper"}, None, 0),
    ],
)
def test_weights_and_frozen_layers_of_a_preset_are_for_its_own_network(settings, weights, frozen):
    flags = [config.flag(name) if value == () else f"{config.flag(name)}={value}" for name, value in settings.items()]
    one = run.configure(**settings)
    assert one == run.parse(flags)
    assert (one.network.weights, len(one.network.frozen_layers)) == (weights, frozen)


@pytest.mark.parametrize(
    "flags", [[], ["--model=small_cnn"], ["--weights=None"], ["--frozen-layers"], ["--model=alexnet"]]
)
def test_the_command_for_a_table_of_all_strategies_has_the_same_network(flags):
    one = run.parse(flags)
    plan = command_flags.parse(sweep.Sweep, config.flags_of_a_sweep(one), "table1")
    assert plan.network == one.network and plan.data == one.data
