"""Measure retrodict beside BayesFlow's coupling flow with splines."""

from versus import compare


if __name__ == "__main__":
    compare("bayesflow", ".venv-bayesflow")
