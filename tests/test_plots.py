"""The pictures: figures of the right content, nothing global touched."""

from __future__ import annotations

import subprocess
import sys

import make_plot_baselines as drawn
import numpy as np
import pytest

from aefast import plots

pytest.importorskip("matplotlib")
RNG = np.random.default_rng(0)
IMAGES = RNG.random((6, 12))  # 4 x 3


def texts(figure):
    return [text.get_text() for text in figure.texts] + [t.get_text() for ax in figure.axes for t in ax.texts]


def pixels(ax):
    return np.asarray(ax.images[0].get_array())


def inner(grid, i, columns, shape=(4, 3), strip=1):
    """The i-th image of a grid."""
    top, left = strip + i // columns * (shape[0] + strip), strip + i % columns * (shape[1] + strip)
    return grid[top : top + shape[0], left : left + shape[1]]


def rendered(figure, tmp_path):
    path = tmp_path / "figure.png"
    figure.savefig(path)
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    return data


def test_reconstructions_show_each_row_under_its_name(tmp_path):
    figure = plots.reconstructions({"original": IMAGES, "PCA": IMAGES / 2}, (4, 3), title="Both")
    assert texts(figure) == ["Both", "original", "PCA"]
    for ax, factor in zip(figure.axes, (1, 0.5), strict=True):
        for i in range(6):
            np.testing.assert_allclose(inner(pixels(ax), i, 6), IMAGES[i].reshape(4, 3) * factor)
        assert ax.images[0].get_clim() == (0.0, 1.0)
    rendered(figure, tmp_path)


def test_bytes_get_their_own_grey_scale():
    figure = plots.samples((IMAGES * 255).astype(np.uint8), (4, 3))
    assert figure.axes[0].images[0].get_clim() == (0.0, 255.0)


def test_denoising_has_three_rows_and_clips_the_noise():
    figure = plots.denoising(IMAGES, IMAGES + 5, IMAGES, (4, 3))
    assert texts(figure)[1:] == ["clean", "noisy", "denoised"]
    for ax in figure.axes:
        assert ax.images[0].get_clim() == (0.0, 1.0)


@pytest.mark.parametrize("n", [1, 5, 6, 10])
def test_grids_hold_every_image(n, tmp_path):
    images = RNG.random((n, 12))
    columns = int(np.ceil(np.sqrt(n)))
    figure = plots.samples(images, (4, 3))
    for i in range(n):
        np.testing.assert_allclose(inner(pixels(figure.axes[0]), i, columns), images[i].reshape(4, 3))
    assert len(rendered(figure, tmp_path)) > 1000


def test_filters_are_centred_on_zero_and_survive_zeros(tmp_path):
    weights = RNG.normal(size=(4, 12)) * np.array([[1], [100], [0], [1e-6]])
    figure = plots.filters(weights, (4, 3))
    assert figure.axes[0].images[0].get_clim() == (-1.0, 1.0)
    for i in range(4):
        assert np.isfinite(inner(pixels(figure.axes[0]), i, 2)).all()
    assert np.abs(inner(pixels(figure.axes[0]), 3, 2)).max() >= 1
    rendered(figure, tmp_path)


def test_latent_map_draws_every_point_and_names_every_class(tmp_path):
    xy, y = RNG.normal(size=(50, 2)), np.arange(50) % 12  # more classes than colours
    figure = plots.latent_map(xy, y, title="Map")
    drawn = np.concatenate([c.get_offsets() for c in figure.axes[0].collections])
    np.testing.assert_allclose(drawn[np.lexsort(drawn.T)], xy[np.lexsort(xy.T)])
    assert sorted(texts(figure), key=int) == [str(i) for i in range(12)]
    rendered(figure, tmp_path)
    with pytest.raises(ValueError, match=r"points must be \(n, 2\)"):
        plots.latent_map(np.zeros((4, 3)), np.zeros(4))


def test_loss_curves_are_relative_and_named_apart(tmp_path):
    figure = plots.loss_curves({"a": [4.0, 2.0, 1.0], "b": [10.0, 5.0, 2.6], "empty": []})
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [1, 0.5, 0.25])
    labels = {t.get_text(): t.xyann[1] for t in figure.axes[0].texts}
    assert set(labels) == {"a", "b"} and labels["b"] - labels["a"] > 0.04
    rendered(figure, tmp_path)


