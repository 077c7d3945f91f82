"""The convolutional estimator: what it takes for images, how it scales them, and what it says of others."""

from __future__ import annotations

import numpy as np
import pytest
from image_cases import COLOUR, FLAT, GREY, quick
from sklearn.exceptions import NotFittedError

import aefast
from aefast.data.scaling import Scaling

# Input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("X", "changes"),
    [
        (FLAT, {}),
        (FLAT, {"image_shape": (1, 8, 8)}),
        (FLAT, {"image_shape": (8, 8), "layout": "channels_last"}),
        (GREY[:, 0], {}),
        (GREY.reshape(-1, 8, 8, 1), {"layout": "channels_last"}),
        (GREY.reshape(-1, 8, 8, 1), {"image_shape": (1, 8, 8)}),
        (np.repeat(GREY, 2, axis=0)[::2], {}),
        (np.pad(GREY, ((0, 0), (0, 0), (1, 1), (1, 1)))[..., 1:-1, 1:-1], {}),
        (np.asfortranarray(GREY), {}),
        (GREY.tolist(), {"scaling": "pixel"}),
        (GREY.astype(np.float32), {"scaling": "pixel"}),
        (GREY.astype(np.int64), {"scaling": "pixel"}),
        (GREY.astype(">f8"), {"scaling": "pixel"}),
    ],
    ids=lambda value: None if isinstance(value, dict) else "x".join(map(str, np.shape(value)[1:])),
)
def test_the_same_images_in_any_form_are_the_same_model(X, changes):
    reference = quick().fit(GREY)
    model = quick(**changes).fit(X)
    np.testing.assert_allclose(model.transform(X), reference.transform(GREY), rtol=1e-5, atol=1e-6)
    assert model.image_shape_ == (1, 8, 8) and model.n_features_in_ == 64
    for result in (model.reconstruct(X), model.inverse_transform(model.transform(X)), model.error_map(X)):
        assert result.shape == np.shape(X) and result.dtype == np.float32
    # A fitted model takes any of the forms, and answers in that of fit.
    assert model.reconstruct(FLAT).shape == np.shape(X)
    np.testing.assert_array_equal(model.transform(GREY), model.transform(X))


def test_both_layouts_of_colour_images_are_the_same_model():
    last = np.ascontiguousarray(COLOUR.transpose(0, 2, 3, 1))
    first_model, last_model = quick().fit(COLOUR), quick(layout="channels_last").fit(last)
    assert first_model.image_shape_ == last_model.image_shape_ == (3, 8, 5)
    assert first_model.loss_curve_ == pytest.approx(last_model.loss_curve_, rel=1e-6)
    R = first_model.reconstruct(COLOUR)
    assert R.shape == COLOUR.shape
    np.testing.assert_allclose(R, last_model.reconstruct(last).transpose(0, 3, 1, 2), rtol=1e-4, atol=1e-3)
    # A flat row is in the layout's order.
    np.testing.assert_array_equal(last_model.transform(last.reshape(300, -1)), last_model.transform(last))


def test_images_are_read_where_they_lie(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", COLOUR)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    seen = []
    real = aefast.Trainer.epoch_in_pieces
    monkeypatch.setattr(
        aefast.Trainer,
        "epoch_in_pieces",
        lambda self, rows, *rest, **named: seen.append(rows) or real(self, rows, *rest, **named),
    )
    for X in (COLOUR, COLOUR[::2], mapped):
        quick(epochs=1).fit(X)
        assert np.shares_memory(seen[-1], X)
    quick(epochs=1).fit(COLOUR.transpose(0, 1, 3, 2))  # in no one piece, but in memory: copied
    assert not np.shares_memory(seen[-1], COLOUR)
    with pytest.raises(ValueError, match=r"memory-mapped file.*copied whole.*layout="):
        quick(epochs=1).fit(mapped.transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (GREY, "pixel"),
        (GREY > 99, None),
        ((GREY > 99).astype(np.uint8), None),
        (GREY / 255, None),
        (GREY / 16.0, "global"),
        (GREY.astype(np.int32), "global"),
        (GREY / 255 - 0.5, "global"),
    ],
)
def test_auto_scaling_suits_the_pixels(X, expected):
    model = quick().fit(X)
    scaling = model.scaling_
    if expected == "global":
        scaled = scaling.forward(X.reshape(300, -1))
        assert abs(scaled.mean()) < 1e-9 and abs(scaled.std() - 1) < 1e-9
        assert np.ptp(scaling.shift) == np.ptp(scaling.scale) == 0
    else:
        assert scaling.shift is None and scaling.factor == {"pixel": 1 / 255, None: 1.0}[expected]
    assert quick(loss="bce").fit(GREY).scaling_.factor == 1 / 255


