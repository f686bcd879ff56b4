"""Random search: what a trial draws, from DomainBed's ranges for digits.

Reference: Gulrajani and Lopez-Paz, `In Search of Lost Domain Generalization <https://arxiv.org/abs/2007.01434>`_,
ICLR 2021, appendix D, and ``DomainBed/domainbed/hparams_registry.py``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Draw = Callable[[np.random.Generator], Any]


class Setting(NamedTuple):
    """A setting that is searched.

    Attributes:
        default: its value in the first trial.
        draw: draws it for the others.
    """

    default: Any
    draw: Draw


def _power(base: int, low: float, high: float) -> Draw:
    return lambda rng: float(base ** rng.uniform(low, high))


def _whole_power(base: int, low: float, high: float) -> Draw:
    return lambda rng: int(base ** rng.uniform(low, high))


def _uniform(low: float, high: float) -> Draw:
    return lambda rng: float(rng.uniform(low, high))


# Of all methods. DomainBed has no weight decay for digits.
SHARED = {
    "learning_rate": Setting(1e-3, _power(10, -4.5, -2.5)),
    "batch_size": Setting(64, _whole_power(2, 3, 9)),
}

_PENALTY = Setting(1.0, _power(10, -1, 1))
_ANNEALED = {"anneal_steps": Setting(500, _whole_power(10, 0, 4))}

# By objective or combiner. What is not here keeps its value in all trials.
OF_METHODS: dict[str, dict[str, Setting]] = {
    "irm": {"penalty_weight": Setting(1e2, _power(10, -1, 5)), **_ANNEALED},
    "vrex": {"penalty_weight": Setting(1e1, _power(10, -1, 5)), **_ANNEALED},
    "mixup": {"alpha": Setting(0.2, _power(10, -1, 1))},
    "group_dro": {"step_size": Setting(1e-2, _power(10, -3, -1))},
    "mldg": {"beta": _PENALTY},
    "coral": {"penalty_weight": _PENALTY},
    "mmd": {"penalty_weight": _PENALTY},
    "iga": {"penalty_weight": Setting(1e3, _power(10, 1, 5))},
    "fishr": {
        "penalty_weight": Setting(1e3, _power(10, 1, 4)),
        "anneal_steps": Setting(1500, lambda rng: int(rng.uniform(0, 5000))),
        "ema": Setting(0.95, _uniform(0.9, 0.99)),
    },
    "and_mask": {"threshold": Setting(1.0, _uniform(0.5, 1))},
    # DomainBed's default threshold is 1, where the method has no mask left.
    "sand_mask": {"threshold": Setting(0.5, _uniform(0, 1)), "steepness": Setting(10.0, _power(10, -3, 5))},
}


def drawn(settings: dict[str, Setting], trial: int, data_seed: int) -> dict[str, Any]:
    """Returns the settings of a trial: the defaults in trial 0, as in DomainBed.

    Each setting has a random stream of its own, so that all methods of a trial get the same rate and batch size.

    Example:
        >>> drawn(SHARED, 0, 0)
        {'learning_rate': 0.001, 'batch_size': 64}
        >>> drawn(SHARED, 1, 0)["batch_size"] == drawn(SHARED, 1, 0)["batch_size"]
        True
    """
    if trial == 0:
        return {name: setting.default for name, setting in settings.items()}
    return {
        name: setting.draw(np.random.default_rng([data_seed, trial, *name.encode()]))
        for name, setting in settings.items()
    }