BAD_IMAGES = [
    (IMAGES[:, :11], ValueError, r"must be \(n, 12\) for images of \(4, 3\), but has shape \(6, 11\)"),
    (IMAGES[0], ValueError, r"must be \(n, 12\) .* has shape \(12,\)"),
    (IMAGES[:0], ValueError, r"holds nothing to show: its shape is \(0, 12\)"),
    (np.where(IMAGES > 0.9, np.nan, IMAGES), ValueError, "must be finite, but .* of its 72 values aren't"),
    (np.where(IMAGES > 0.9, np.inf, IMAGES), ValueError, "must be finite"),
    (IMAGES.astype(str), TypeError, "must hold real numbers, but its dtype is <U"),
    (IMAGES + 1j, TypeError, "must hold real numbers, but its dtype is complex128"),
]


@pytest.mark.parametrize(("bad", "error", "message"), BAD_IMAGES)
def test_what_cannot_be_images_is_refused_by_its_name(bad, error, message):
    with pytest.raises(error, match="row 'PCA' " + message):
        plots.reconstructions({"original": IMAGES, "PCA": bad}, (4, 3))
    with pytest.raises(error, match="row 'noisy' " + message):
        plots.denoising(IMAGES, bad, IMAGES, (4, 3))
    with pytest.raises(error, match="generated " + message):
        plots.samples(bad, (4, 3))
    with pytest.raises(error, match="components " + message):
        plots.filters(bad, (4, 3))


def test_rows_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match=r"all of as many images, but they have \{'a': 6, 'b': 2\}"):
        plots.reconstructions({"a": IMAGES, "b": IMAGES[:2]}, (4, 3))
    with pytest.raises(ValueError, match="need at least one row"):
        plots.reconstructions({}, (4, 3))
    for shape in ((12,), (-4, -3), (4, 3, 1)):
        with pytest.raises(ValueError, match=r"image_shape must be \(height, width\)"):
            plots.samples(IMAGES, shape)


