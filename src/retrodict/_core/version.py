"""Which retrodict this is."""

from importlib.metadata import PackageNotFoundError, version


def package_version() -> str:
    """Return the installed version of retrodict."""
    try:
        return version("retrodict")
    except PackageNotFoundError:
        return "0+unknown"
