import pytest
from scipy.io import netcdf_file


@pytest.fixture
def write_minc():
    def write(path, data_zyx, steps, starts, dimensions=("zspace", "yspace", "xspace")):
        """Write a MINC 1 file: data (Z, Y, X), steps and starts by dimension name."""
        with netcdf_file(path, "w") as file:
            for name, size in zip(dimensions, data_zyx.shape, strict=True):
                file.createDimension(name, size)
                variable = file.createVariable(name, "i", ())
                variable.step, variable.start, variable.spacing = steps[name], starts[name], b"regular__"
            image = file.createVariable("image", "f", dimensions)
            image[:] = data_zyx
            for name in ("image-min", "image-max"):
                file.createVariable(name, "d", ())[...] = 0

    return write
