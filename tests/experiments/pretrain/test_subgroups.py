"""Which emoji a network may be pretrained on; with the real emoji, at 8 pixels."""

import numpy as np

from dg_jax.data import emoji, prepared
from experiments.pretrain import subgroups as emoji_subgroups

STUDY = ("apple", "google", "twitter", "windows")


def test_just_the_training_emoji_of_the_studys_split_in_subgroups(emoji_dir):
    vendors = ("apple", "facebook")
    seeds = (3, 0)
    of_seeds = emoji_subgroups.load(vendors, STUDY, seeds, image_size=8, prepared_dir=emoji_dir)
    for seed, loaded in zip(seeds, of_seeds, strict=True):
        own = prepared.load(
            "emoji", dict.fromkeys(STUDY, ("train",)), image_size=8, split_seed=seed, prepared_dir=emoji_dir
        )
        study = own.domains["apple"]["train"]
        parts = {vendor: loaded.domains[vendor]["train"] for vendor in vendors}
        # Apple is in the study too: these are the pictures that a run trains on, in the same order.
        np.testing.assert_array_equal(parts["apple"].image, study.image)
        np.testing.assert_array_equal(parts["apple"].label, parts["facebook"].label)
        assert len(loaded.classes) == 94 and parts["apple"].label.dtype == np.int32
        # Each subgroup is in one group, so the label of a run follows from the subgroup.
        groups = {}
        for subgroup, group in zip(parts["facebook"].label.tolist(), study.label.tolist(), strict=True):
            assert groups.setdefault(subgroup, group) == group
        assert len(groups) > 80
        assert loaded.classes[parts["facebook"].label[0]] in set(emoji.read_subgroups().values())


def test_the_split_of_the_vendors_alone_would_be_another(emoji_dir):
    [loaded] = emoji_subgroups.load(("facebook",), STUDY, (0,), image_size=8, prepared_dir=emoji_dir)
    alone = prepared.load("emoji", {"facebook": ("train",)}, image_size=8, split_seed=0, prepared_dir=emoji_dir)
    assert np.any(loaded.domains["facebook"]["train"].image != alone.domains["facebook"]["train"].image)


def test_subgroups_are_read_from_unicodes_file(tmp_path):
    file = tmp_path / "emoji-test.txt"
    file.write_text(
        "# group: Food & Drink\n# subgroup: food-fruit\n1F347 ; fully-qualified # x\n"
        "# subgroup: drink\n2615 ; fully-qualified # y\n2616 ; unqualified # z\n",
        encoding="utf-8",
    )
    assert emoji.read_groups(file, "subgroup") == {"U+1F347": "food-fruit", "U+2615": "drink"}
    assert emoji.read_groups(file) == dict.fromkeys(("U+1F347", "U+2615"), "Food & Drink")
