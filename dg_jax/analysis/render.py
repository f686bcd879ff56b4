"""Table 1 as Markdown, LaTeX and CSV."""

from dg_jax.analysis import table as tables


def to_markdown(table: tables.Table) -> str:
    """Returns the table in percent, and beneath it what the tests rest on and the effect sizes.

    A cell is the mean and in brackets the standard deviation, in bold if best, with a star if it
    differs from the baseline with p < 0.05.
    """
    raise NotImplementedError


def to_latex(table: tables.Table) -> str:
    """Returns the table as a LaTeX ``tabular`` that needs no package, with what the tests rest on as comments."""
    raise NotImplementedError


def to_csv(table: tables.Table) -> str:
    """Returns a header and one line for each target and method that has a seed.

    Accuracies and differences are fractions, to all digits. What does not exist is left empty.
    """
    raise NotImplementedError
