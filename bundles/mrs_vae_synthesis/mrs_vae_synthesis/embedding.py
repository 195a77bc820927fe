"""UMAP embedding of measured and synthetic spectra with their densities, as the paper shows it.

Needs umap-learn, the extra "umap".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import gaussian_kde

from mrsikit.io.extras import import_extra

GRID = 100
"""Grid points of the densities along each axis."""

WIDTH = 0.15
"""Width of the kernel relative to the standard deviation of the points: narrow, because ON and OFF lie apart."""

KNOWN, OTHER = "#777777", "#ff7f0e"
COLOURS = {"random": "#2ca02c", "interpolate": "#d62728", "hybrid": "#1f77b4"}
"""Of the samplings, as in the paper."""


def embed(
    measured: NDArray[np.float32], others: Mapping[str, NDArray[np.float32]], *, seed: int = 0
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """Fit a two-dimensional embedding to measured spectra, and project other spectra into it.

    Args:
        measured: (N, D) rows as of :func:`mrs_vae_synthesis.checks.rows_of`.
        others: (M, D) each, by name.
        seed: seed of the embedding.

    Returns:
        Coordinates (N, 2) of the measured spectra, and (M, 2) of the others by name.

    Raises:
        InputError: umap-learn is not installed.
    """
    umap = import_extra("umap", package="umap-learn", purpose="embeddings", extra="umap")
    plane = umap.UMAP(n_components=2, random_state=seed, n_jobs=1)
    known = plane.fit_transform(measured)
    return known, {name: plane.transform(rows) for name, rows in others.items()}


def density(points: NDArray[np.float32], about: NDArray[np.float32]) -> NDArray[np.float64]:
    """Kernel density (GRID, GRID) of points (N, 2), of sum 1, on a grid that covers the points ``about`` (M, 2)."""
    low, high = _corners(about)
    grid = np.meshgrid(*(np.linspace(low[axis], high[axis], GRID) for axis in (0, 1)), indexing="ij")
    values = gaussian_kde(points.T, WIDTH)(np.stack(grid).reshape(2, -1)).reshape(GRID, GRID)
    return values / values.sum()


def _corners(points: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lowest and highest coordinates (2,) of a plane that shows all points (N, 2) and their density."""
    margin = 0.15 * np.ptp(points, 0)
    return points.min(0) - margin, points.max(0) + margin


def overlap(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Overlap of the densities of two sets of points (N, 2) and (M, 2): 1 if they are equal, 0 if they lie apart."""
    both = np.concatenate([a, b])
    return float(np.minimum(density(a, both), density(b, both)).sum())


def draw_embedding(
    known: NDArray[np.float32], others: Mapping[str, NDArray[np.float32]], on: NDArray[np.bool_], *, title: str
) -> Figure:
    """Draw a panel for each set: its points and density over those of the spectra that the plane was learnt from.

    Args:
        known: (N, 2) coordinates of :func:`embed` of the spectra that the plane was learnt from.
        others: (M, 2) coordinates of :func:`embed`, by name. A sampling as last word sets the colour.
        on: (N,) whether each row is ON, the same for all sets.
        title: what the legend calls the spectra that the plane was learnt from.
    """
    columns = min(3, len(others))
    rows = -(-len(others) // columns)
    figure = Figure(figsize=(4.2 * columns, 4 * rows))
    FigureCanvasAgg(figure)
    everything = np.concatenate([known, *others.values()])
    low, high = _corners(everything)
    extent = (low[0], high[0], low[1], high[1])
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, (name, points) in zip(axes, others.items(), strict=False):
        made = COLOURS.get(name.rpartition(" ")[2], OTHER)
        for label, values, colour in ((title, known, KNOWN), (name, points, made)):
            surface = density(values, everything).T
            levels = surface.max() * np.array([0.05, 0.3, 0.7, 1.0])
            axis.contourf(surface, levels, extent=extent, colors=[colour], alpha=0.25)
            for edit, marker in ((True, "x"), (False, ".")):
                at = values[on[: len(values)] == edit]
                named = f"{label}, {'ON' if edit else 'OFF'}"
                axis.scatter(*at.T, s=8, lw=0.5, marker=marker, color=colour, label=named)
        axis.set_title(f"{name}: overlap {overlap(known, points):.2f}", fontsize=10)
        axis.legend(fontsize=7, frameon=False)
    figure.tight_layout()
    return figure
