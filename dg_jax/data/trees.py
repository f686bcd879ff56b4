"""TFDS builders of the datasets that the user has downloaded as trees of folders."""

import dataclasses

import tensorflow_datasets as tfds

from dg_jax.data import builder, image_tree, registry


@dataclasses.dataclass(eq=False)
class TreeConfig(tfds.core.BuilderConfig):
    """Which domains of a tree are read, and whether they may lack classes, see :func:`dg_jax.data.image_tree.scan`."""

    domains: tuple[str, ...] = ()
    classes_may_be_missing: bool = False


class TreeBuilder(builder.PictureBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Pictures of 227 × 227 pixels from a tree of folders; the tree is TFDS's manual directory.

    The name of the configuration is made from the contents of the files: other contents are another dataset.
    """

    MANUAL_DOWNLOAD_INSTRUCTIONS = "Unpack the download; --data-dir (manual_dir) is the folder with its domains."
    SIZE = 227

    def contents(self, dl_manager) -> builder.Contents:
        """Scans the manual directory; see :func:`dg_jax.data.image_tree.scan` for its errors."""
        layout = registry.get(self.name).layout
        assert layout is not None
        wanted = self.builder_config if isinstance(self.builder_config, TreeConfig) else TreeConfig(name="all")
        tree = image_tree.scan(
            dl_manager.manual_dir,
            layout,
            self.name,
            wanted.domains,
            classes_may_be_missing=wanted.classes_may_be_missing,
        )
        return builder.Contents(tree.classes, tree.pictures)


class Pacs(TreeBuilder):
    """PACS (Li et al. 2017): art paintings, cartoons, photos and sketches of 7 classes."""


class Vlcs(TreeBuilder):
    """VLCS (Fang et al. 2013): photographs of 5 classes from Caltech101, LabelMe, SUN09 and VOC2007."""


class OfficeHome(TreeBuilder):
    """Office-Home (Venkateswara et al. 2017): art, clipart, product and real-world pictures of 65 classes."""


class TerraIncognita(TreeBuilder):
    """Terra Incognita (Beery et al. 2018): pictures of 10 classes from camera traps in four places."""


class DomainNet(TreeBuilder):
    """DomainNet (Peng et al. 2019): six domains, 345 classes, some 590,000 pictures."""


class Folder(TreeBuilder):
    """Any tree ``domain/class/picture``; domains and classes are the names of the folders."""
