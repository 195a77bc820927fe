import numpy as np
import pytest
from matplotlib.colors import to_hex

from mrs_vae_synthesis.embedding import COLOURS, density, draw_embedding, embed, overlap
from mrsikit.io import InputError


def cloud(seed: int, at: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(200, 2)) + at).astype(np.float32)


def test_densities_overlap_where_points_lie_alike() -> None:
    assert density(cloud(0), cloud(0)).sum() == pytest.approx(1)
    assert overlap(cloud(0), cloud(0)) == pytest.approx(1)
    assert overlap(cloud(0), cloud(1)) > 0.6
    assert overlap(cloud(0), cloud(1, 10)) < 0.05


def test_a_panel_a_set() -> None:
    on = np.arange(200) % 2 == 0
    figure = draw_embedding(cloud(0), {"like": cloud(1), "unlike": cloud(2, 6)}, on, title="simulated")
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[0].startswith("like: overlap 0.")
    assert titles[1] == "unlike: overlap 0.00"
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["simulated, ON", "simulated, OFF", "like, ON", "like, OFF"]


def test_samplings_have_the_papers_colours() -> None:
    sets = {f"published, {sampling}": cloud(1) for sampling in COLOURS}
    figure = draw_embedding(cloud(0), sets, np.arange(200) % 2 == 0, title="simulated")
    drawn = [to_hex(axis.get_legend().legend_handles[-1].get_facecolor()[0]) for axis in figure.axes]
    assert drawn == list(COLOURS.values())


def test_spectra_of_one_kind_lie_together() -> None:
    pytest.importorskip("umap")
    rng = np.random.default_rng(0)
    real, same, other = (rng.normal(size=(120, 20)).astype(np.float32) + add for add in (0, 0, 3))
    known, others = embed(real, {"same": same, "other": other})
    assert overlap(known, others["same"]) > overlap(known, others["other"])


def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    with pytest.raises(InputError, match="umap-learn is not installed"):
        embed(cloud(0), {})
