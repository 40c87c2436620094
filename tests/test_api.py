"""The library's front door."""

import jax
import numpy as np
import pytest

import cnnjax
from cnnjax.data import Dataset, load
from tests.tiny import small_net, write_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny.npz")


@pytest.fixture(scope="module")
def trained(data):
    return cnnjax.fit(small_net(), data, epochs=3, batch_size=16, seed=1, devices=1)


def test_a_saved_net_predicts_the_same(trained, data, tmp_path):
    images = load(Dataset(data)).test.images
    trained.save(tmp_path / "net")
    again = cnnjax.load(tmp_path / "net")
    assert again.net == trained.net
    assert again.history == trained.history
    np.testing.assert_array_equal(again.predict(images), trained.predict(images))
    np.testing.assert_allclose(trained.predict(images).sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(
        trained.predict(images / 255), trained.predict(images, batch_size=7), rtol=1e-4, atol=1e-6
    )


def test_float64_weights_are_saved_and_loaded_whole(data, tmp_path):
    images = load(Dataset(data)).test.images
    exact = cnnjax.fit(small_net(), data, epochs=1, batch_size=16, devices=1, dtype="float64")
    exact.save(tmp_path / "net")
    again = cnnjax.load(tmp_path / "net")
    for a, b in zip(*map(jax.tree.leaves, (exact.variables, again.variables)), strict=True):
        assert a.dtype == b.dtype == np.float64
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(again.predict(images), exact.predict(images))


def test_evaluation_agrees_with_prediction(trained, data):
    split = load(Dataset(data)).val
    found = trained.evaluate(data, "val")
    right = trained.predict(split.images).argmax(-1) == split.labels
    assert found["accuracy"] == right.mean()
    assert found["examples"] == len(split)
    assert found["accuracy"] == trained.history[-1]["val_accuracy"]
    assert found["loss"] == pytest.approx(trained.history[-1]["val_loss"], rel=1e-4)


def test_variables_are_what_init_returns(trained):
    x = np.zeros((1, 8, 8, 1), np.float32)
    assert trained.net.apply(trained.variables, x).shape == (1, 3)


def test_measure_and_summary(capsys):
    costs = cnnjax.measure(cnnjax.get("lenet5"), (32, 32, 1))
    assert (costs["params"], costs["macs"]) == (61_706, 416_520)
    cnnjax.summary("lenet5")
    assert "416,520" in capsys.readouterr().out
    assert "resnet20" in cnnjax.names()
    assert set(cnnjax.__all__) <= set(dir(cnnjax))
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        _ = cnnjax.fitt


def test_a_recipe_by_name_gives_way_to_the_fields_given(data):
    trained = cnnjax.fit(
        small_net(), data, recipe="imagenet", epochs=1, batch_size=16, crop_scale=1.0, devices=1
    )
    (row,) = trained.history
    assert row["learning_rate"] == pytest.approx(0.1 * 16 / 256 * 0.001, rel=1e-3)


def test_mistakes_are_named(trained, data, tmp_path):
    error = cnnjax.UserError
    with pytest.raises(error, match="unknown recipe field 'epoch': did you mean 'epochs'"):
        cnnjax.fit("lenet5", data, epoch=3)
    with pytest.raises(error, match="unknown recipe 'imagnet': did you mean 'imagenet'"):
        cnnjax.fit("lenet5", data, recipe="imagnet")
    with pytest.raises(error, match="summary needs the input shape"):
        cnnjax.summary(small_net())
    with pytest.raises(error, match=r"images of \(9, 9, 1\) given, the net takes \(8, 8, 1\)"):
        trained.predict(np.zeros((2, 9, 9, 1), np.uint8))
    with pytest.raises(error, match="give images as uint8, or as floats in"):
        trained.predict(np.full((2, 8, 8, 1), 3.0))
    with pytest.raises(error, match="split: 'tset' is none of train, val, test"):
        trained.evaluate(data, "tset")
    with pytest.raises(error, match="there is no saved model in"):
        cnnjax.load(tmp_path / "nothing")
    other = write_dataset(tmp_path / "five.npz", classes=5, side=16)
    with pytest.raises(error, match="has 5 classes, the net 3"):
        trained.evaluate(other)


def test_a_damaged_model_is_refused(trained, tmp_path):
    trained.save(tmp_path / "net")
    (tmp_path / "net" / "weights" / "manifest.json").unlink()
    with pytest.raises(cnnjax.UserError, match="is missing or damaged"):
        cnnjax.load(tmp_path / "net")
    (tmp_path / "net" / "model.json").write_text("{}")
    with pytest.raises(cnnjax.UserError, match="can't be read"):
        cnnjax.load(tmp_path / "net")
    trained.save(tmp_path / "net")
    text = (tmp_path / "net" / "model.json").read_text()
    (tmp_path / "net" / "model.json").write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(cnnjax.UserError, match="saved in another format"):
        cnnjax.load(tmp_path / "net")
