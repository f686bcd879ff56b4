import pytest

from experiments.domainbed import estimate
from tests.experiments.domainbed import test_runs


def test_images_are_counted_as_they_are_trained_and_evaluated(tmp_path):
    given = ["--strategies", "deep_all", "--data-seeds=1", "--trials=1", "--iterations=250", "--rules", "oracle"]
    [one, *_] = test_runs.planned(tmp_path, *given)
    trained = 250 * 64 * 5
    # three validations of a fifth of five domains and of all of the target, which is tested twice at the end
    evaluated = 3 * (5 * 1000 / 5 + 1000) + 2 * 1000
    assert estimate.seconds([one], 6000, 1.0, 0.0) == pytest.approx(trained)
    assert estimate.seconds([one], 6000, 0.0, 1.0) == pytest.approx(evaluated)
    assert estimate.seconds([one, one], 6000, 0.5, 0.25) == pytest.approx(trained + evaluated / 2)
    assert estimate.seconds([], 6000, 1.0, 1.0) == 0


def test_an_image_takes_some_time(tmp_path):
    to_train, to_evaluate = estimate.seconds_per_image(test_runs.planned(tmp_path, "--model=mlp")[0].run)
    assert 0 < to_train < 1 and 0 < to_evaluate < 1
