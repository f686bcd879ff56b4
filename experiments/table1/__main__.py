"""Table 1 and Figure 3: every strategy with every domain held out.

    python -m experiments.table1 --dataset=emoji --targets windows --strategies deep_all agr_sum --seeds=6

Does the runs that are missing in --results-dir and writes table1.md, table1.tex, table1.csv,
figure3.png and figure3.pdf to RESULTS_DIR/table1/DATASET.
"""

import dataclasses
import sys
from collections.abc import Sequence

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("train", "analysis")

from dg_jax import errors
from dg_jax.command_line import flags, program
from experiments import sweep


@dataclasses.dataclass(frozen=True)
class Table1(sweep.Sweep):
    """Train strategies x targets x seeds, and compare the accuracy on the target to that of Deep-All."""

    compare_paper: bool = False
    """Also put the paper's numbers beside ours (pacs, vlcs and office_home)."""


def make(arguments: Sequence[str]) -> None:
    """Does the runs, prints the table and writes the files."""
    settings = flags.parse(Table1, arguments, "python -m experiments.table1")
    from dg_jax.analysis import render, result_figures, table
    from experiments.table1 import paper

    if settings.compare_paper and settings.data.dataset not in paper.read(paper.FILE):
        raise errors.UserError(
            f"--compare-paper: the paper has no {settings.data.dataset}; it has {', '.join(paper.read(paper.FILE))}"
        )
    configs = sweep.configs(settings)
    results = sweep.results(configs, vectorize_seeds=settings.vectorize_seeds, executor=settings.executor)
    accuracies = sweep.accuracies(configs, results, "test_accuracy")
    targets = list(accuracies)
    summary = table.summarize(accuracies, list(accuracies[targets[0]]), targets)
    markdown = render.to_markdown(summary)
    if settings.compare_paper:
        markdown += "\n" + paper.beside_paper(summary, settings.data.dataset, paper.FILE)
    files = {"table1.md": markdown, "table1.tex": render.to_latex(summary), "table1.csv": render.to_csv(summary)}
    sweep.write(
        settings.output.results_dir / "table1" / settings.data.dataset,
        files,
        {"figure3": result_figures.box_plots(summary)},
    )
    print(markdown)
    results.check_failed()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code, see :func:`dg_jax.command_line.program.main`."""
    return program.main(make, sweep.TO_GO_ON, arguments)


if __name__ == "__main__":
    sys.exit(main())
