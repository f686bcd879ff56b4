"""Table 1 with fine-tuning from pretrained weights, and accuracy on the target over that on validation.

    python -m experiments.pretrain
    python -m experiments.finetune --dataset=emoji --weights='results/pretrain/emoji/small_cnn/seed-{seed}.safetensors'

Every strategy trains at each learning rate. For each target, a strategy's rate is the one with the
highest validation accuracy of the sources, mean over seeds. Table 1 compares the strategies, each
at its own rate. They learn at different speeds, so the accuracy on the target is also noted at each
validation. It is only shown: nothing is chosen by it. Writes finetune.md, table1.tex, table1.csv,
figure3, and over-validation (at the chosen rates, and for each rate) to
RESULTS_DIR/finetune/DATASET, and the runs below it.
"""

import dataclasses
import itertools
import pathlib
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("train", "analysis")

import tyro

from dg_jax import config, errors, run
from dg_jax.command_line import flags, program
from experiments import sweep

if TYPE_CHECKING:
    from dg_jax.analysis import table as tables
    from dg_jax.data import dataset
    from experiments.finetune import validations

Runs = dict[float, list[config.RunConfig]]  # by learning rate
Chosen = dict[str, dict[str, float]]  # target -> method -> learning rate
Value = TypeVar("Value")


@dataclasses.dataclass(frozen=True)
class Finetune(sweep.Comparison):
    """Fine-tune from --weights at each learning rate. Compare the strategies, each at its best rate by validation."""

    strategies: tuple[str, ...] = ("deep_all", "agr_sum", "agr_rand", "pcgrad")
    """Which strategies."""
    learning_rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3)
    """Step sizes of Adam to try."""
    weight_decay: Annotated[float, tyro.conf.arg(aliases=("--wd",))] = config.Rates.weight_decay
    """Weight λ of the L2 term that is added to the combined gradient."""


def load(one: config.RunConfig) -> "dataset.MultiDomainDataset":
    """Opens a run's dataset. The accuracy on the target's test part is noted at each validation."""
    data = run.load(one)
    return dataclasses.replace(data, watched={"target": data.domains[one.target]["test"]})


def folder_of(settings: Finetune) -> pathlib.Path:
    """Returns where runs, tables and figures go."""
    return settings.output.results_dir / "finetune" / settings.data.dataset


def configs(settings: Finetune) -> Runs:
    """Returns the runs of each learning rate; raises a ``UserError`` if one cannot be run."""
    from dg_jax.analysis import grid

    if settings.network.weights is None:
        raise errors.UserError("--weights: name what to fine-tune; python -m experiments.pretrain makes such files")
    if not settings.learning_rates:
        raise errors.UserError("--learning-rates: give at least one number")
    if len(set(settings.learning_rates)) != len(settings.learning_rates):
        raise errors.UserError(f"--learning-rates names one twice: {' '.join(map(str, settings.learning_rates))}")
    return {
        rate: sweep.configs_at(
            config.changed(settings, results_dir=folder_of(settings) / f"learning-rate-{grid.number(rate)}"),
            settings.strategies,
            config.Rates(rate, settings.weight_decay),
            vectorize_seeds=settings.vectorize_seeds,
        )
        for rate in settings.learning_rates
    }


def chosen_rates(validation: "Mapping[float, tables.Accuracies]") -> Chosen:
    """Chooses a learning rate for each target and method; on ties the smaller.

    Args:
        validation: learning rate -> target -> method -> seed -> validation accuracy.

    Raises:
        UserError: a method has no seed with a result at every rate.
    """
    chosen: Chosen = {}
    for target, methods in next(iter(validation.values())).items():
        for method in methods:
            # Some runs may be left out: a rate must not win because it lacks a hard seed.
            shared = set.intersection(*(set(of_rate[target][method]) for of_rate in validation.values()))
            if not shared:
                raise errors.UserError(f"{method} on {target}: no seed has a result at every learning rate")
            means = {
                rate: statistics.fmean(of_rate[target][method][seed] for seed in shared)
                for rate, of_rate in validation.items()
            }
            chosen.setdefault(target, {})[method] = min(means, key=lambda rate: (-means[rate], rate))
    return chosen


