"""The studies on emoji in different styles that docs/does-it-work.md registered, and their runs."""

import dataclasses
import itertools
import types
from collections.abc import Mapping
from typing import Literal, NamedTuple

from dg_jax import config, errors, strategies
from experiments import sweep

COLOURED = ("apple", "fluent_flat", "openmoji")
ALL_BUT_LINE = (
    *("apple", "facebook", "google", "joypixels", "samsung", "twitter", "windows"),
    *("openmoji", "fluent_3d", "fluent_flat"),
)


class Study(NamedTuple):
    """Some strategies on some targets. Each target is held out alone; the sources are the same.

    Attributes:
        sources: the domains trained on.
        targets: the domains held out.
        strategies: the names of the strategies.
        seeds: how many, from 0.
        batch_size: images of each source in a step.
        learning_rate: that of Adam.
        iterations: training steps.
        threshold: that of AND-mask.
        frozen: the layers that keep their pretrained weights.
        batches: of all sources in each step, or of one.
        taken: strategies whose runs another study with the same settings has, and that study.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    strategies: tuple[str, ...]
    seeds: int
    batch_size: int
    learning_rate: float = 1e-4
    iterations: int = 240
    threshold: float = 0.8
    frozen: tuple[str, ...] = ()
    batches: Literal["multi_domain", "single_domain"] = "multi_domain"
    taken: Mapping[str, str] = types.MappingProxyType({})


_HARDEST = ("fluent_high_contrast",)
_BOTH = ("deep_all", "agr_sum")
_ONE = Study(COLOURED, _HARDEST, _BOTH, seeds=3, batch_size=32)
_FROZEN = _ONE._replace(frozen=("conv1", *(f"fire{number}" for number in range(2, 9))))
_TEN = Study(ALL_BUT_LINE, _HARDEST, (*_BOTH, "and_mask"), seeds=3, batch_size=9)
_SURGERY = (*_BOTH, "agr_rand", "pcgrad")
_RATES = ("3e-5", "3e-4", "1e-3")

STUDIES = {
    "three": _ONE._replace(targets=("line", *_HARDEST), strategies=_SURGERY, seeds=6),
    "eight": _ONE._replace(
        targets=("line", *_HARDEST), strategies=strategies.PAPER, seeds=6, taken=dict.fromkeys(_SURGERY, "three")
    ),
    "single_domain": _ONE._replace(strategies=_SURGERY, batches="single_domain"),
    "other_targets": _ONE._replace(targets=("twitter", "fluent_3d")),
    "without_openmoji": _ONE._replace(sources=("apple", "fluent_flat", "twitter"), targets=("line",), seeds=6),
    "two": _ONE._replace(sources=COLOURED[:2], strategies=_TEN.strategies, batch_size=48),
    "rate_5e-5": _ONE._replace(learning_rate=5e-5, iterations=1000, seeds=6),
    "rate_1e-5": _ONE._replace(learning_rate=1e-5, iterations=1000),
    "ten": _TEN,
    "five": _TEN._replace(sources=(*COLOURED, "google", "fluent_3d"), batch_size=19, threshold=0.6),
    "ten_mask_0.6": _TEN._replace(strategies=("deep_all", "and_mask"), threshold=0.6, taken={"deep_all": "ten"}),
    "ten_longer": _TEN._replace(strategies=_BOTH, iterations=1000, seeds=2),
    **{f"steps_240_{rate}": _ONE._replace(learning_rate=float(rate)) for rate in _RATES},
    **{
        f"others_{rate}": _ONE._replace(
            strategies=("deep_all", "agr_rand", "pcgrad"),
            learning_rate=float(rate),
            taken={"deep_all": f"steps_240_{rate}"},
        )
        for rate in _RATES[1:]
    },
    "batch_96": _ONE._replace(batch_size=96),
    "frozen": _FROZEN,
    "frozen_line": _FROZEN._replace(targets=("line",)),
    "frozen_longer": _FROZEN._replace(iterations=1000, seeds=6),
    "frozen_1e-3": _FROZEN._replace(learning_rate=1e-3, iterations=300, seeds=12),
    "default_run": _FROZEN._replace(
        sources=("apple", "twitter", "openmoji"), targets=("line",), learning_rate=1e-3, iterations=300, seeds=15
    ),
}


def methods(study: str) -> tuple[str, ...]:
    """Returns the names of a study's methods, see :func:`experiments.sweep.method_of`."""
    end = "-single_domain" if STUDIES[study].batches == "single_domain" else ""
    return tuple(f"{strategy}{end}" for strategy in STUDIES[study].strategies)


def runs(study: str, plan: sweep.Plan) -> list[config.RunConfig]:
    """Returns the runs of a study, below ``RESULTS_DIR/styles/STUDY``; raises a ``UserError`` if one cannot be run."""
    one, found = STUDIES[study], []
    network = plan.network
    usual = config.defaults("styles", model=network.model, from_scratch=network.weights is None)
    registered = (
        "preset",
        "domains",
        "frozen_layers",
        "batches",
        *(field.name for field in dataclasses.fields(config.Optimisation)),
    )
    given, default = config.flat(plan) | {"targets": plan.targets}, config.flat(usual) | {"targets": ()}
    for name in ("targets", *registered):
        if given[name] != default[name]:
            raise errors.UserError(f"{config.flag(name)}: a study has its own; leave it out")
    rates = dataclasses.replace(usual.rates, learning_rate=one.learning_rate)
    for target, strategy in itertools.product(one.targets, one.strategies):
        of_strategy = config.changed(
            plan,
            domains=(*one.sources, target),
            targets=(target,),
            seeds=min(one.seeds, plan.seeds),
            batch_size=one.batch_size,
            iterations=one.iterations,
            results_dir=plan.output.results_dir / "styles" / one.taken.get(strategy, study),
            frozen_layers=one.frozen,
            batches=one.batches,
            and_mask=dataclasses.replace(plan.method.and_mask, threshold=one.threshold)
            if strategy == "and_mask"
            else plan.method.and_mask,
        )
        found += sweep.configs_at(of_strategy, (strategy,), rates)
    return sorted(found, key=lambda run: (one.targets.index(run.target), run.seed))
