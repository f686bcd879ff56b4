"""What a run is made of, and the presets that its defaults come from."""

import dataclasses
import functools
import math
import pathlib
from typing import Annotated, Any, Literal, TypeVar

import tyro

from dg_jax import errors, settings, strategies
from dg_jax.data import registry
from dg_jax.reading import names
from dg_jax.reading.paths import expanded

# As in models/registry.py, whose imports take seconds.
MODELS = ("alexnet", "resnet18", "resnet50", "small_cnn")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Train one network on the source domains and test it on a domain that it never saw.

    Defaults are those of the dataset's preset; --preset=paper takes the paper's numbers
    (AlexNet at 224 px, 1000 iterations, 128 images per source, learning rate 1e-5, weight
    decay 5e-5, validation every 20 iterations), --preset=released also does what the authors'
    code does otherwise than the paper says (the README lists it).
    """

    dataset: str = "emoji"
    """Which dataset: emoji, or one you have downloaded: pacs, vlcs, office_home, terra_incognita, domain_net, or
    folder for any tree DOMAIN/CLASS/PICTURE."""
    preset: Literal["dataset", "paper", "released"] = "dataset"
    """Where the other defaults come from."""
    strategy: str = "agr_sum"
    """Which method: deep_all, agr_sum, agr_rand, pcgrad, irm, mldg, mixup or group_dro."""
    combiner: str | None = None
    """Another combiner than the strategy's own: deep_all, agr_sum, agr_rand, pcgrad or group_dro."""
    domains: tuple[str, ...] = ()
    """The domains that take part, the target among them. By default all of a downloaded dataset."""
    target: str = ""
    """The domain held out for testing; all the others are sources. Short names will do, as S for sketch."""
    seed: int = 0
    """Seed of the split, the initial weights, the batches, dropout and the combiner."""
    split_seed: int | None = None
    """Seed of the split alone, which then stays while the run's seed varies. By default the run's seed."""
    iterations: int = 300
    """Training steps."""
    batch_size: int = 64
    """Images of each source in a step."""
    batches: Literal["multi_domain", "single_domain"] = "multi_domain"
    """Whether a step takes a batch of each source, or as many batches of one source, drawn anew at each step."""
    gradients: Literal["stacked", "accumulated", "two_pass"] = "stacked"
    """In which form the domains' gradients reach the combiner: all N at once, or in less memory as their sum, minimum
    and maximum (agr_sum, agr_rand, deep_all) or as their Gramian (pcgrad, group_dro, deep_all)."""
    learning_rate: Annotated[float, tyro.conf.arg(aliases=("--lr",))] = 1e-3
    """Step size of Adam."""
    weight_decay: Annotated[float, tyro.conf.arg(aliases=("--wd",))] = 5e-5
    """Weight λ of the L2 term that is added to the combined gradient."""
    val_every: int = 20
    """Steps between two validations."""
    selection: Literal["validation", "last"] = "validation"
    """Which parameters are tested: those with the highest validation accuracy, or the last."""
    model: str = "small_cnn"
    """Which network: small_cnn, alexnet, resnet18 or resnet50."""
    weights: pathlib.Path | None = None
    """Pretrained weights as .safetensors, made by a convert.py in third_party/ or by experiments.pretrain. All but the
    last layer is taken. {seed} in the path stands for the run's seed."""
    batch_norm: Literal["frozen"] = "frozen"
    """What becomes of batch normalisation in a ResNet: its statistics stay those of --weights."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What the network computes in; parameters, gradients and the optimizer stay float32. bfloat16 is for GPUs."""
    image_size: int = 32
    """Height and width of the images, in pixels."""
    data_dir: pathlib.Path | None = None
    """The folder of a downloaded dataset, with a folder for each domain in it."""
    splits_dir: pathlib.Path | None = None
    """Published split files (DOMAIN_train.txt and so on, or PACS's kfold lists) in place of a split by seed."""
    skip_damaged: bool = False
    """Leave out pictures that cannot be read, and record which."""
    prepared_dir: pathlib.Path | None = None
    """Where prepared datasets are kept. By default TFDS's own directory, ~/tensorflow_datasets."""
    results_dir: pathlib.Path = pathlib.Path("results")
    """Where runs are written, as DATASET/TARGET/STRATEGY/seed-SEED."""
    resume: bool = False
    """Go on from the last checkpoint of this run, also to more iterations than before."""
    overwrite: bool = False
    """Throw an earlier run with this name away and do it again."""
    agr_sum: settings.AgrSum = dataclasses.field(default_factory=settings.AgrSum)
    agr_rand: settings.AgrRand = dataclasses.field(default_factory=settings.AgrRand)
    irm: settings.Irm = dataclasses.field(default_factory=settings.Irm)
    mldg: settings.Mldg = dataclasses.field(default_factory=settings.Mldg)
    mixup: settings.Mixup = dataclasses.field(default_factory=settings.Mixup)
    group_dro: settings.GroupDro = dataclasses.field(default_factory=settings.GroupDro)

    @property
    def sources(self) -> tuple[str, ...]:
        """The domains trained on."""
        return tuple(domain for domain in self.domains if domain != self.target)

    @property
    def methods(self) -> strategies.Strategy:
        """The objective and the combiner."""
        return strategies.get(self.strategy, self.combiner)

    @property
    def seed_of_split(self) -> int:
        """The seed that the split is drawn from."""
        return self.seed if self.split_seed is None else self.split_seed

    @property
    def weights_file(self) -> pathlib.Path | None:
        """The file that ``weights`` names for this run's seed."""
        return self.weights and pathlib.Path(str(self.weights).replace("{seed}", str(self.seed)))

    def method_settings(self, method: str) -> dict:
        """Returns the settings of an objective or combiner, ``{}`` if it has none."""
        values = dataclasses.asdict(getattr(self, method)) if method in settings.RANGES else {}
        if method == "irm" and values["anneal_steps"] is None:
            values["anneal_steps"] = self.iterations // 2
        return values


