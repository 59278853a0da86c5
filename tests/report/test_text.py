"""Numbers and symbols as a reader sees them."""

import math

import numpy as np
import pytest

from retrodict.report.mathhtml import math_html
from retrodict.report.text import number, prose, rounded, seconds, short


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (0.0, "0"),
        (12, "12"),
        (-3, "−3"),
        (50_000, "50\u202f000"),
        (0.5314159, "0.531"),
        (-0.052, "−0.052"),
        (1234.5678, "1235"),
        (3120.0, "3120"),
        (1.5e-21, "1.50×10⁻²¹"),
        (5e-324, "4.94×10⁻³²⁴"),
        (2.5e9, "2.50×10⁹"),
        (np.float32(0.25), "0.25"),
        (np.int64(7), "7"),
        (None, "–"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        ("text", "text"),
    ],
)
def test_number(value, written):
    assert number(value) == written


@pytest.mark.parametrize(
    ("value", "sd", "written"),
    [
        (1.72834, 0.0541, "1.728"),
        (763.2, 15.2, "763"),
        (0.0283, 0.0043, "0.0283"),
        (-0.0001, 0.23, "0.00"),
        (3.2e-21, 1.1e-22, "3.20×10⁻²¹"),
        (1234567.0, 12.0, "1.234567×10⁶"),
        (1.5, 0.0, "1.5"),
        (1.5, math.nan, "1.5"),
    ],
)
def test_rounded_to_the_second_digit_of_the_sd(value, sd, written):
    assert rounded(value, sd) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.42, "0.4 s"), (41.0, "41 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_seconds(value, written):
    assert seconds(value) == written


def test_short_and_prose():
    assert short("abc", 3) == "abc"
    assert short("abcd", 3) == "ab…"
    assert short("\u202egnp.exe\u2066") == "gnp.exe"
    assert prose("90 % of all") == "90\u202f% of all"


@pytest.mark.parametrize(
    ("label", "html"),
    [
        (r"$\beta$", "β"),
        ("$R_0$", "<i>R</i><sub>0</sub>"),
        (r"$\sigma_{8}$", "σ<sub>8</sub>"),
        (r"$\Omega_{\mathrm{m}}$", "Ω<sub>m</sub>"),
        (r"$1/\gamma$", "1/γ"),
        (r"$10^{-3}$", "10<sup>−3</sup>"),
        (r"$\sigma$[0]", "σ[0]"),
        ("$z_{0,1}$", "<i>z</i><sub>0,1</sub>"),
        # Beyond it, or not mathtext: the caller falls back to the name.
        (r"$\frac{a}{b}$", None),
        (r"$\foo$", None),
        ("$a}$", None),
        ("$a{$", None),
        ("$a_$", None),
        ("beta", None),
        ("$", None),
        ("$$", None),
        ("$<script>$", None),
        ("$a$b$", None),
        ("$" + "{" * 60 + "$", None),
    ],
)
def test_math_html(label, html):
    assert math_html(label) == html
