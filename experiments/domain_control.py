"""Figure 4: does surgery help because the gradients come from different domains?

    python -m experiments.domain_control --dataset=emoji --seeds=6

Compares the same strategies with a batch of each source in every step, and with as many batches of
one source, which is drawn at each step. Writes figure4.md, figure4.csv, figure4.png and figure4.pdf to
RESULTS_DIR/domain_control/DATASET.
"""

import dataclasses
import itertools
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("train", "analysis")

import tyro

from dg_jax import config
from dg_jax.command_line import flags, program
from experiments import sweep

if TYPE_CHECKING:
    from dg_jax.analysis import table


@dataclasses.dataclass(frozen=True)
class BothBatches(config.Method):
    """The settings of the method, without a flag for the batches: this experiment compares them."""

    batches: Annotated[Literal["multi_domain", "single_domain"], tyro.conf.Suppress] = "multi_domain"


@dataclasses.dataclass(frozen=True)
class DomainControl(sweep.Sweep):
    """Train with multi-domain and with single-domain batches."""

    strategies: tuple[str, ...] = ("agr_sum", "agr_rand", "pcgrad")
    """Which strategies."""
    method: Annotated[BothBatches, config.FLAT] = dataclasses.field(default_factory=BothBatches)


def compare(
    multi_domain: "table.Accuracies",
    single_domain: "table.Accuracies",
    names: Mapping[str, str],
    targets: Sequence[str],
) -> "dict[str, table.Table]":
    """Makes a table for each strategy. The baseline is the same strategy with single-domain batches.

    Args:
        multi_domain: target -> method -> seed -> accuracy.
        single_domain: the same with single-domain batches.
        names: method -> what it is called in ``single_domain``.
        targets: the rows, in order.
    """
    from dg_jax.analysis import table

    both = {target: {**multi_domain[target], **single_domain[target]} for target in targets}
    return {
        method: table.summarize(both, [single, method], targets, baseline=single) for method, single in names.items()
    }


def make(arguments: Sequence[str]) -> None:
    """Does the runs, prints the table and writes the files."""
    settings = flags.parse(DomainControl, arguments, "python -m experiments.domain_control")
    from dg_jax.analysis import render, result_figures

    configs = {
        batches: sweep.configs(config.changed(settings, batches=batches))
        for batches in ("multi_domain", "single_domain")
    }
    results = sweep.results(
        [*itertools.chain(*configs.values())], vectorize_seeds=settings.vectorize_seeds, executor=settings.executor
    )
    kinds = {batches: sweep.accuracies(of_kind, results, "test_accuracy") for batches, of_kind in configs.items()}
    targets = list(kinds["multi_domain"])
    methods = list(kinds["multi_domain"][targets[0]])
    singles = list(kinds["single_domain"][targets[0]])

    names = dict(zip(methods, singles, strict=True))
    markdown, lines = [], []
    for method, summary in compare(kinds["multi_domain"], kinds["single_domain"], names, targets).items():
        markdown.append(f"### {method}\n\n{render.to_markdown(summary)}")
        lines.append(render.to_csv(summary))
    named_alike = {
        target: dict(zip(methods, kinds["single_domain"][target].values(), strict=True)) for target in targets
    }
    header = lines[0].splitlines(keepends=True)[0]
    files = {
        "figure4.md": "\n".join(markdown),
        "figure4.csv": header + "".join(text.removeprefix(header) for text in lines),
    }
    figures = {"figure4": result_figures.bars(kinds["multi_domain"], named_alike, methods, targets)}
    sweep.write(settings.output.results_dir / "domain_control" / settings.data.dataset, files, figures)
    print(files["figure4.md"])
    results.check_failed()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code, see :func:`dg_jax.command_line.program.main`."""
    return program.main(make, sweep.TO_GO_ON, arguments)


if __name__ == "__main__":
    sys.exit(main())
