"""The sheet of example images."""

import numpy as np
import pytest
from PIL import Image

from dg_jax.data import dataset, prepared, registry
from experiments.samples import __main__ as samples

DOMAINS = registry.DATASETS["emoji"].domains


def test_a_column_of_emoji_is_one_emoji_in_every_drawing(emoji_dir):
    some = DOMAINS[-3:]
    parts = dict.fromkeys(some, ("train",))
    data = prepared.load("emoji", parts, image_size=72, split_seed=3, prepared_dir=emoji_dir)
    source = registry.builder_of("emoji")(data_dir=emoji_dir, file_format="array_record").as_data_source()
    labels, images = samples.choose(data, 5, 3)
    assert len(labels) == 5
    shown = []
    for domain, of_domain in zip(some, images, strict=True):
        concepts = {}  # a drawing may stand for several emoji
        for record in source[domain]:
            concepts.setdefault(record["image"].tobytes(), set()).add((record["concept"], record["label"]))
        shown.append([concepts[image.tobytes()] for image in of_domain])
    for column, label in enumerate(labels):
        [(_, of_class)] = set.intersection(*(row[column] for row in shown))
        assert of_class == label


def test_classes_and_images_follow_the_seed():
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(9, dtype=np.int32), 20)
    part = dataset.Part(rng.integers(0, 256, (180, 1, 1, 3), dtype=np.uint8), label)
    data = dataset.MultiDomainDataset("folder", tuple("abcdefghi"), {"one": {"train": part}})
    first, again, other = (samples.choose(data, 4, seed) for seed in (0, 0, 1))
    assert first[0] == again[0] and np.array_equal(first[1], again[1])
    assert first[0] != other[0]
    assert samples.choose(data, 20, 0)[0] == list(range(9))


def test_an_image_is_of_its_class_and_domain_and_may_be_missing():
    def part(domain, label):
        label = np.array(label, np.int32)
        return dataset.Part(np.stack([[[[domain, one, 0]]] for one in label]).astype(np.uint8), label)

    domains = {"one": {"train": part(1, [2, 0, 1, 1])}, "two": {"train": part(2, [0, 0, 2])}}
    data = dataset.MultiDomainDataset("folder", ("a", "b", "c"), domains)
    labels, images = samples.choose(data, 3, 0)
    assert labels == [0, 1, 2]
    assert [[None if image is None else image[0, 0, :2].tolist() for image in row] for row in images] == [
        [[1, 0], [1, 1], [1, 2]],
        [[2, 0], None, [2, 2]],
    ]


def test_the_command_writes_a_picture_with_all_domains(emoji_dir, tmp_path, capsys):
    output = tmp_path / "new" / "sheet.png"
    assert samples.main(["--dataset=emoji", f"--prepared-dir={emoji_dir}", "--classes=2", f"--output={output}"]) == 0
    assert capsys.readouterr().out.strip() == str(output)
    with Image.open(output) as image:
        assert image.height > 96 * len(DOMAINS) > 96 * 2 < image.width < image.height


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dataset=mnist"], "unknown dataset 'mnist'; there are: emoji"),
        (["--dataset=pacs"], "--data-dir=FOLDER says where it is unpacked"),
        (["--classes=0"], "--classes=0: give a whole number of at least 1"),
        (["--seed=-1"], "--seed=-1: give a whole number from 0"),
        (["--output=sheet.jpg"], "--output=sheet.jpg: give a name that ends in .png"),
        (["--no-such-flag=3"], "--no-such-flag"),
    ],
)
def test_bad_input_is_one_line(flags, message, capsys):
    assert samples.main(flags) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert printed.out == ""