def of_chosen(values: Mapping[float, Mapping[str, Mapping[str, Value]]], chosen: Chosen) -> dict[str, dict[str, Value]]:
    """Returns for each target and method the value at its chosen learning rate."""
    return {
        target: {method: values[rate][target][method] for method, rate in methods.items()}
        for target, methods in chosen.items()
    }


def histories(
    runs: Sequence[config.RunConfig], noted: Mapping[config.RunConfig, list[dict]]
) -> "dict[str, dict[str, dict[int, validations.History]]]":
    """Gathers accuracies over training: target -> method -> seed -> history."""
    from experiments.finetune import validations

    found: dict[str, dict[str, dict[int, validations.History]]] = {}
    for one in runs:
        of_method = found.setdefault(one.target, {}).setdefault(sweep.method_of(one), {})
        if one in noted:
            lines = noted[one]
            of_method[one.seed] = validations.History(
                [line["step"] for line in lines],
                [line["val_accuracy"] for line in lines],
                [line["watched"]["target"] for line in lines],
            )
    return found


def rates_table(validation: "Mapping[float, tables.Accuracies]", chosen: Chosen) -> str:
    """Returns the mean validation accuracy at each learning rate in percent, at the chosen rate in bold."""
    from dg_jax.analysis import grid, markdown, render

    def cell(target, method, rate):
        accuracies = validation[rate][target][method].values()
        text = render.percent(statistics.fmean(accuracies)) if accuracies else markdown.MISSING
        return f"**{text}**" if rate == chosen[target][method] else text

    rows = (
        [markdown.escape(target), markdown.escape(method), *(cell(target, method, rate) for rate in validation)]
        for target, methods in chosen.items()
        for method in methods
    )
    return markdown.table(["target", "method", *map(grid.number, validation)], rows, num_names=2)


def make(arguments: Sequence[str]) -> None:
    """Does the runs, prints the tables and writes the files."""
    settings = flags.parse(Finetune, arguments, "python -m experiments.finetune")
    from dg_jax.analysis import grid, render, result_figures, table
    from experiments.finetune import figure, validations

    runs = configs(settings)
    all_runs = [*itertools.chain(*runs.values())]
    results = sweep.results(all_runs, vectorize_seeds=settings.vectorize_seeds, executor=settings.executor, load=load)
    noted = sweep.watched(results)
    whole = {one: results[one] for one in noted}
    validation, test = (
        {rate: sweep.accuracies(of_rate, whole, which) for rate, of_rate in runs.items()}
        for which in ("val_accuracy", "test_accuracy")
    )
    over_training = {rate: histories(of_rate, noted) for rate, of_rate in runs.items()}
    chosen = chosen_rates(validation)
    targets, methods = list(chosen), list(chosen[next(iter(chosen))])
    summary = table.summarize(of_chosen(test, chosen), methods, targets)
    of_best = of_chosen(over_training, chosen)
    matched = table.summarize(validations.matched(of_best), methods, targets)
    markdown = (
        "### Validation accuracy of the sources by learning rate, in percent, mean over seeds; chosen in bold\n\n"
        f"{rates_table(validation, chosen)}\n\n"
        f"### On the target, each strategy at its learning rate\n\n{render.to_markdown(summary)}\n"
        "### On the target when validation is equal: at the first validation that reaches the level that all "
        f"strategies reach with that seed\n\n{render.to_markdown(matched)}"
    )
    files = {"finetune.md": markdown, "table1.tex": render.to_latex(summary), "table1.csv": render.to_csv(summary)}
    pictures = {
        "figure3": result_figures.box_plots(summary),
        "over-validation": figure.over_training(of_best),
        **{
            f"over-validation-{grid.number(rate)}": figure.over_training(of_rate)
            for rate, of_rate in over_training.items()
        },
    }
    sweep.write(folder_of(settings), files, pictures)
    print(markdown)
    results.check_failed()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0, 2 for bad input, 130 or 143 when stopped."""
    return program.main(make, sweep.TO_GO_ON, arguments)


if __name__ == "__main__":
    sys.exit(main())
