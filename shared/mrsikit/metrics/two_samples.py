"""Two-sample tests: whether synthetic samples look real, cover the real ones, and are no copies.

Rows are samples. Groups name the subject of each row, so that no subject is on both sides of a split.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import wasserstein_distance
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

CLASSIFIERS = ("logistic", "mlp")
FOLDS = 5
NEIGHBOURS = 5
COMPONENTS = 32
"""Number of principal components of the real samples in which distances are computed."""

Rows = NDArray[np.floating]


def classifier_accuracy(
    real: Rows, synthetic: Rows, real_groups: NDArray, synthetic_groups: NDArray, *, kind: str = "logistic",
    seed: int = 0,
) -> float:  # fmt: skip
    """Classifier two-sample test: share of held-out samples that a classifier labels correctly; .5 is chance.

    Real and synthetic samples have equal weight. Lopez-Paz and Oquab, ICLR 2017.

    Args:
        real: (N, D).
        synthetic: (M, D).
        real_groups: (N,) subject of each real sample.
        synthetic_groups: (M,) subject of each synthetic sample, numbered independently.
        kind: "logistic": logistic regression with a ridge penalty; "mlp": one hidden layer of 64.
        seed: seed of the classifier and of the split.

    Raises:
        ValueError: ``kind`` is not known.
    """
    if kind not in CLASSIFIERS:
        raise ValueError(f"classifier {kind!r} is none of {', '.join(CLASSIFIERS)}")
    x = np.concatenate([real, synthetic])
    y = np.repeat([0, 1], [len(real), len(synthetic)])
    names = np.concatenate([np.asarray(real_groups).astype(str), np.char.add("s", np.asarray(synthetic_groups, str))])
    right = []
    for train, test in GroupKFold(FOLDS, shuffle=True, random_state=seed).split(x, y, names):
        if kind == "logistic":
            classifier = LogisticRegression(C=0.1, max_iter=500)
        else:
            classifier = MLPClassifier((64,), alpha=1e-2, early_stopping=True, max_iter=200, random_state=seed)
        model = make_pipeline(StandardScaler(), classifier).fit(x[train], y[train])
        # real and synthetic samples have equal weight in every fold
        hits = model.predict(x[test]) == y[test]
        right.append(np.mean([hits[y[test] == value].mean() for value in (0, 1) if (y[test] == value).any()]))
    return float(np.mean(right))


def distance_ratio(
    real: Rows, synthetic: Rows, groups: NDArray, *, generator: np.random.Generator, times: int = 20
) -> float:
    """Wasserstein distance of synthetic from real values, relative to that between halves of the real subjects.

    Args:
        real: (N,) real values.
        synthetic: (M,) synthetic values.
        groups: (N,) subject of each real value.
        generator: source of the random split into disjoint halves.
        times: number of splits whose distances are averaged.
    """
    subjects = np.unique(groups)
    halves = []
    for _ in range(times):
        first = np.isin(groups, generator.permutation(subjects)[: len(subjects) // 2])
        halves.append(wasserstein_distance(real[first], real[~first]))
    return float(wasserstein_distance(real, synthetic) / np.mean(halves))


def precision_recall(real: Rows, synthetic: Rows) -> tuple[float, float]:
    """Precision and recall: share of synthetic samples among real ones, and of real samples among synthetic ones.

    A sample is among others if it is no farther from one of them than that one's fifth nearest neighbour is
    (Kynkaanniemi et al., NeurIPS 2019), in principal components of the real samples. Give one sample per subject:
    several samples of a subject would be neighbours of each other only.

    Args:
        real: (N, D).
        synthetic: (M, D).
    """
    real, synthetic = _reduced(real, real, synthetic)

    def share(of: Rows, among: Rows) -> float:
        tree = cKDTree(among)
        radius = tree.query(among, NEIGHBOURS + 1)[0][:, -1]
        distances, places = tree.query(of, min(len(among), 64))
        return float((distances <= radius[places]).any(1).mean())

    return share(synthetic, real), share(real, synthetic)


def maximum_mean_discrepancy(real: Rows, synthetic: Rows) -> float:
    """Unbiased squared MMD of samples (N, D) and (M, D), in principal components of the real samples.

    The Gaussian kernel has the median distance of all samples as its scale.
    """
    a, b = _reduced(real, real, synthetic)
    both = np.concatenate([a, b])
    norms = (both**2).sum(1)
    squares = np.maximum(norms[:, None] + norms - 2 * both @ both.T, 0)
    kernel = np.exp(-squares / np.median(squares[np.triu_indices(len(both), 1)]))
    n, m = len(a), len(b)
    inner = (kernel[:n, :n].sum() - n) / (n * (n - 1)) + (kernel[n:, n:].sum() - m) / (m * (m - 1))
    return float(inner - 2 * kernel[:n, n:].mean())


def nearest_ratio(training: Rows, held_out: Rows | None, synthetic: Rows) -> float:
    """Median distance of synthetic samples to the nearest training sample, over that of held-out real samples.

    1 means no nearer than new subjects are; 0 means copies. Without held-out samples, each training sample is held out
    in turn. All samples are rows of D values.
    """
    near, far, *others = _reduced(training, training, synthetic, *([] if held_out is None else [held_out]))
    tree = cKDTree(near)
    known = tree.query(others[0])[0] if others else tree.query(near, 2)[0][:, 1]
    return float(np.median(tree.query(far)[0]) / np.median(known))


def _reduced(of: Rows, *sets: Rows) -> list[Rows]:
    count = min(COMPONENTS, *of.shape)
    model = PCA(count, random_state=0).fit(of)
    return [model.transform(rows) for rows in sets]
