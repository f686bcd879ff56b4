import pytest

from dg_jax import config, errors
from dg_jax.data import registry


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
