"""Tables of the studies: accuracy on the target at equal steps and at equal validation, with corrected p-values."""

import statistics
from collections.abc import Callable, Mapping

from dg_jax.analysis import figures, markdown, render, result_figures, significance, table
from experiments.finetune import validations

Accuracies = Mapping[str, Mapping[str, Mapping[int, float]]]  # target -> method -> seed -> accuracy


def selected(histories: validations.Histories) -> dict[str, dict[str, dict[int, float]]]:
    """Returns the accuracies on the target at the first validation with the highest accuracy on validation."""

    def of(history: validations.History) -> float:
        best = max(range(len(history.steps)), key=lambda i: (history.validation[i], -i))
        return history.target[best]

    return _each(histories, of)


def validated(histories: validations.Histories) -> dict[str, dict[str, dict[int, float]]]:
    """Returns the highest accuracies on validation."""
    return _each(histories, lambda history: max(history.validation))


def _each(
    histories: validations.Histories, of: Callable[[validations.History], float]
) -> dict[str, dict[str, dict[int, float]]]:
    return {
        target: {method: {seed: of(one) for seed, one in seeds.items()} for method, seeds in methods.items()}
        for target, methods in histories.items()
    }


def to_markdown(histories: validations.Histories) -> str:
    """Returns a study's table, a row for each target and method, and the tests of all targets together.

    A study of several targets has Table 1 in the paper's form below, with its stars: a test for each target, without
    correction.
    """
    columns = [validated(histories), selected(histories), validations.matched(histories)]
    rows = []
    for target, methods in histories.items():
        for method, seeds in methods.items():
            rows.append([target, method, str(len(seeds)), *(_mean(column[target][method]) for column in columns)])
    head = ["target", "method", "seeds", "validation", "target, selected", "target, equal validation"]
    accuracies = markdown.table(head, rows, num_names=2)
    tests = [_tests(column) for column in columns[1:]]
    names = ["compared with the first", "pairs", "mean difference in points", "p", "p, Holm"]
    titles = ("as selected by validation", "at equal validation")
    parts = (
        f"{title}:\n\n{markdown.table(names, test, num_names=1)}" for title, test in zip(titles, tests, strict=True)
    )
    table_1 = [f"as Table 1:\n\n{render.to_markdown(_table_1(histories)).rstrip()}"] if len(histories) > 1 else []
    return "\n\n".join([accuracies, *parts, *table_1]) + "\n"


def _mean(seeds: Mapping[int, float]) -> str:
    values = list(seeds.values())
    deviation = f" ({render.percent(statistics.stdev(values))})" if len(values) > 1 else ""
    return f"{render.percent(statistics.fmean(values))}{deviation}" if values else markdown.MISSING


def _tests(accuracies: Accuracies) -> list[list[str]]:
    """Compares each method with the first over the pairs of all targets and seeds."""
    baseline, *others = next(iter(accuracies.values()))
    pooled = {method: _pooled(accuracies, method) for method in (baseline, *others)}
    compared = [significance.compare(pooled[method], pooled[baseline]) for method in others]
    corrected = significance.holm([one.p for one in compared])
    return [
        [method, str(len(one.seeds)), render.points(one.mean_difference), f"{one.p:.3f}", f"{p:.3f}"]
        for method, one, p in zip(others, compared, corrected, strict=True)
    ]


def _pooled(accuracies: Accuracies, method: str) -> dict[int, float]:
    """The accuracies of a method on all targets, with a number of its own for each target and seed."""
    return {
        1000 * number + seed: accuracy
        for number, methods in enumerate(accuracies.values())
        for seed, accuracy in methods[method].items()
    }


def box_plots(histories: validations.Histories) -> figures.Figure:
    """Draws Figure 3: a study's accuracies on the targets, as selected by validation."""
    return result_figures.box_plots(_table_1(histories))


def figure_4(multi_domain: validations.Histories, single_domain: validations.Histories) -> figures.Figure:
    """Draws Figure 4: accuracies with batches of one source beside those of the same seeds with batches of all."""
    ours = selected(multi_domain)
    of_one = {
        target: {method.removesuffix("-single_domain"): seeds for method, seeds in methods.items()}
        for target, methods in selected(single_domain).items()
    }
    of_all = {
        target: {
            method: {seed: ours[target][method][seed] for seed in seeds if seed in ours[target][method]}
            for method, seeds in methods.items()
        }
        for target, methods in of_one.items()
    }
    targets = list(of_one)
    return result_figures.bars(of_all, of_one, list(of_one[targets[0]]), targets)


def _table_1(histories: validations.Histories) -> table.Table:
    accuracies = selected(histories)
    targets = list(accuracies)
    return table.summarize(accuracies, list(accuracies[targets[0]]), targets)
