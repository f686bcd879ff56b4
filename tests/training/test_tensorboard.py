import collections
import struct

import numpy as np
import pytest

from dg_jax.config import changed
from dg_jax.training import metrics_file, run_folder, tensorboard
from tests.training import worlds

event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")


def written(folder):
    """The scalars in a folder (tag -> step -> value), as TensorBoard would show them, and the texts."""
    scalars, texts = collections.defaultdict(dict), []
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        content = path.read_bytes()
        while content:  # a record: length, checksum, event, checksum
            (length,) = struct.unpack("<Q", content[:8])
            event = event_pb2.Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            if event.HasField("session_log"):  # hides what was written before for this step and later ones
                for steps in scalars.values():
                    for number in [number for number in steps if number >= event.step]:
                        del steps[number]
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    scalars[value.tag][event.step] = value.simple_value
                else:
                    texts.append(value.tensor.string_val[0].decode())
    return dict(scalars), texts


def train(config):
    with tensorboard.of_run(config, run_folder.folder_of(config)) as hooks:
        return worlds.train(config, hooks=hooks)


def test_what_a_validation_notes_is_written_and_a_run_that_goes_on_writes_on(tmp_path):
    config = worlds.tiny_config(tmp_path, log="tensorboard")
    train(config)
    train(changed(config, iterations=8, resume=True))
    folder = run_folder.folder_of(config)
    scalars, texts = written(folder.tensorboard)
    lines = metrics_file.validations(folder.metrics_file)
    assert [line["step"] for line in lines] == [2, 4, 6, 8]
    for line in lines:
        for name in ("val_accuracy", "val_loss", "agreement"):
            assert scalars[name][line["step"]] == pytest.approx(line[name])
        for source, loss in zip(("apple", "google"), line["losses"], strict=True):
            assert scalars[f"losses/{source}"][line["step"]] == pytest.approx(loss)
    assert sorted(scalars["val_loss"]) == [2, 4, 6, 8]
    assert '"learning_rate": 0.001' in texts[0] and np.isfinite(list(scalars["images_per_second"].values())).all()


def test_a_run_that_starts_again_forgets_it(tmp_path):
    config = worlds.tiny_config(tmp_path, log="tensorboard")
    train(config)
    train(changed(config, iterations=2, overwrite=True))
    assert sorted(written(run_folder.folder_of(config).tensorboard)[0]["val_loss"]) == [2]


def test_without_the_flag_there_is_none(tmp_path):
    config = worlds.tiny_config(tmp_path)
    train(config)
    assert not run_folder.folder_of(config).tensorboard.exists()
