"""What the bundles share: physics, virtual subjects, classical methods, metrics, file formats, checks and reports."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("mrsikit")
except PackageNotFoundError:  # the source folder is on the path, but nothing was installed
    __version__ = "0+uninstalled"