# Sections 4.1 and 4.2 of the paper.
PAPER = {
    "iterations": 1000,
    "batch_size": 128,
    "learning_rate": 1e-5,
    "weight_decay": 5e-5,
    "val_every": 20,
    "model": "alexnet",
    "image_size": 224,
}

# What the authors' code does otherwise; the README has the list.
RELEASED = PAPER | {
    "split_seed": 0,
    "selection": "last",
    "agr_sum": settings.AgrSum(zeros="conflict"),
    "agr_rand": settings.AgrRand(zeros="conflict"),
}

# Where a dataset has no entry, its preset is the paper's.
PRESETS: dict[str, dict] = {
    "emoji": {
        "iterations": 300,
        "batch_size": 64,
        "learning_rate": 1e-3,
        "weight_decay": 5e-5,
        "val_every": 20,
        "model": "small_cnn",
        "image_size": 32,
    },
}


def defaults(dataset: str = "emoji", preset: str = "dataset") -> RunConfig:
    """Returns the configuration that the command line starts from.

    Raises:
        UserError: there is no such dataset.
    """
    dataset = registry.dataset_name(dataset)
    spec = registry.get(dataset)
    values = {"paper": PAPER, "released": RELEASED}.get(preset) or PRESETS.get(dataset, PAPER)
    return RunConfig(
        dataset=dataset,
        preset=preset,  # type: ignore[arg-type]
        domains=spec.default_domains,
        target=spec.default_target,
        **values,
    )


Config = TypeVar("Config", bound=RunConfig)


def resolve(config: Config) -> Config:
    """Returns the configuration with ``~`` replaced, and with all names as they are written here.

    Raises:
        UserError: the domains are read off ``data_dir``, and it cannot be read, or there is no home folder.
    """
    paths: dict[str, Any] = {}
    for name in ("data_dir", "splits_dir", "prepared_dir", "results_dir", "weights"):
        path = getattr(config, name)
        paths[name] = path and expanded(path, flag(name))
    domains = config.domains or registry.domains(config.dataset, paths["data_dir"])
    full_name = functools.partial(registry.full_name, config.dataset, data_dir=paths["data_dir"])
    return dataclasses.replace(
        config,
        dataset=registry.dataset_name(config.dataset),
        strategy=config.strategy and strategies.full_name(config.strategy),  # a sweep has none
        combiner=config.combiner and strategies.full_combiner_name(config.combiner),
        model=names.find(config.model, MODELS) or config.model,
        domains=tuple(map(full_name, domains)),
        target=full_name(config.target),
        **paths,
    )


