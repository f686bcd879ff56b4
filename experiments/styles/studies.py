"""The studies on emoji in different styles that docs/does-it-work.md registered, and their runs."""

import dataclasses
from typing import NamedTuple

from dg_jax import config, errors
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
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    strategies: tuple[str, ...]
    seeds: int
    batch_size: int
    learning_rate: float = 1e-4
    iterations: int = 240


STUDIES = {
    "three": Study(
        COLOURED,
        ("line", "fluent_high_contrast"),
        ("deep_all", "agr_sum", "agr_rand", "pcgrad"),
        seeds=6,
        batch_size=32,
    ),
    "without_openmoji": Study(
        ("apple", "fluent_flat", "twitter"), ("line",), ("deep_all", "agr_sum"), seeds=6, batch_size=32
    ),
    "two": Study(COLOURED[:2], ("fluent_high_contrast",), ("deep_all", "agr_sum", "and_mask"), seeds=3, batch_size=48),
    **{
        f"rate_{rate}": Study(
            COLOURED,
            ("fluent_high_contrast",),
            ("deep_all", "agr_sum"),
            seeds=seeds,
            batch_size=32,
            learning_rate=float(rate),
            iterations=1000,
        )
        for rate, seeds in (("5e-5", 6), ("1e-5", 3))
    },
    "ten": Study(ALL_BUT_LINE, ("fluent_high_contrast",), ("deep_all", "agr_sum", "and_mask"), seeds=3, batch_size=9),
}


def runs(study: str, plan: sweep.Plan) -> list[config.RunConfig]:
    """Returns the runs of a study, below ``RESULTS_DIR/styles/STUDY``; raises a ``UserError`` if one cannot be run."""
    one, found = STUDIES[study], []
    usual = config.defaults("styles")
    registered = ("preset", "domains", *(field.name for field in dataclasses.fields(config.Optimisation)))
    given, default = config.flat(plan) | {"targets": plan.targets}, config.flat(usual) | {"targets": ()}
    for name in ("targets", *registered):
        if given[name] != default[name]:
            raise errors.UserError(f"{config.flag(name)}: a study has its own; leave it out")
    for target in one.targets:
        of_target = config.changed(
            plan,
            domains=(*one.sources, target),
            targets=(target,),
            seeds=min(one.seeds, plan.seeds),
            batch_size=one.batch_size,
            iterations=one.iterations,
            results_dir=plan.output.results_dir / "styles" / study,
            and_mask=dataclasses.replace(plan.method.and_mask, threshold=0.8)
            if "and_mask" in one.strategies
            else plan.method.and_mask,
        )
        rates = dataclasses.replace(usual.rates, learning_rate=one.learning_rate)
        found += sweep.configs_at(of_target, one.strategies, rates)
    return found
