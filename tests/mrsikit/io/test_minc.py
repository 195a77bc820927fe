"""MINC files in any order of axes come in NIfTI's order, by the names of the axes."""

from itertools import permutations

import numpy as np
import pytest
from scipy.io import netcdf_file

from mrsikit.io import InputError, read_map
from mrsikit.io.minc import SPACE, read_minc

SIZES = {"xspace": 8, "yspace": 9, "zspace": 10, "time": 3, "vector_dimension": 3}
STEPS = {"xspace": 2.0, "yspace": -3.0, "zspace": 4.0, "time": 1.0, "vector_dimension": 1.0}
STARTS = {"xspace": -7.0, "yspace": 11.0, "zspace": 5.0, "time": 0.0, "vector_dimension": 0.0}
AFFINE = [[2, 0, 0, -7], [0, -3, 0, 11], [0, 0, 4, 5], [0, 0, 0, 1]]

ORDERS = [
    *permutations(SPACE),
    ("zspace", "yspace", "xspace", "vector_dimension"),
    ("zspace", "yspace", "xspace", "time"),
    ("time", "zspace", "yspace", "xspace"),
    ("yspace", "time", "xspace", "zspace"),
    ("vector_dimension", "xspace", "yspace", "zspace"),
]


def values(order):
    """Data in the order of the file, and as they should be read."""
    others = [name for name in order if name not in SPACE]
    right = np.random.default_rng(0).random([SIZES[name] for name in (*SPACE, *others)]).astype(np.float32)
    return np.transpose(right, [(*SPACE, *others).index(name) for name in order]), right


def write_minc2(path, data, order):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        image = file.create_dataset("minc-2.0/image/0/image", data=data)
        image.attrs["dimorder"] = np.bytes_(",".join(order))
        for name in ("image-min", "image-max"):
            file["minc-2.0/image/0"].create_dataset(name, data=0.0)
        for name in order:
            if name in SPACE:
                dimension = file.create_dataset(f"minc-2.0/dimensions/{name}", data=0)
                dimension.attrs["step"], dimension.attrs["start"] = STEPS[name], STARTS[name]
                dimension.attrs["spacing"] = np.bytes_("regular__")
        file.require_group("minc-2.0/dimensions")


@pytest.mark.parametrize("order", ORDERS, ids=",".join)
@pytest.mark.parametrize("version", [1, 2])
def test_axes_are_found_by_their_names(tmp_path, write_minc, order, version):
    stored, right = values(order)
    if version == 1:
        write_minc(tmp_path / "a.mnc", stored, STEPS, STARTS, order)
    else:
        write_minc2(tmp_path / "a.mnc", stored, order)
    found, affine = read_map(tmp_path / "a.mnc")
    np.testing.assert_array_equal(found, right)
    np.testing.assert_allclose(affine, AFFINE)


def test_an_axis_of_length_one_is_no_metabolite_axis_beside_another(tmp_path, write_minc):
    order = ("time", "zspace", "yspace", "xspace", "vector_dimension")
    stored, right = values(order)
    write_minc(tmp_path / "a.mnc", stored[:1], STEPS, STARTS, order)
    np.testing.assert_array_equal(read_map(tmp_path / "a.mnc")[0], right[..., 0, :])


def test_an_axis_without_a_variable_is_read_in_minc_1(tmp_path):
    order = ("zspace", "yspace", "xspace", "vector_dimension")
    stored, right = values(order)
    with netcdf_file(tmp_path / "a.mnc", "w") as file:
        for name in order:
            file.createDimension(name, SIZES[name])
            if name in SPACE:
                variable = file.createVariable(name, "i", ())
                variable.step, variable.start, variable.spacing = STEPS[name], STARTS[name], b"regular__"
        file.createVariable("image", "f", order)[:] = stored
        for name in ("image-min", "image-max"):
            file.createVariable(name, "d", ())[...] = 0
    found, affine = read_minc(tmp_path / "a.mnc")
    np.testing.assert_array_equal(found, right)
    np.testing.assert_allclose(affine, AFFINE)


def test_a_file_without_the_three_axes_of_space_is_refused(tmp_path, write_minc):
    stored = np.ones((3, 9, 8), np.float32)
    write_minc(tmp_path / "a.mnc", stored, STEPS, STARTS, ("time", "yspace", "xspace"))
    with pytest.raises(InputError, match="has the axes time, yspace, xspace"):
        read_map(tmp_path / "a.mnc")


def test_broken_bytes_are_named(tmp_path):
    for content in (b"no image", b"\x89HDF\r\n\x1a\n", b"CDF\x01"):
        (tmp_path / "a.mnc").write_bytes(content)
        with pytest.raises(InputError, match=r"a\.mnc: cannot be read"):
            read_map(tmp_path / "a.mnc")