def test_global_scaling_weighs_rows_like_copies_of_them():
    weight = np.arange(300) % 3
    weighted = Scaling.from_data("global", FLAT, weight)
    copied = Scaling.from_data("global", np.repeat(FLAT, weight, axis=0))
    np.testing.assert_allclose(weighted.shift, copied.shift, rtol=1e-12)
    np.testing.assert_allclose(weighted.scale, copied.scale, rtol=1e-12)
    alone = Scaling.from_data("global", np.full((9, 4), 7.3))
    assert alone.shift == pytest.approx(7.3, rel=1e-14) and (alone.scale == 1).all()
    with pytest.raises(ValueError, match="too far to be scaled"):
        Scaling.from_data("global", np.array([[0.0, 1e200]]))


WRONG = [
    (FLAT[:, :63], {}, r"rows of 63 values are no square.*image_shape=\(C, H, W\), or 'signal'"),
    (FLAT, {"image_shape": (1, 8, 9)}, r"holds 72 values, but X has 64 a row"),
    (COLOUR, {"image_shape": (3, 5, 8)}, r"images of shape \(3, 5, 8\).*but they have \(3, 8, 5\)"),
    (COLOUR, {"layout": "channels_last"}, r"8? ?.*looks like 'channels_first'"),
    (COLOUR.transpose(0, 2, 3, 1), {}, r"8 channels by layout='channels_first'.*looks like 'channels_last'"),
    (GREY, {"image_shape": "signal"}, r"'signal' is for rows"),
    (GREY[None], {}, "dim 5"),
    (np.where(GREY > 200, np.nan, GREY), {}, "contains NaN"),
    (np.ma.masked_greater(GREY, 200), {}, "masked entries"),
    (GREY[:0], {}, "0 sample"),
    (GREY, {"variational": True, "n_components": None}, "a variational code is a vector"),
    (GREY, {"hidden_layer_sizes": (9,), "n_components": None}, "choose one of them"),
    (GREY, {"variational": True, "reduction": "mean"}, "reduction must be 'sum'"),
    (GREY, {"kernel_size": 9, "padding": "valid"}, "doesn't fit into"),
    (GREY, {"decoder": "transposed"}, "Did you mean 'transpose'"),
    (GREY, {"pooling": "mean"}, "unknown pooling"),
    (GREY, {"layout": "channels"}, "unknown layout"),
    (GREY, {"image_shape": "squares"}, "unknown image_shape"),
    (GREY, {"image_shape": (8,)}, r"image_shape must be 'auto', 'signal', \(C, H, W\) or \(H, W\)"),
    (GREY, {"channels": ()}, "channels must be a tuple"),
    (GREY, {"channels": (4, 0)}, "each of channels"),
    (GREY, {"stride": (2, 2, 2)}, r"stride must be an integer or a pair of them, \(y, x\)"),
    (GREY, {"kernel_size": 0}, "kernel_size"),
    (GREY, {"padding": "full"}, "unknown padding"),
    (GREY, {"padding": (1, 2, 3)}, "padding must be 'same'"),
    (GREY, {"hidden_layer_sizes": "auto"}, "hidden_layer_sizes must be a tuple"),
    (GREY, {"variational": 1}, "variational must be True or False"),
]


@pytest.mark.parametrize(("X", "changes", "message"), WRONG, ids=[message[:30] for *_, message in WRONG])
def test_what_cannot_be_is_named(X, changes, message):
    model = quick(**changes)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(X)
    assert not hasattr(model, "trainer_") and not hasattr(model, "n_features_in_")


def test_what_a_fitted_model_refuses():
    model = quick().fit(COLOUR)
    for X, message in (
        (COLOUR.transpose(0, 2, 3, 1), r"images of shape \(3, 8, 5\).*but they have \(8, 5, 3\)"),
        (COLOUR[..., :4], r"\(3, 8, 4\)"),
        (FLAT, "64 features"),
    ):
        for method in (model.transform, model.reconstruct, model.score_samples, model.partial_fit):
            with pytest.raises(ValueError, match=message):
                method(X)
    with pytest.raises(ValueError, match=r"X_val must hold images of X's shape \(3, 8, 5\)"):
        quick().fit(COLOUR, X_val=COLOUR.transpose(0, 2, 3, 1))
    with pytest.raises(ValueError, match="Z has 6 columns"):
        model.inverse_transform(np.zeros((2, 6)))
    for method in (model.sample, lambda: model.elbo(COLOUR), lambda: model.log_likelihood(COLOUR)):
        with pytest.raises(ValueError, match="variational=True"):
            method()
    from scipy import sparse

    with pytest.raises(TypeError, match=r"[Ss]parse"):
        quick().fit(sparse.csr_array(FLAT))
    for name in ("image_shape_", "code_shape_"):
        with pytest.raises(NotFittedError):
            getattr(quick(), name)
        assert not hasattr(quick(), name)