def test_maps_and_curves_refuse_what_they_cannot_draw():
    xy = RNG.normal(size=(4, 2))
    for points, labels, message in (
        (np.zeros((4, 3)), np.zeros(4), r"points must be \(n, 2\)"),
        (xy * np.nan, np.zeros(4), "points must be finite, but 8 of its 8"),
        (xy[:0], np.zeros(0), "points holds nothing"),
        (xy, np.zeros(5), r"labels must be \(4,\) as there are 4 points, but have shape \(5,\)"),
        (xy, np.zeros((4, 1)), r"labels must be \(4,\)"),
        (xy, [0, 1, np.nan, 1], "labels must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            plots.latent_map(points, labels)
    for curve, error, message in (
        ([2.0, np.nan], ValueError, "curve 'a' must be finite"),
        ([0.0, 1.0], ValueError, "begin above 0"),
        ([[1.0], [2.0]], ValueError, r"curve 'a' must be \(epochs,\)"),
        (["x"], TypeError, "curve 'a' must hold real numbers"),
        ([], ValueError, "curves hold no value"),
    ):
        with pytest.raises(error, match=message):
            plots.loss_curves({"a": curve})


def test_a_long_title_makes_a_small_picture_wider():
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    for figure in (
        plots.samples(IMAGES[:1], (4, 3), title="Images that the model made up, all one of them"),
        plots.filters(IMAGES[:1], (4, 3)),
        plots.reconstructions({"a long label of a row": IMAGES[:1]}, (4, 3), title="WWWWWWWWWWWWWWW"),
    ):
        canvas = FigureCanvasAgg(figure)
        for text in figure.texts:
            box = text.get_window_extent(canvas.get_renderer())
            assert box.x0 >= 0 and box.x1 <= figure.bbox.width, text


def differs(name):
    """How the picture of that name differs from its baseline."""
    with np.load(drawn.BASELINES) as stored:
        return drawn.difference(
            drawn.thumbnail(drawn.figures()[name]()), stored[name], drawn.TOLERANCES[name]
        )


@pytest.mark.parametrize("name", drawn.figures())
def test_a_picture_looks_as_it_did(name):
    assert not (wrong := differs(name)), wrong


def rewrap(name, change):
    """Replaces a function of the module by one whose arguments `change` has gone over."""

    def plant(patch):
        original = getattr(plots, name)
        patch.setattr(plots, name, lambda *args, **kwargs: original(*change(*args), **kwargs))

    return plant


def relabel(patch):
    patch.setattr(plots, "INK", "white")


PLANTED = {
    "colour map inverted": (
        rewrap("_show", lambda ax, im, lo, hi, c="gray_r": (ax, im, lo, hi, c[:-2] if c[-2:] == "_r" else c)),
        ("reconstructions", "denoising", "samples", "filters"),
    ),
    "images transposed": (
        rewrap("_grid", lambda images, *rest: (images.transpose(0, 2, 1), *rest)),
        ("samples", "filters"),
    ),
    "images upside down": (
        rewrap("_grid", lambda images, *rest: (images[:, ::-1], *rest)),
        ("reconstructions", "denoising", "samples", "filters"),
    ),
    "images in another order": (
        rewrap("_grid", lambda images, *rest: (images[[1, 0, *range(2, len(images))]], *rest)),
        ("reconstructions", "denoising", "samples", "filters"),
    ),
    "an image lost": (
        rewrap("_grid", lambda images, *rest: (images * (np.arange(len(images)) != 2)[:, None, None], *rest)),
        ("reconstructions", "denoising", "samples", "filters"),
    ),
    "rows swapped": (
        rewrap(
            "reconstructions", lambda r, *rest: (dict(zip(r, list(r.values())[::-1], strict=True)), *rest)
        ),
        ("reconstructions", "denoising"),
    ),
    "a row dropped": (
        rewrap("reconstructions", lambda r, *rest: (dict(list(r.items())[:-1]), *rest)),
        ("reconstructions", "denoising"),
    ),
    "scale doubled": (
        rewrap("_show", lambda ax, im, lo, hi, *rest: (ax, im, lo, 2 * hi, *rest)),
        ("reconstructions", "denoising", "samples", "filters"),
    ),
    "titles and labels not to be seen": (
        relabel,
        ("reconstructions", "denoising", "samples", "filters", "latent_map", "loss_curves"),
    ),
    "titles missing": (
        rewrap("_plain", lambda ax, title, x, y: (ax, "", x, y)),
        ("latent_map", "loss_curves"),
    ),
    "axis labels missing": (
        rewrap("_plain", lambda ax, title, x, y: (ax, title, "", "")),
        ("latent_map", "loss_curves"),
    ),
    "row labels missing": (
        rewrap(
            "reconstructions",
            lambda r, *rest: (
                {" " * (len(k) - i) + "\u00a0" * i: v for i, (k, v) in enumerate(r.items())},
                *rest,
            ),
        ),
        ("reconstructions", "denoising"),
    ),
    "a point lost": (
        rewrap("latent_map", lambda points, labels: (points[:-1], labels[:-1])),
        ("latent_map",),
    ),
    "axes swapped": (
        rewrap("latent_map", lambda points, labels: (points[:, ::-1], labels)),
        ("latent_map",),
    ),
    "a class under another's name": (
        rewrap("latent_map", lambda points, labels: (points, (labels + 1) % 4)),
        ("latent_map",),
    ),
    "a curve lost": (
        rewrap("loss_curves", lambda curves: ({**curves, "slow": []},)),
        ("loss_curves",),
    ),
    "an epoch lost": (
        rewrap("loss_curves", lambda curves: ({name: curve[:-1] for name, curve in curves.items()},)),
        ("loss_curves",),
    ),
}


@pytest.mark.parametrize(
    ("bug", "name"), [(bug, name) for bug, (_, names) in PLANTED.items() for name in names]
)
def test_a_planted_bug_is_seen_in_the_picture(bug, name, monkeypatch):
    PLANTED[bug][0](monkeypatch)
    assert differs(name)


def test_pyplot_is_never_imported():
    code = (
        "import sys, numpy as np; from aefast import plots; assert 'matplotlib' not in sys.modules;"
        "plots.samples(np.zeros((4, 4)), (2, 2)).savefig('/dev/null', format='png');"
        "plots.loss_curves({'a': [1, 2]}); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_every_picture_has_a_baseline():
    public = {
        name for name, value in vars(plots).items() if callable(value) and value.__module__ == plots.__name__
    }
    assert {name for name in public if not name.startswith("_")} == set(drawn.figures())
    with np.load(drawn.BASELINES) as stored:
        assert set(stored) == set(drawn.figures())
