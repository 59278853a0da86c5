"""Measure retrodict beside sbi's NPE with its neural spline flow."""

from versus import compare


if __name__ == "__main__":
    compare("sbi", ".venv-peers")
