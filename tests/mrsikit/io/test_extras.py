import sys

import pytest

from mrsikit.io.errors import InputError
from mrsikit.io.extras import import_extra


def test_an_installed_module_is_imported():
    module = import_extra("json.decoder", package="json", purpose="tests", extra="test")
    assert module is sys.modules["json.decoder"]


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.part"])
def test_a_missing_package_is_one_line_that_says_how_to_get_it(module):
    with pytest.raises(InputError) as caught:
        import_extra(module, package="no-such-package", purpose="virtual subjects", extra="train")
    line = "no-such-package is not installed: virtual subjects need it; pip install 'mrsikit[train]'"
    assert str(caught.value) == line


def test_a_broken_package_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import no_such_package\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        import_extra("broken_package", package="broken", purpose="tests", extra="test")
