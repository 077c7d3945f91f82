"""Sparse rows: the same bits as the same rows dense, on every backend; broken structures never reach a kernel."""

from __future__ import annotations

import numpy as np
import pytest
from estimator_cases import X, every_kind, quick
from scipy import sparse

from aefast import Autoencoder, Topology, Trainer, ops
from aefast.data.rows import as_rows
from aefast.data.scaling import Scaling
from aefast.data.sparse import SparseRows, take

FORMATS = ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")
DTYPES = (np.float32, np.float64, np.uint8, np.int16, np.int64, np.bool_)


def matrix(n=50, d=19, density=0.2, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    dense = np.where(rng.random((n, d)) < density, rng.integers(1, 100, (n, d)), 0).astype(dtype)
    dense[3] = 0  # a row of which nothing is stored
    dense[4] = 1  # and a full one
    return dense


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
def test_rows_are_those_of_the_matrix(form, dtype):
    dense = matrix(dtype=dtype)
    rows = as_rows(sparse.csr_array(dense).asformat(form))
    assert isinstance(rows, SparseRows) and rows.shape == dense.shape and len(rows) == 50
    np.testing.assert_array_equal(rows[5:9], dense[5:9].astype(rows.dtype))
    index = np.array([4, 3, 49, 4, 0])
    np.testing.assert_array_equal(rows[index], dense[index].astype(rows.dtype))
    np.testing.assert_array_equal(take(rows, index)[1:4], dense[index][1:4].astype(rows.dtype))
    assert rows[np.array([], int)].shape == (0, 19)


def test_columns_out_of_order_or_twice_are_put_right_in_a_copy():
    m = sparse.csr_matrix(
        (np.array([1.0, 2, 3, 4]), np.array([2, 0, 1, 1]), np.array([0, 2, 4])), shape=(2, 3)
    )
    before = [m.data.copy(), m.indices.copy(), m.indptr.copy()]
    np.testing.assert_array_equal(as_rows(m)[:], [[2, 0, 1], [0, 7, 0]])
    for part, old in zip((m.data, m.indices, m.indptr), before, strict=True):
        np.testing.assert_array_equal(part, old)


@pytest.mark.parametrize(
    ("part", "value"), [("indices", 99), ("indices", -1), ("indptr", 7), ("indptr", -2)], ids=str
)
def test_a_broken_structure_is_refused(part, value):
    m = sparse.csr_matrix(matrix(5, 4))
    getattr(m, part)[1] = value
    with pytest.raises(ValueError, match="well-formed"):
        as_rows(m)


@pytest.mark.parametrize(
    ("part", "value"), [("indices", 10**6), ("indices", -7), ("indptr", 10**6), ("indptr", -9)]
)
def test_a_structure_that_breaks_later_touches_no_foreign_memory(part, value, backend):
    rows = as_rows(sparse.csr_matrix(matrix(200, 40))).copy()
    getattr(rows, part)[20] = value
    if backend == "numpy":
        pytest.skip("NumPy checks each index itself")
    out = ops.gather(rows, np.arange(200), backend=backend)
    assert out.shape == (200, 40) and np.isfinite(out).all()


def test_complex_values_are_refused():
    with pytest.raises(TypeError, match="numeric"):
        as_rows(sparse.eye(3, dtype=complex, format="csr"))


@pytest.mark.parametrize("integers", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
def test_gather_gives_the_bits_of_dense_rows(dtype, integers, backend):
    dense = matrix(dtype=dtype)
    m = sparse.csr_matrix(dense)
    m.indices, m.indptr = m.indices.astype(integers), m.indptr.astype(integers)
    index = np.random.default_rng(1).integers(0, 50, 33)
    affine = {"shift": np.linspace(-3, 8, 19), "scale": np.linspace(0.1, 4, 19)}
    for how in ({}, {"factor": 1 / 255}, affine):
        np.testing.assert_array_equal(
            ops.gather(m, index, backend=backend, **how), ops.gather(dense, index, backend=backend, **how)
        )


@every_kind
@pytest.mark.parametrize("scaling", ["standard", "minmax", None])
def test_estimators_learn_the_same_from_sparse_as_from_dense(kind, scaling, backend):
    dense, m = X, sparse.csr_array(X)
    same = {"backend": backend, "scaling": scaling, "early_stopping": True}
    a, b = (quick(kind, **same).fit(rows) for rows in (dense, m))
    np.testing.assert_array_equal(a.transform(dense), b.transform(m))
    np.testing.assert_array_equal(a.reconstruct(dense), b.reconstruct(m))
    np.testing.assert_array_equal(a.score_samples(dense), b.score_samples(m))
    assert a.loss_curve_ == b.loss_curve_
    np.testing.assert_array_equal(a.partial_fit(dense).transform(dense), b.partial_fit(m).transform(m))
    Z = a.transform(dense)
    np.testing.assert_array_equal(a.inverse_transform(sparse.csr_array(Z)), a.inverse_transform(Z))


def test_the_trainer_takes_them_too(backend):
    made = [Trainer(Topology.mlp([64, 8, 64]), batch_size=50, backend=backend) for _ in range(2)]
    for trainer, rows in zip(made, (X, sparse.csr_array(X)), strict=True):
        trainer.step(rows[:50])
        trainer.fit(rows, epochs=2, X_val=rows[:100])
    np.testing.assert_array_equal(made[0].encode(X), made[1].encode(sparse.csr_array(X)))


@pytest.mark.parametrize("kind", ["standard", "minmax"])
def test_statistics_are_those_of_the_dense_matrix(kind):
    dense, weight = matrix(400, 30), np.random.default_rng(2).random(400)
    a = Scaling.from_data(kind, dense, weight)
    b = Scaling.from_data(kind, as_rows(sparse.csr_array(dense)), weight)
    np.testing.assert_array_equal(a.shift, b.shift)
    np.testing.assert_array_equal(a.scale, b.scale)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named(value):
    m = sparse.lil_array(matrix(20, 7))
    m[11, 5] = value
    with pytest.raises(ValueError, match=r"(NaN|inf).* at row 11, column 5"):
        quick().fit(m)


def test_a_very_wide_matrix_is_never_made_dense():
    n, d = 400, 20_000  # 64 MB dense
    rng = np.random.default_rng(0)
    m = sparse.csr_array(
        (np.ones(n * 20, np.float32), (np.repeat(np.arange(n), 20), rng.integers(0, d, n * 20))), shape=(n, d)
    )
    import tracemalloc

    tracemalloc.start()
    model = Autoencoder(2, hidden_layer_sizes=(), epochs=1, batch_size=8, scaling=None, backend="numpy")
    model.fit(m)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    parameters = model.trainer_.topology.n_flat * 4
    assert peak < 8 * parameters + 20e6 < n * d * 4
    assert np.isfinite(model.loss_curve_).all()