def check(config: RunConfig) -> None:
    """Raises a ``UserError`` that names the flag if the configuration cannot be run."""
    known = registry.domains(config.dataset, config.data_dir)
    methods = config.methods
    for domain in config.domains:
        if domain not in known:
            raise names.unknown(f"domain in --domains for --dataset={config.dataset}:", domain, known)
    if len(set(config.domains)) != len(config.domains):
        raise errors.UserError(f"--domains names a domain twice: {' '.join(config.domains)}")
    if not config.target:
        raise errors.UserError(f"--target: name the domain to hold out; there are: {', '.join(known)}")
    if config.target not in known:
        raise names.unknown(f"--target for --dataset={config.dataset}:", config.target, known)
    if config.target not in config.domains:
        raise errors.UserError(
            f"--target={config.target} is not among --domains {' '.join(config.domains)}; "
            "name the target there as well, all other domains are sources"
        )
    if not config.sources:
        raise errors.UserError(
            f"--domains {' '.join(config.domains)} leaves no source beside the target; name one more"
        )
    for name in ("iterations", "batch_size", "val_every", "image_size"):
        if getattr(config, name) < 1:
            raise errors.UserError(f"{flag(name)}={getattr(config, name)}: give a whole number of at least 1")
    if not (config.learning_rate > 0 and math.isfinite(config.learning_rate)):
        raise errors.UserError(f"--learning-rate={config.learning_rate}: give a positive number")
    if not (config.weight_decay >= 0 and math.isfinite(config.weight_decay)):
        raise errors.UserError(f"--weight-decay={config.weight_decay}: give a number of at least 0")
    if not 0 <= config.seed < 2**32:
        raise errors.UserError(f"--seed={config.seed}: give a whole number from 0 to 4294967295")
    if not 0 <= config.seed_of_split < 2**32:
        raise errors.UserError(f"--split-seed={config.split_seed}: give a whole number from 0 to 4294967295")
    if config.split_seed != defaults(config.dataset, config.preset).split_seed and config.splits_dir:
        raise errors.UserError(
            f"--split-seed={config.split_seed} would change nothing, as --splits-dir has the split; leave one out"
        )
    for kind, name in dataclasses.asdict(methods).items():
        forms = strategies.FORMS.get(name, (config.gradients,))
        if config.gradients not in forms:
            raise errors.UserError(
                f"--gradients={config.gradients} does not go with the {kind} {name}; give {' or '.join(forms)}"
            )
    _check_methods(config, {methods.objective, methods.combiner})
    _check_effect(config)
    if registry.get(config.dataset).layout is None:
        for name in ("data_dir", "splits_dir"):
            if getattr(config, name):
                raise errors.UserError(
                    f"{flag(name)} is for downloaded datasets; --dataset={config.dataset} is made from Python packages "
                    "(--prepared-dir says where it is kept)"
                )
    if config.resume and config.overwrite:
        raise errors.UserError("--resume and --overwrite exclude each other; give one of them")


def _check_methods(config: RunConfig, in_use: set[str]) -> None:
    usual = defaults(config.dataset, config.preset)
    for method, ranges in settings.RANGES.items():
        group = getattr(config, method)
        for name, default in dataclasses.asdict(getattr(usual, method)).items():
            value = getattr(group, name)
            setting = f"{flag(method)}.{flag(name).removeprefix('--')}"
            if method not in in_use and value != default:
                raise errors.UserError(
                    f"{setting} is set, but this run uses {' and '.join(sorted(in_use))}; leave it out"
                )
            is_in_range, wanted = ranges.get(name, (lambda value: True, ""))
            if value is not None and not is_in_range(value):
                raise errors.UserError(f"{setting}={value}: give {wanted}")
    if "mldg" in in_use and len(config.sources) < 2:
        raise errors.UserError(f"--strategy=mldg needs two sources, --domains {' '.join(config.domains)} leaves one")
    if "irm" in in_use:
        check_annealing(config)
    if "irm" in in_use and config.batch_size < 2:
        raise errors.UserError(f"--batch-size={config.batch_size}: --strategy=irm needs at least 2, one for each half")


def check_annealing(config: RunConfig) -> None:
    """Raises a ``UserError`` if IRM's penalty would never set in."""
    steps = config.method_settings("irm")["anneal_steps"]
    if steps >= config.iterations:
        raise errors.UserError(
            f"--irm.anneal-steps={steps}: with --iterations={config.iterations} the penalty never sets in; "
            "give fewer, or leave it out for half of them"
        )


def _check_effect(config: RunConfig) -> None:
    """Raises a ``UserError`` if something asked for would change nothing."""
    methods, sources = config.methods, f"--domains {' '.join(config.domains)}"
    asked = f"--combiner={config.combiner}" if config.combiner else f"--strategy={config.strategy}"
    if methods.combiner != "deep_all":
        without = f"{asked} would change nothing, as it combines gradients and there is one:"
        if methods.objective == "pooled":
            raise errors.UserError(
                f"{without} --strategy={config.strategy} takes all images as one domain; "
                f"give --strategy={methods.combiner}"
            )
        if len(config.sources) == 1:
            raise errors.UserError(f"{without} {sources} leaves one source; name more, or give --strategy=deep_all")
        if methods.objective == "mldg" and config.mldg.pairing == "split" and len(config.sources) == 2:
            raise errors.UserError(
                f"{without} --strategy=mldg makes one pair of two sources; name more --domains, leave it out, or give "
                "--mldg.pairing=circle"
            )
    if len(config.sources) == 1:
        if methods.objective == "mixup":
            raise errors.UserError(
                f"--strategy=mixup would change nothing, as it blends images of two sources and {sources} leaves one; "
                "name more, or give --strategy=deep_all"
            )
        if config.batches == "single_domain":
            raise errors.UserError(
                f"--batches=single_domain would change nothing, as {sources} leaves one source; leave it out"
            )
    if config.model.startswith("resnet") and config.batch_norm == "frozen" and config.weights is None:
        raise errors.UserError(
            f"--model={config.model}: its BatchNorm statistics are frozen at those of --weights, and there are none; "
            "give --weights (third_party/torchvision_resnet/convert.py makes them of the published ones)"
        )


def flag(field: str) -> str:
    """Returns the flag of a field: ``batch_size`` -> ``--batch-size``."""
    return "--" + field.replace("_", "-")
