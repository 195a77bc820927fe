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


@pytest.fixture
def write_table():
    def write(path, rows, *, position=None, matrix=None, coord=False, water=False, head="LCModel (Version 6.3-1L)"):
        """Write a .table of LCModel, or the beginning and the end of a .coord: rows are (value, bound, mark, name)."""
        start = "$$CONC " if not coord else " "
        second = " a title" if position is None else " Slice#{2} Row#{1} Col#{0}  a title".format(*position)
        keys = ("ndcols", "ndrows", "ndslic") if matrix else ()
        changes = [f" {key}= {size}" for key, size in zip(keys, matrix or (), strict=True)]
        changes += [" dows= T"] if water else []
        lines = [
            f" {head}" + (" Copyright: S.W. Provencher." if coord else ""),
            second,
            *([] if coord else [""]),
            f"{start}{len(rows) + 1} lines in following concentration table = NCONC+1",
            "    Conc.  %SD /Cr+PCr  Metabolite",
            *(f"{value:>9} {bound:3d}%   0.628{mark}{name}   " for value, bound, mark, name in rows),
            *([] if coord else [""]),
            f"{'$$MISC ' if not coord else ' '} 2 lines in following misc. output table",
            "  FWHM = 0.084 ppm    S/N =   8  ",
            "  Data shift = 0.054 ppm",
            *(["  3 points on ppm-axis = NY", "  4.0  3.9  3.8"] if coord else [""]),
            f"{'$$INPU ' if not coord else ' '} {len(changes)} lines in following table of input changes:",
            *changes,
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
        return path

    return write
