"""``result.json``: writes and reads the result of a finished run, and says whether a run is finished."""

import functools
import math
import operator
import os
import pathlib
import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax
import jax
import jaxlib
import numpy as np
import optax

import dg_jax
from dg_jax import errors
from dg_jax.config import RunConfig, changed
from dg_jax.data import dataset
from dg_jax.training import advance, compared, evaluate, selection
from dg_jax.training.files import DamagedError, is_count, is_fraction, is_square, read_object
from dg_jax.training.run_folder import RunFolder, folder_of


def make(
    config: RunConfig,
    data: dataset.MultiDomainDataset,
    selected: selection.Selected,
    tested: evaluate.Evaluation,
    tested_last: evaluate.Evaluation,
    seconds: float,
    take_steps: advance.Advance,
) -> dict:
    """Returns what ``result.json`` holds.

    Args:
        config: the run's configuration.
        data: its dataset, with the list of damaged files left out and the identity of the inputs.
        selected: the selected parameters.
        tested: their evaluation on the target.
        tested_last: the evaluation of the last parameters on the target.
        seconds: how long the run took.
        take_steps: the object that took its steps.

    Raises:
        RunError: a loss on the target is not finite, so that its accuracy says nothing.
    """
    for which, evaluation in (("selected", tested), ("last", tested_last)):
        if not math.isfinite(evaluation.loss):
            raise errors.RunError(
                f"the test loss of {config.target} with the {which} parameters is {evaluation.loss}: "
                "logits beyond what float32 holds; no result is written; try a smaller --learning-rate"
            )
    iterations = config.optimisation.iterations
    return {
        "dataset": config.data.dataset,
        "target": config.target,
        "sources": list(config.sources),
        "strategy": config.strategy,
        "combiner": config.methods.combiner,
        "batches": config.method.batches,
        "model": config.network.model,
        "seed": config.seed,
        "iterations": iterations,
        **(
            {"ended_after_step": take_steps.done} if take_steps.done < config.optimisation.iterations else {}
        ),  # by a hook
        "classes": list(data.classes),
        "test_images": int(np.sum(tested.confusion)),
        "selected_step": selected.step,
        "val_accuracy": selected.accuracy,
        "test_accuracy": tested.accuracy,
        "test_accuracy_last": tested_last.accuracy,
        "test_accuracy_by_class": _by_class(data.classes, tested.confusion),
        "confusion": tested.confusion.tolist(),  # images by true class (rows) and predicted class (columns)
        "test_loss": tested.loss,
        "wall_seconds": seconds,
        "images_per_second": take_steps.images_per_second(),
        "left_out": list(data.left_out),
        "weights_sha256": data.inputs.get("weights"),
        "versions": {
            "python": platform.python_version(),
            "jax": jax.__version__,
            "jaxlib": jaxlib.__version__,
            "numpy": np.__version__,
            "flax": flax.__version__,
            "optax": optax.__version__,
            "dg_jax": dg_jax.__version__,
        },
        "device": jax.devices()[0].device_kind,
        "platform": jax.devices()[0].platform,
        "host": {"system": platform.platform(), "processor": _processor(), "cores": os.cpu_count()},
    }


def _by_class(classes: Sequence[str], confusion: np.ndarray) -> dict[str, float | None]:
    """Returns the accuracy of each class; ``None`` for a class without images."""
    # A network may have more outputs than there are classes.
    rows = zip(classes, np.diagonal(confusion).tolist(), np.sum(confusion, axis=1).tolist(), strict=False)
    return {name: right / total if total else None for name, right, total in rows}


def _processor() -> str:
    """Returns the name of the CPU; in a run on a CPU the order of XLA's sums depends on it."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def finished(config: RunConfig, folder: RunFolder, identify: Callable[[], Mapping[str, str]]) -> dict | None:
    """Returns the result of a run that is already finished, otherwise ``None``.

    With ``overwrite`` every run is done again. With ``resume`` a run that ended before ``iterations`` goes on.

    Args:
        config: the run.
        folder: where it is written.
        identify: returns what :func:`dg_jax.run.identify` does; called only if there is a run to compare with.

    Raises:
        DamagedError: its files cannot be read.
        UserError: the finished run, or the one to resume, had other settings or inputs.
    """
    if config.output.overwrite:
        return None
    if not folder.result_file.exists():
        if config.resume and folder.checkpoints.exists():
            compared.check(config, identify(), folder.config_file)
        return None
    result = read_object(folder.result_file, _of_a_result(config))
    compared.check(config, identify(), folder.config_file)
    done = (
        f"--iterations={config.optimisation.iterations}: the finished run in {folder.path} has {result['iterations']}"
    )
    if result["iterations"] > config.optimisation.iterations:
        raise errors.UserError(f"{done}; give the same, another --results-dir, or --overwrite to start again")
    if result["iterations"] == config.optimisation.iterations:
        return result
    if config.resume:
        return None
    raise errors.UserError(f"{done}; --resume goes on to more, --overwrite starts again")


def read(folder: RunFolder) -> tuple[dict, dict]:
    """Returns configuration and result of a finished run as they are on disk, whichever version wrote them.

    Raises:
        DamagedError: its files cannot be read, or are those of another run.
        UserError: it does not say which inputs it used.
    """
    stored, result = read_object(folder.config_file, compared.NEEDED), read_object(folder.result_file, _OF_A_RESULT)
    compared.check_recorded(stored, folder.path)
    name = {key: stored[key] for key in ("dataset", "target", "strategy", "combiner", "batches", "seed")}
    its_own = folder_of(changed(RunConfig(), **name, results_dir=folder.path.parents[3]))
    if its_own != folder or any(result[key] != stored[key] for key in ("dataset", "target", "strategy")):
        raise DamagedError(f"{folder.path} holds files of another run ({its_own.path}); remove it")
    return stored, result


_FIGURES_OF_A_RESULT: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("iterations", "selected_step"), is_count),
    **dict.fromkeys(("val_accuracy", "test_accuracy", "test_accuracy_last"), is_fraction),
    "classes": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    "confusion": is_square,
}
# The fields of a result that are read if its configuration is not known.
_OF_A_RESULT = _FIGURES_OF_A_RESULT | {
    **dict.fromkeys(("dataset", "target", "strategy", "combiner"), lambda value: isinstance(value, str)),
    "sources": lambda value: isinstance(value, list),
}


def _of_a_result(config: RunConfig) -> dict[str, Callable[[Any], bool]]:
    """Returns the fields of a run's result that are read, with a check of each."""
    named = {
        "dataset": config.data.dataset,
        "target": config.target,
        "sources": list(config.sources),
        "strategy": config.strategy,
        "combiner": config.methods.combiner,
        "seed": config.seed,
    }
    return {
        **{name: functools.partial(operator.eq, value) for name, value in named.items()},
        **_FIGURES_OF_A_RESULT,
    }
