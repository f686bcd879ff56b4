"""Time and memory of the combiners, against plain PyTorch and TorchJD, and against a plain copy.

    python -m experiments.benchmark combiners

The gradients are 3 × 57.0M float32 in the shapes of AlexNet's parameters ("tree") and as one
vector ("flat"). For a tree, PyTorch first flattens and concatenates each domain's gradients, and
then returns views of the result. The paper's own code does the same.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import torch
import tyro

from dg_jax import strategies
from experiments.benchmark import limit, measure, memory, report, stacks
from experiments.benchmark.rival import combiners as rival
from experiments.benchmark.rival import device as rival_device

try:
    from torchjd import aggregation

    TORCHJD = {"pcgrad": aggregation.PCGrad, "deep_all": aggregation.Mean}
except ModuleNotFoundError:
    TORCHJD = {}

NAMES = ("agr_sum", "agr_rand", "pcgrad", "deep_all", "group_dro")
ROWS = 3
STEP_SIZE = 0.01
# Relative to the largest component: sums and inner products add in another order.
TOLERANCE = 1e-5
SIGMA_TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measures the combiners on gradients of AlexNet's size, in turns with plain PyTorch and TorchJD."""

    repetitions: int = 7
    """How many times each is measured."""
    combiners: tuple[str, ...] = NAMES
    """Which combiners."""
    components: int = stacks.ALEXNET
    """Length of a gradient; by default AlexNet's."""
    growth_components: int = 10_000_000
    """Length of a gradient in the table over the number of rows N."""
    growth_rows: tuple[int, ...] = (2, 4, 8, 16)
    """The numbers of rows N in that table."""
    output: pathlib.Path | None = None
    """The JSON file; by default in experiments/benchmark/results/."""


def losses_of(rows: int) -> np.ndarray:
    """Returns the losses that Group DRO is given, float32 ``[rows]``."""
    return np.linspace(1, 2, rows, dtype=np.float32)


def compiled(combiner: str, stacked: chex.ArrayTree) -> tuple[jax.stages.Compiled, tuple[Any, ...]]:
    """Returns our compiled combiner and its arguments. A call returns the gradient and the state."""
    jax.block_until_ready(stacked)  # so that a copy in the background does not count as memory
    rows = len(jax.tree.leaves(stacked)[0])
    link = strategies.make_combiner(combiner, {}, num_rows=rows, step_size=STEP_SIZE)
    params = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), stacked)
    state, losses = link.init(params), jnp.asarray(losses_of(rows))
    update = jax.jit(lambda stacked, state, losses: link.update(stacked, state, losses=losses))
    return update.lower(stacked, state, losses).compile(), (stacked, state, losses)


def ours(combiner: str, stacked: chex.ArrayTree) -> Callable[[], tuple[chex.ArrayTree, NamedTuple]]:
    """Returns a function that calls our compiled combiner and returns the gradient and the state."""
    update, arguments = compiled(combiner, stacked)
    return lambda: jax.block_until_ready(update(*arguments))


