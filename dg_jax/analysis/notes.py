"""Says in plain sentences how many runs and tests a table is based on."""

import collections
from collections.abc import Mapping

from dg_jax.analysis import significance, text
from dg_jax.analysis import table as tables


def of(table: tables.Table) -> list[str]:
    """Returns one line for each thing that a reader of the table must know."""
    seeds = {
        f"{method} on {target}": len(cell.accuracies)
        for target in table.targets
        for method, cell in table.cells[target].items()
    }
    if not seeds:
        return ["No runs yet."]
    lines = [f"Accuracy in percent, mean (standard deviation) over {_count(seeds, 'seed')}; best of each row in bold."]
    if table.comparisons:
        pairs = {f"{method} on {target}": len(c.seeds) for target, method, c in table.comparisons}
        lines += [
            f"A star: p below {significance.LEVEL} against {table.baseline} (paired Wilcoxon signed-rank test, "
            f"two-sided, not corrected for the number of tests). Each test rests on {_count(pairs, 'pair')}."
        ]
    lines += _unpaired(table) + no_star(table)
    left_out = [target for target in table.targets if target not in table.averaged]
    if table.averages and left_out:
        lines += [f"The average leaves out targets that lack a run of some method: {text.listed(left_out)}."]
    elif left_out:
        lines += ["There is no average: no target has a run of every method."]
    return lines


def no_star(table: tables.Table) -> list[str]:
    """Returns a line on the comparisons that could not reach a star, if there are any."""
    hopeless = [
        f"{method} on {target} ({c.differing})"
        for target, method, c in table.comparisons
        if not c.can_reach_significance
    ]
    if not hopeless:
        return []
    where = "" if len(hopeless) == len(table.comparisons) else f" for {text.listed(hopeless)}"
    return [
        f"With fewer than {significance.FEWEST_PAIRS} pairs that differ, p cannot be below {significance.LEVEL}: "
        f"no star could appear{where}."
    ]


def _unpaired(table: tables.Table) -> list[str]:
    """Returns lines on seeds that only one of two methods has, and on methods that share no seed."""
    left_out, untested = [], []
    for target in table.targets:
        baseline = table.baseline_seeds[target]
        for method, cell in table.cells[target].items():
            unshared = sorted(cell.accuracies.keys() ^ baseline)
            if cell.comparison is not None and unshared:
                left_out.append(f"{method} on {target}: {ranges(unshared)}")
            elif cell.comparison is None and method != table.baseline:
                untested.append(f"{method} on {target}")
    lines = []
    if left_out:
        lines.append(f"Seeds that only one of the two methods has are in no pair: {text.listed(left_out)}.")
    if untested:
        lines.append(f"Not tested, having no seed in common with {table.baseline}: {text.listed(untested)}.")
    return lines


def _count(counts: Mapping[str, int], unit: str) -> str:
    """Returns the most common count, and the exceptions in brackets."""
    usual = collections.Counter(counts.values()).most_common(1)[0][0]
    others = [f"{name}: {count}" for name, count in counts.items() if count != usual]
    return f"{usual} {unit}{'s' * (usual != 1)}" + (f" ({text.listed(others)})" if others else "")


def ranges(seeds: list[int]) -> str:
    """Returns ascending numbers as short text: ``0, 3 to 5``."""
    first = [seed for seed in seeds if seed - 1 not in seeds]
    last = [seed for seed in seeds if seed + 1 not in seeds]
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in zip(first, last, strict=True))
