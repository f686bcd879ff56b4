import re

import pytest

from dg_jax import config, errors
from dg_jax.config import methods


def wrong(**settings):
    """The message for a run on emoji with some settings changed."""
    with pytest.raises(errors.UserError) as raised:
        config.check(config.changed(config.defaults("emoji"), **settings))
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("dataset", ["emoji"])
def test_defaults_can_be_run(dataset):
    config.check(config.resolve(config.defaults(dataset)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"domains": ("apple", "aple"), "target": "apple"}, "did you mean apple"),
        ({"domains": ("apple", "apple", "google"), "target": "google"}, "--domains names a domain twice"),
        ({"target": ""}, "--target: name the domain to hold out"),
        ({"target": "window"}, "--target .*did you mean windows"),
        ({"domains": ("apple", "google"), "target": "windows"}, "--target=windows is not among --domains"),
        ({"domains": ("apple",), "target": "apple"}, "leaves no source"),
        ({"data_dir": "/a"}, "--data-dir is for downloaded datasets"),
        ({"resume": True, "overwrite": True}, "--resume and --overwrite exclude each other"),
        ({"splits_dir": "/a", "split_seed": 3}, "--split-seed=3 would change nothing"),
        ({"gradients": "two_pass"}, "--gradients=two_pass does not go with the combiner agr_sum"),
        ({"strategy": "irm", "batch_size": 1}, "--batch-size=1: --strategy=irm needs at least 2"),
        ({"selection": "validaton"}, "--selection=validaton: give validation or last"),
        ({"mldg": methods.Mldg(pairing="pairs")}, "--mldg.pairing=pairs: give"),
        ({"model": "resnet18"}, "--model=resnet18: its BatchNorm statistics are frozen"),
        ({"strategy": "deep_all", "combiner": "agr_sum"}, "--combiner=agr_sum would change nothing"),
    ],
)
def test_what_cannot_be_run_is_one_line_that_names_the_flag(settings, message):
    assert re.search(message, wrong(**settings))


def test_a_setting_of_a_method_that_is_not_in_use_is_refused():
    irm = methods.Irm(penalty_weight=3.0)
    assert "--irm.penalty-weight is set, but this run uses agr_sum and erm" in wrong(irm=irm)


def test_names_are_resolved_whatever_the_writing():
    one = config.changed(config.defaults("emoji"), dataset="Emoji", strategy="AgrRand", model="AlexNet", target="Apple")
    resolved = config.resolve(one)
    assert (resolved.data.dataset, resolved.strategy, resolved.network.model) == ("emoji", "agr_rand", "alexnet")
    assert resolved.target == "apple"
