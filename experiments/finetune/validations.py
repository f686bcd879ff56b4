"""Accuracy on the target as a function of that on validation: to compare strategies that learn at different speeds."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

Seeds = Mapping[int, "History"]
Histories = Mapping[str, Mapping[str, Seeds]]  # target -> method -> seed


class History(NamedTuple):
    """Accuracies at the T validations of one run, as fractions.

    Attributes:
        steps: after how many steps, ``[T]``.
        validation: on the validation images of the sources, ``[T]``.
        target: on the target's test images, ``[T]``.
    """

    steps: Sequence[int]
    validation: Sequence[float]
    target: Sequence[float]


def at_first(history: History, level: float) -> float | None:
    """Returns the accuracy on the target at the first validation whose accuracy is at least ``level``, if there is one.

    Example:
        >>> history = History([20, 40, 60], [0.3, 0.5, 0.4], [0.2, 0.4, 0.6])
        >>> at_first(history, 0.35), at_first(history, 0.51)
        (0.4, None)
    """
    for validation, target in zip(history.validation, history.target, strict=True):
        if validation >= level:
            return target
    return None


def matched(histories: Histories) -> dict[str, dict[str, dict[int, float]]]:
    """Returns the accuracies on the target when the accuracies on validation are equal.

    For each target and seed the level is the highest accuracy that all methods reach on validation,
    and each method's accuracy on the target is that at the first validation that reaches it. Seeds
    that some method lacks are left out.

    Returns:
        Target -> method -> seed -> accuracy.
    """
    found: dict[str, dict[str, dict[int, float]]] = {}
    for target, methods in histories.items():
        of_target = found.setdefault(target, {method: {} for method in methods})
        for seed in sorted(set.intersection(*(set(seeds) for seeds in methods.values()))):
            level = min(max(seeds[seed].validation) for seeds in methods.values())
            for method, seeds in methods.items():
                accuracy = at_first(seeds[seed], level)
                assert accuracy is not None  # by the choice of the level
                of_target[method][seed] = accuracy
    return found