def plain(combiner: str, stack: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Returns a function that calls PyTorch's combiner on a stack ``[N, n]``."""
    combine = rival_combiner(combiner, len(stack), stack.device)

    def call():
        gradient = combine(stack)
        rival_device.wait(stack.device)
        return gradient

    return call


def plain_on_tree(combiner: str, domains: list[list[torch.Tensor]]) -> Callable[[], list[torch.Tensor]]:
    """Returns the same for the gradients of N domains, each a list of tensors in the parameters' shapes."""
    first = domains[0]
    combine = rival_combiner(combiner, len(domains), first[0].device)

    def call():
        stack = torch.stack([torch.cat([leaf.flatten() for leaf in domain]) for domain in domains])
        pieces = combine(stack).split([leaf.numel() for leaf in first])
        gradient = [piece.view_as(leaf) for piece, leaf in zip(pieces, first, strict=True)]
        rival_device.wait(first[0].device)
        return gradient

    return call


def rival_combiner(combiner: str, rows: int, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """Returns PyTorch's combiner as a function of the stack alone."""
    if combiner != "group_dro":
        return getattr(rival, combiner)
    weights = torch.full((rows,), 1 / rows, device=device)
    losses = torch.from_numpy(losses_of(rows)).to(device)
    return lambda stack: rival.group_dro(stack, weights.to(stack.dtype), losses.to(stack.dtype), STEP_SIZE)


def torchjd(combiner: str, stack: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Returns a function that calls TorchJD's aggregator on a stack ``[N, n]``."""
    aggregate = TORCHJD[combiner]()

    def call():
        gradient = aggregate(stack)
        rival_device.wait(stack.device)
        return gradient

    return call


def contenders(combiner: str, form: stacks.Form, stack: np.ndarray) -> dict[str, Callable[[], object]]:
    """Returns by name the contenders that can combine ``stack [N, n]`` in this form, each with a copy on its device."""
    device = rival_device.set_up()
    if form == "flat":
        on_device = rival_device.tensor(stack, device)
        calls: dict[str, Callable[[], object]] = {
            "ours": ours(combiner, jnp.asarray(stack)),
            "plain": plain(combiner, on_device),
        }
        if combiner in TORCHJD:
            calls["torchjd"] = torchjd(combiner, on_device)
        return calls
    leaves = stacks.tree(stack)
    domains = [[rival_device.tensor(leaf[row], device) for leaf in leaves.values()] for row in range(len(stack))]
    return {"ours": ours(combiner, jax.tree.map(jnp.asarray, leaves)), "plain": plain_on_tree(combiner, domains)}


def alone(who: str, combiner: str, form: stacks.Form, rows: int, components: int) -> Callable[[], object]:
    """Returns one contender, for :mod:`experiments.benchmark.memory`."""
    return contenders(combiner, form, stacks.flat(rows, components))[who]


def check(combiner: str, stack: np.ndarray) -> None:
    """Checks that all contenders give the same result on the same stack.

    PCGrad is compared on two rows: there the random order does not matter. Agr-Rand's noise
    differs, so only σ and the components that agree are compared. The rivals compute in float64 here:
    PyTorch's float32 inner products of this length are not exact enough; ours are.
    """
    if combiner == "pcgrad":
        stack = stack[:2]
    stack = stack.astype(np.float64)  # JAX converts it back to float32
    with rival_device.exact_arithmetic():
        for form in ("flat", "tree"):
            calls = contenders(combiner, form, stack)
            update: Any = calls.pop("ours")()
            gradient, state = update
            result = stacks.joined(gradient) if form == "tree" else np.asarray(gradient)
            for who, call in calls.items():
                theirs = call()
                expected = np.concatenate([piece.flatten().cpu().numpy() for piece in _as_list(theirs)])
                compared = np.ones(result.shape, bool)
                if combiner == "agr_rand":
                    on_device = rival_device.tensor(stack, rival_device.set_up())
                    agreeing = rival.agree(on_device)
                    sigma = rival.sigma(on_device.sum(0), agreeing).item()
                    measure.check_same(f"sigma of {combiner}", float(state.sigma), sigma, SIGMA_TOLERANCE)
                    compared = agreeing.cpu().numpy()
                difference = np.abs(result - expected)[compared].max() / np.abs(expected).max()
                measure.check_difference(f"{combiner}, {form}, {who}", difference, TOLERANCE)


def main(flags: Sequence[str]) -> None:
    """Measures and writes the report.

    Raises:
        UserError: a flag is wrong, two contenders do not give the same numbers, or a file cannot be written.
    """
    arguments = tyro.cli(Arguments, args=list(flags), prog="python -m experiments.benchmark combiners")
    measure.check_repetitions(arguments.repetitions)
    measure.known_names("--combiners", arguments.combiners, NAMES)
    stack = stacks.flat(ROWS, arguments.components)
    for combiner in arguments.combiners:
        check(combiner, stack)
    tables = [*_at_full_size(arguments, stack), _growth(arguments)]
    report.write("combiners", ["combiners", *flags], tables, arguments.output)


def _at_full_size(arguments: Arguments, stack: np.ndarray) -> list[report.Table]:
    captions = (
        f"Combiners on {ROWS} x {stack.shape[1]:,} {rival_device.arithmetic()}. Ours checked against the rivals in "
        f"float64: the same to {TOLERANCE:g} of the largest component (Agr-Rand: where the signs agree, and sigma to "
        f"{SIGMA_TOLERANCE:g}; PCGrad: on two rows). Median (fastest to slowest). GB/s: N rows read (PCGrad: twice) "
        "and one written, divided by our time. Limit: the time of what must be read and written, at the rate of a "
        "plain copy into new memory in the same turns. Memory: peak above the gradients, each alone in a process."
    )
    table = report.Table(
        "combiners",
        captions,
        [
            report.Column("combiner", "combiner"),
            report.Column("form", "form"),
            report.Column("ours", "ours, ms", 1e3),
            report.Column("plain", "PyTorch, ms", 1e3),
            report.Column("plain / ours", "PyTorch / ours"),
            report.Column("torchjd", "TorchJD, ms", 1e3),
            report.Column("torchjd / ours", "TorchJD / ours"),
            report.Column("bandwidth", "ours, GB/s", 1e-9),
            report.Column("ours / limit", "ours / limit"),
            *_memory_columns("torchjd"),
        ],
    )
    copies: list[dict] = []
    copy_calls = rival_device.copies(stack)
    for combiner in arguments.combiners:
        calls = {
            (form, who): call
            for form in ("tree", "flat")
            for who, call in contenders(combiner, form, stack).items()  # type: ignore[arg-type]
        }
        seconds = measure.alternate(calls | copy_calls, arguments.repetitions, what=combiner)
        copied = {name: measure.rate(2 * stack.nbytes, seconds[name]) for name in copy_calls}
        copies.append(copied)
        for form in ("tree", "flat"):
            row: dict = _compared({who: seconds[form_, who] for form_, who in calls if form_ == form})
            passes = 2 if combiner == "pcgrad" else 1
            bandwidth = measure.rate((passes * ROWS + 1) * stack.nbytes / ROWS, row["ours"])
            at_least = limit.at_least(combiner, ROWS, seconds["new", "JAX"])
            row |= {"bandwidth": bandwidth, "ours / limit": measure.ratio(row["ours"], at_least)}
            row |= _memory(row, combiner, form, ROWS, stack.shape[1])
            table.rows.append({"combiner": combiner, "form": form} | row)
        calls.clear()  # frees these gradients before the next combiner copies them
    copy_table = report.Table(
        "copy",
        f"A plain copy of the same {stack.nbytes / 1e6:,.0f} MB, in the same turns; GB/s of bytes read and written.",
        [report.Column("copy", "copy"), report.Column("bandwidth", "GB/s", 1e-9)],
        [
            {"copy": what, "bandwidth": measure.Spread(tuple(v for copied in copies for v in copied[key].values))}
            for key, what in (
                (("in place", "PyTorch"), "into memory in use (`copy_` of PyTorch)"),
                (("new", "JAX"), "into new memory (`jnp.copy`)"),
            )
        ],
    )
    return [table, copy_table]


def _growth(arguments: Arguments) -> report.Table:
    components = arguments.growth_components
    table = report.Table(
        "growth",
        f"The same on N x {components:,}, flat. Median (fastest to slowest).",
        [
            report.Column("combiner", "combiner"),
            report.Column("N", "N"),
            report.Column("ours", "ours, ms", 1e3),
            report.Column("plain", "PyTorch, ms", 1e3),
            report.Column("plain / ours", "PyTorch / ours"),
            *_memory_columns(),
        ],
    )
    for combiner in arguments.combiners:
        for rows in arguments.growth_rows:
            calls = contenders(combiner, "flat", stacks.flat(rows, components))
            row: dict = _compared(measure.alternate(calls, arguments.repetitions, what=f"{combiner}, N = {rows}"))
            row |= _memory(row, combiner, "flat", rows, components)
            table.rows.append({"combiner": combiner, "N": rows} | row)
    return table


def _as_list(gradient) -> list[torch.Tensor]:
    return gradient if isinstance(gradient, list) else [gradient]


def _compared(seconds: dict[str, measure.Spread]) -> dict[str, measure.Spread]:
    others = [who for who in seconds if who != "ours"]
    return seconds | {f"{who} / ours": measure.ratio(seconds[who], seconds["ours"]) for who in others}


def _memory(row: dict, combiner: str, form: str, rows: int, components: int) -> dict[str, int]:
    arguments = {"combiner": combiner, "form": form, "rows": rows, "components": components}
    return {
        f"{who}, bytes": memory.of_child(f"{__name__}:alone", who=who, **arguments)
        for who in ("ours", "plain", "torchjd")
        if who in row
    }


def _memory_columns(*more: str) -> list[report.Column]:
    names = {"ours": "ours", "plain": "PyTorch", "torchjd": "TorchJD"}
    return [report.Column(f"{who}, bytes", f"{names[who]}, MB", 1e-6) for who in ("ours", "plain", *more)]
