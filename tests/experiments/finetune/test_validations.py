import numpy as np

from experiments.finetune import validations
from experiments.finetune.validations import History


def test_target_accuracies_are_compared_at_what_all_methods_reach():
    fast = History([1, 2, 3], [0.3, 0.6, 0.9], [0.1, 0.2, 0.3])
    slow = History([1, 2, 3], [0.2, 0.3, 0.5], [0.4, 0.5, 0.6])
    falling = History([1, 2, 3], [0.4, 0.2, 0.1], [0.7, 0.8, 0.9])
    histories = {
        "windows": {"deep_all": {0: fast, 1: slow, 2: fast}, "agr_sum": {0: slow, 1: falling}},
        "apple": {"deep_all": {0: fast}, "agr_sum": {}},
    }
    assert validations.matched(histories) == {
        # Seed 0: both reach 0.5, deep_all at its second validation. Seed 1: both reach 0.4.
        "windows": {"deep_all": {0: 0.2, 1: 0.6}, "agr_sum": {0: 0.6, 1: 0.7}},
        "apple": {"deep_all": {}, "agr_sum": {}},
    }


def test_first_and_not_best_or_last():
    rng = np.random.default_rng(0)
    for _ in range(50):
        history = History(range(9), rng.random(9).tolist(), rng.random(9).tolist())
        level = rng.random()
        reached = np.array(history.validation) >= level
        expected = history.target[int(np.argmax(reached))] if reached.any() else None
        assert validations.at_first(history, level) == expected
