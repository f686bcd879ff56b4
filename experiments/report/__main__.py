"""Writes one HTML page of all that is in a results directory.

    python -m experiments.report --results-dir=results --output=report.html

It does no runs: the page shows what exists. The page needs no internet and no script, and follows
the light or dark scheme of the reader. Needs the extra ``analysis``.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence

from dg_jax.command_line import packages

if __name__ == "__main__":
    packages.exit_unless_installed("train", "analysis")

from rich import console

from dg_jax import errors
from dg_jax.command_line import flags, program
from dg_jax.reading import paths


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Write one page of all tables, figures and settings of a results directory."""

    results_dir: pathlib.Path = pathlib.Path("results")
    """Where runs and experiments were written."""
    output: pathlib.Path = pathlib.Path("report.html")
    """The page to write."""
    csv: bool = False
    """Also write the numbers of all validations, to a .csv file beside the page."""


def make(arguments: Sequence[str]) -> None:
    """Writes the page and prints where it is.

    Raises:
        UserError: a flag is wrong, there are no results, or the page cannot be written.
    """
    given = flags.cli(Arguments, arguments, prog="python -m experiments.report")
    results_dir = paths.expanded(given.results_dir, "--results-dir")
    output = paths.expanded(given.output, "--output")
    if not results_dir.is_dir():
        raise errors.UserError(f"--results-dir={results_dir}: no such folder; name the one that runs were written to")
    if output.suffix != ".html":
        raise errors.UserError(f"--output={output}: give a name that ends in .html")
    # These imports are slow: --help and a mistyped flag need not wait for them.
    from dg_jax.training import files
    from experiments.report import contents, metrics, parts, stored

    with console.Console(stderr=True).status("reading and drawing"):
        found = stored.find(results_dir)
        sections = contents.sections(found)
        written = {output: parts.page(f"Results in {results_dir}", contents.summary(found), sections)}
        if given.csv:
            written[output.with_suffix(".csv")] = metrics.to_csv(found)
    for path, text in written.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_whole(path, text)
        except OSError as error:
            raise errors.UserError(f"--output={path}: cannot write it: {error.strerror}; give another place") from error
        print(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0, or 2 for bad input."""
    return program.main(make, "the same command writes it", arguments)


if __name__ == "__main__":
    sys.exit(main())
