"""DomainBed's three rules of selection: which trial and step of a search is tested.

Reference: Gulrajani and Lopez-Paz, `In Search of Lost Domain Generalization <https://arxiv.org/abs/2007.01434>`_,
ICLR 2021, section 3, and ``DomainBed/domainbed/model_selection.py``.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.domainbed.records import Record

RULES = ("training_domain", "leave_one_out", "oracle")


class Trial(NamedTuple):
    """The runs of one trial with the same target, method and split.

    Attributes:
        record: of the run without the target.
        without: other domain -> record of the run that leaves it out as well.
    """

    record: Record
    without: Mapping[str, Record]


class Choice(NamedTuple):
    """What a rule selects.

    Attributes:
        accuracy: on the 80% of the target that are tested.
        selected_by: the value that the rule maximises.
        trial: number of the trial.
        step: after how many steps.
    """

    accuracy: float
    selected_by: float
    trial: int
    step: int


Key = tuple[str, str, int]  # method, target, number of the split
Choices = dict[Key, Choice]


def trials(records: Sequence[Record]) -> dict[Key, list[Trial]]:
    """Groups the records of one dataset; each run without a pair of domains serves both."""
    pairs = {(one.method, one.data_seed, one.trial, frozenset(one.held_out)): one for one in records}
    found: dict[Key, list[Trial]] = {}
    for one in records:
        if len(one.held_out) > 1:
            continue
        (target,) = one.held_out
        others = {
            other: pairs[key]
            for other in one.domains
            if (key := (one.method, one.data_seed, one.trial, frozenset((target, other)))) in pairs and other != target
        }
        found.setdefault((one.method, target, one.data_seed), []).append(Trial(one, others))
    return found


def choose(rule: str, of_key: Sequence[Trial]) -> Choice | None:
    """Returns what a rule selects among the trials of one method, target and split.

    Args:
        rule: ``"training_domain"``: the step with the highest accuracy on the validation parts of the sources;
            ``"leave_one_out"``: the highest mean accuracy on each source where that source was left out as well (a
            trial that lacks one of these runs is passed over); ``"oracle"``: of the last steps the one with the
            highest accuracy on 20% of the target.
        of_key: the trials.

    Returns:
        The choice, the first on ties; ``None`` if there is no trial to choose from.
    """
    found = []
    for trial in of_key:
        record = trial.record
        (target,) = record.held_out
        if rule == "training_domain":
            values, steps = record.validation, range(len(record.steps))
        elif rule == "oracle":
            values, steps = record.target_validation, range(len(record.steps) - 1, len(record.steps))
        else:
            is_whole = len(trial.without) == len(record.domains) - 1
            if not is_whole or any(one.steps != record.steps for one in trial.without.values()):
                continue
            left_out = [one.held_out_accuracy[domain] for domain, one in trial.without.items()]
            values, steps = np.mean(left_out, axis=0).tolist(), range(len(record.steps))
        best = max(steps, key=lambda i: values[i])
        found.append(Choice(record.held_out_accuracy[target][best], values[best], record.trial, record.steps[best]))
    return max(found, key=lambda choice: choice.selected_by, default=None)


def choices(rule: str, records: Sequence[Record]) -> Choices:
    """Returns what a rule selects for each method, target and split; where it can select nothing there is no entry."""
    chosen = {key: choose(rule, of_key) for key, of_key in trials(records).items()}
    return {key: choice for key, choice in chosen.items() if choice is not None}
