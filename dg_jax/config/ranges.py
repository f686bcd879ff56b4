"""The ranges of all settings: a check of the value, and what to give instead."""

import re
import sys
from collections.abc import Callable
from typing import Any

Range = tuple[Callable[[Any], bool], str]


def _is_number(value: Any) -> bool:
    """Whether a value, which may come from a program, is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


_POSITIVE: Range = (lambda value: _is_number(value) and value > 0, "a positive number")
_NOT_NEGATIVE: Range = (lambda value: _is_number(value) and value >= 0, "a number of at least 0")
_COUNT: Range = (lambda value: type(value) is int and value >= 1, "a whole number of at least 1")
_LAYERS: Range = (lambda value: type(value) is int and 1 <= value <= 100, "a whole number from 1 to 100")
_FROM_0_TO_1: Range = (lambda value: _is_number(value) and 0 <= value <= 1, "a number from 0 to 1")
_BELOW_1: Range = (lambda value: _is_number(value) and 0 <= value < 1, "a number of at least 0 and below 1")
_WHOLE: Range = (lambda value: type(value) is int and value >= 0, "a whole number of at least 0")
_PREFERENCE: Range = (
    lambda value: type(value) is tuple and all(_is_number(one) and one >= 0 for one in value),
    "a number of at least 0 for each source",
)
_WEIGHTS: Range = (
    lambda value: type(value) is tuple and all(map(_is_number, value)),
    "a number for each source",
)
_SEED: Range = (lambda value: type(value) is int and 0 <= value < 2**32, "a whole number from 0 to 4294967295")

_DEVICES: Range = (
    lambda value: value == "all" or (type(value) is int and value >= 1),
    "a whole number of at least 1, or all",
)

_DROP: Range = (
    lambda value: type(value) is str and re.fullmatch(r"[1-9]\d{0,8}:(\d+\.?\d*|\.\d+)", value) is not None,
    "STEP:FACTOR, such as 300:0.1",
)

RANGES: dict[str, Range] = {
    "learning_rate_drop": _DROP,
    "devices": _DEVICES,
    "num_processes": _COUNT,
    "process_id": _WHOLE,
    **dict.fromkeys(("iterations", "batch_size", "val_every", "image_size"), _COUNT),
    "hidden_layers": _LAYERS,
    "learning_rate": _POSITIVE,
    "weight_decay": _NOT_NEGATIVE,
    **dict.fromkeys(("seed", "split_seed"), _SEED),
}

# By the name of the objective, combiner or average.
OF_METHODS: dict[str, dict[str, Range]] = {
    "agr_sum": {},
    "agr_rand": {},
    "irm": {"penalty_weight": _NOT_NEGATIVE, "anneal_steps": _WHOLE},
    "vrex": {"penalty_weight": _NOT_NEGATIVE, "anneal_steps": _WHOLE},
    **{name: {"penalty_weight": _NOT_NEGATIVE} for name in ("iga", "coral", "mmd")},
    "fishr": {"penalty_weight": _NOT_NEGATIVE, "anneal_steps": _WHOLE, "ema": _BELOW_1},
    "mldg": {"beta": _NOT_NEGATIVE},
    "mixup": {"alpha": _POSITIVE},
    "group_dro": {"step_size": _POSITIVE},
    "grad_vac": {"beta": _FROM_0_TO_1},
    "upgrad": {"preference": _PREFERENCE},
    "dualproj": {"preference": _PREFERENCE},
    "cagrad": {"c": _NOT_NEGATIVE, "preference": _PREFERENCE},
    "aligned_mtl": {"preference": _PREFERENCE},
    "fair_grad": {"alpha": _POSITIVE},
    "krum": {"byzantine": _WHOLE, "selected": _COUNT},
    "weighted": {"weights": _WEIGHTS},
    "and_mask": {"threshold": _FROM_0_TO_1},
    "sand_mask": {"threshold": _BELOW_1, "steepness": _POSITIVE},
    "grad_drop": {"leak": _FROM_0_TO_1},
    "gga_l": {"gamma": _NOT_NEGATIVE},
    "trimmed_mean": {"trim": _WHOLE},
    "ema": {"decay": _BELOW_1},
    "swad": {"n_converge": _COUNT, "n_tolerance": _COUNT, "tolerance_ratio": _NOT_NEGATIVE},
}

# Settings without a default.
REQUIRED = {"krum": "byzantine", "weighted": "weights"}
