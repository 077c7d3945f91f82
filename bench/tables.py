"""The defaults on ten real tables, raw and unscaled: held-out reconstruction error beside PCA of the same width.

The error is the mean square in the space standardised by the training rows' statistics, in which PCA is the best
linear model of the training rows. Heavy tails (spam, shuttle, mnist's border pixels) let some held-out rows decide
such a mean, so the median over the features of the ratio of errors stands beside it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import statistics
import time
from typing import Any

import numpy as np

from bench import machine

Document = dict[str, Any]
TEST_SHARE = 0.2
PACKAGES = ("aefast", "numpy", "scikit-learn", "numba")


def run(arguments: argparse.Namespace) -> int:
    """Every table and seed, beyond the budget one seed a table; prints as it goes, writes JSON and Markdown. 1 where a run
    diverged."""
    from aefast import set_num_threads
    from aefast.data import load_table

    set_num_threads(arguments.threads)
    document, began = machine.describe(arguments), time.monotonic()
    document["versions"] = {name: importlib.metadata.version(name) for name in PACKAGES}
    print(f"command  {document['command']}\nmachine  {document['machine']}, {document['cores']} cores")
    for name in arguments.tables:
        try:
            X = load_table(name).X
        except (FileNotFoundError, ModuleNotFoundError) as error:
            print(f"{name:14} left out: {error}")
            document["rows"].append({"table": name, "missing": str(error), "runs": []})
            continue
        runs = [once(X, 0)]
        for seed in range(1, arguments.rounds):
            if time.monotonic() - began > arguments.budget:
                break
            runs.append(once(X, seed))
        row = {"table": name, "n": len(X), "d": X.shape[1], "runs": runs}
        row["summary"] = summary(runs)
        document["rows"].append(row)
        print(line(row), flush=True)
    print(verdict(document["rows"]))
    machine.write(document, markdown(document), arguments.out, arguments.name)
    return int(any(r["diverged"] for row in document["rows"] for r in row["runs"]))


def once(X: np.ndarray, seed: int) -> Document:
    """One split, one fit with nothing but the seed."""
    from sklearn.decomposition import PCA
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    from aefast import Autoencoder

    train, test = train_test_split(X, test_size=TEST_SHARE, random_state=seed)
    model = Autoencoder(random_state=seed)
    start = time.perf_counter()
    try:
        model.fit(train)
    except FloatingPointError as error:
        return {"seed": seed, "diverged": True, "detail": str(error)}
    seconds = time.perf_counter() - start
    standard = StandardScaler().fit(train)
    A, B = standard.transform(train), standard.transform(test)
    pca = PCA(min(model.n_components_, *A.shape), random_state=seed).fit(A)
    squares = {
        "ae": (standard.transform(model.reconstruct(test).astype(np.float64)) - B) ** 2,
        "pca": (pca.inverse_transform(pca.transform(B)) - B) ** 2,
    }
    total = float(((B - B.mean(axis=0)) ** 2).mean())
    by_feature = {key: value.mean(axis=0) for key, value in squares.items()}
    # A feature that is constant in the training rows is no test of either.
    varied = (A.std(axis=0) > 0) & (by_feature["pca"] > 0)
    error = {key: float(value.mean()) for key, value in squares.items()}
    return {
        "seed": seed,
        "diverged": not (np.isfinite(error["ae"]) and np.isfinite(model.loss_curve_).all()),
        "code": model.n_components_,
        "ae": error["ae"],
        "pca": error["pca"],
        "ratio": error["ae"] / error["pca"],
        "feature_ratio": float(np.median(by_feature["ae"][varied] / by_feature["pca"][varied])),
        "ae_explained": 1 - error["ae"] / total,
        "pca_explained": 1 - error["pca"] / total,
        "epochs": model.n_iter_,
        "backend": model.trainer_.backend_name,
        "steps": model.trainer_.n_steps,
        "batch": model.trainer_.batch_size,
        "hidden": list(model.hidden_layer_sizes_),
        "seconds": seconds,
    }


def summary(runs: list[Document]) -> Document:
    """Medians over the seeds; of the ratio also the worst, and how many runs are below 1."""
    good = [r for r in runs if not r["diverged"]]
    result: Document = {"diverged": len(runs) - len(good)}
    if good:
        keys = [key for key, value in good[0].items() if isinstance(value, (int, float)) and key != "seed"]
        result |= {key: statistics.median(r[key] for r in good) for key in keys if key != "diverged"}
        result |= {"worst": max(r["ratio"] for r in good), "wins": sum(r["ratio"] < 1 for r in good)}
    return result


COLUMNS = (
    *("table", "n", "d", "code", "AE error", "PCA error", "ratio", "worst", "below 1", "by feature"),
    *("AE explained", "PCA explained", "epochs", "steps", "seconds", "diverged"),
)


def cells(row: Document) -> list[str]:
    """A table's line, in the order of COLUMNS."""
    s, n_runs = row.get("summary", {}), len(row["runs"])
    if "ratio" not in s:
        return [row["table"], *["-"] * (len(COLUMNS) - 2), f"{n_runs} of {n_runs}" if n_runs else "not here"]
    return [
        row["table"],
        str(row["n"]),
        str(row["d"]),
        f"{s['code']:.0f}",
        f"{s['ae']:.4g}",
        f"{s['pca']:.4g}",
        f"{s['ratio']:.3f}",
        f"{s['worst']:.3f}",
        f"{s['wins']} of {n_runs}",
        f"{s['feature_ratio']:.3f}",
        f"{s['ae_explained']:.1%}",
        f"{s['pca_explained']:.1%}",
        f"{s['epochs']:.0f}",
        f"{s['steps']:.0f}",
        f"{s['seconds']:.2f}",
        f"{s['diverged']} of {n_runs}" if s["diverged"] else "no",
    ]


def line(row: Document) -> str:
    return "  ".join(f"{name} {cell}" for name, cell in zip(COLUMNS, cells(row), strict=True))


def verdict(rows: list[Document]) -> str:
    """In how many tables the median ratio is below 1."""
    found = [row["summary"] for row in rows if "ratio" in row.get("summary", {})]
    return f"better than PCA in {sum(s['ratio'] < 1 for s in found)} of {len(found)} tables (median over the seeds)"


def markdown(document: Document) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    return "\n".join(
        [
            "# The defaults on real tables",
            "",
            *machine.lines(document),
            f"- versions: Python {document['python']}, {versions}",
            f"- {document['threads']} threads",
            "",
            f"`Autoencoder(random_state=s).fit(X_train)` on raw rows, {document['rounds']} splits of 80 and 20 % a table. "
            "Errors are held-out mean squares in",
            "the space standardised by the training rows; PCA is scikit-learn's, of the same code width. Medians over the "
            "splits; ratio = AE / PCA,",
            "below 1 is better than PCA; by feature: the median over the features of their own ratios, which heavy tails "
            "can't decide.",
            "",
            "| " + " | ".join(COLUMNS) + " |",
            "|---|" + "---:|" * (len(COLUMNS) - 1),
            *("| " + " | ".join(cells(row)) + " |" for row in document["rows"]),
            "",
            "In short: " + verdict(document["rows"]) + ".",
            "",
        ]
    )
