import base64
import json
from typing import Any

import numpy as np
import pytest

from mrsikit.runtime.report import Panel, view_of
from mrsikit.runtime.report.viewer import packed, plotly_script

AFFINE = np.diag([3.0, 3.0, 5.0, 1.0])
PANELS = (
    Panel(title="map", sd="sd"),
    Panel(title="filled", image="filled"),
    Panel(title="again", image="filled", outline="holes"),
)


def numbers(part: dict[str, Any]) -> np.ndarray:
    whole = np.frombuffer(base64.b64decode(part["data"]), "<i2").astype(float)
    return np.where(whole == -32768, np.nan, whole * part["step"])


def arrays(shape: tuple[int, ...] = (8, 9, 5)) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: 1 + rng.random(shape) for name in ("input", "filled", "sd")}


def test_numbers_survive_packing() -> None:
    values = np.array([0.0, -3.5, np.nan, 1e-3, np.inf, 7.0])
    found = numbers(packed(values))
    assert np.isnan(found[[2, 4]]).all()
    np.testing.assert_allclose(found[[0, 1, 3, 5]], values[[0, 1, 3, 5]], atol=7 / 32000)
    assert (numbers(packed(np.zeros(3))) == 0).all()


def test_images_are_those_of_the_static_figure_with_sides_and_places() -> None:
    maps = arrays()
    maps["input"][2, 3, 1] = np.nan
    view = view_of(maps, AFFINE, panels=PANELS, unit="mM")
    assert view["shape"] == [1, 5, 9, 8]
    assert view["sides"] == ["R", "L", "P", "A"]
    assert view["slices"][2] == "slice 3 of 5, 10 mm S"
    assert [panel["title"] for panel in view["panels"]] == ["map", "filled"]  # one of each image
    image = numbers(view["images"]["input"]).reshape(view["shape"])[0, 1]
    np.testing.assert_allclose(image, maps["input"][:, ::-1, 1].T[:, ::-1], atol=1e-3)
    assert np.isnan(image[9 - 1 - 3, 8 - 1 - 2])  # rows from the front, columns from the right
    np.testing.assert_allclose(numbers(view["images"]["sd"])[0], maps["sd"][7, 8, 0], atol=1e-3)
    json.dumps(view, allow_nan=False)


def test_several_metabolites_and_many_slices() -> None:
    view = view_of(arrays((32, 36, 40, 8)), AFFINE, panels=PANELS, metabolites=[f"m{k}" for k in range(8)])
    assert view["shape"][:2] == [6, 8]
    assert view["stored_slices"] == "8 of 40 slices are stored."
    assert len(json.dumps(view)) < 600_000
    assert view["metabolites"] == [f"m{k}" for k in range(6)]
    assert len(view["images"]["input"]["windows"]) == 6
    assert view["slices"][0].startswith("slice 1 of 40")
    assert view["slices"][-1].startswith("slice 40 of 40")
    assert view_of(arrays((8, 9)), AFFINE, panels=PANELS, oriented=False)["sides"] == []


def test_places_of_voxels_follow_orientation_and_crop() -> None:
    maps = {name: np.pad(values, ((6, 6), (7, 7), (0, 0))) for name, values in arrays().items()}
    value = maps["input"][10, 12, 3]
    for affine in (AFFINE, np.diag([-3.0, 3.0, 5.0, 1.0]), AFFINE[:, [1, 0, 2, 3]]):
        view = view_of(maps, affine, panels=PANELS, voxels=[(10, 12, 3), (0, 0, 0)])
        (slice_, row, column), outside = view["at"]
        assert outside is None
        found = numbers(view["images"]["input"]).reshape(view["shape"])[0, slice_, row, column]
        assert found == pytest.approx(value, abs=1e-3)


def test_the_script_comes_from_the_installed_package() -> None:
    assert "plotly.js" in plotly_script()[:200]
