"""The pictures: figures of the right content, nothing global touched."""

from __future__ import annotations

import subprocess
import sys

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
    assert pixels(figure.axes[1]).max() == 1.0


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
    image = figure.axes[0].images[0]
    assert image.get_clim() == (-1.0, 1.0) and np.isfinite(pixels(figure.axes[0])).all()
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


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"images must be \(n, 12\) for \(4, 3\), but have shape \(6, 11\)"):
        plots.samples(IMAGES[:, :11], (4, 3))
    with pytest.raises(ValueError, match="same number of images"):
        plots.reconstructions({"a": IMAGES, "b": IMAGES[:2]}, (4, 3))


def test_pyplot_is_never_imported():
    code = (
        "import sys, numpy as np; from aefast import plots; assert 'matplotlib' not in sys.modules;"
        "plots.samples(np.zeros((4, 4)), (2, 2)).savefig('/dev/null', format='png');"
        "plots.loss_curves({'a': [1, 2]}); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
