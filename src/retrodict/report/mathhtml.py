r"""Simple mathtext as HTML: a page without scripts cannot typeset, but it can do β."""

import html
import re
from collections import deque


_GREEK_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho "
    "sigma tau upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon "
    "Phi Psi Omega varepsilon vartheta varphi"
)
_GREEK = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩεϑφ"
_WORDS = dict(zip(_GREEK_NAMES.split(), _GREEK, strict=True)) | {
    "cdot": "·",
    "times": "×",
    "odot": "⊙",
    "infty": "∞",
    "ell": "ℓ",
    "prime": "′",
    "log": "log",
    "ln": "ln",
    "exp": "exp",
    ",": "\N{THIN SPACE}",
    ";": "\N{THIN SPACE}",
}
_UPRIGHT = {"mathrm", "rm", "text", "mathsf"}
_TOKEN = re.compile(r"\\[A-Za-z]+ ?|\\[,;]|[_^{}]|[A-Za-z]|[0-9 ./()+\-=,|'\[\]]")
_LABEL = re.compile(r"\$([^$]+)\$(\[[0-9,]+\]|)")
_MAX_LENGTH = 64


class _UnknownError(Exception):
    """The label uses something that has no simple form in HTML."""


def math_html(label: str) -> str | None:
    r"""Translate mathtext such as ``$\sigma_{8}$`` to HTML.

    Knows letters, Greek, subscripts, superscripts and upright text, nothing else.

    Args:
        label: Text between dollar signs; an index such as ``[0]`` may follow.

    Returns:
        HTML that holds only ``<i>``, ``<sub>`` and ``<sup>`` and escaped characters,
        or None if the label is not mathtext or is beyond that.
    """
    parts = _LABEL.fullmatch(label.strip())
    if parts is None or len(label) > _MAX_LENGTH:
        return None
    inner, index = parts.groups()
    tokens = deque(_TOKEN.findall(inner))
    if "".join(tokens) != inner:
        return None
    try:
        return _group(tokens, closing=False) + index
    except (_UnknownError, IndexError):
        return None


def _group(tokens: deque[str], *, closing: bool, upright: bool = False) -> str:
    """Translate up to the closing brace, or up to the end."""
    parts: list[str] = []
    while tokens or closing:
        if tokens[0] == "}":
            if not closing:
                raise _UnknownError
            tokens.popleft()
            return "".join(parts)
        parts.append(_atom(tokens, upright))
    return "".join(parts)


def _atom(tokens: deque[str], upright: bool) -> str:
    item = tokens.popleft()
    if item == "{":
        return _group(tokens, closing=True, upright=upright)
    if item in {"_", "^"}:
        tag = "sub" if item == "_" else "sup"
        return f"<{tag}>{_atom(tokens, upright)}</{tag}>"
    if item.startswith("\\"):
        word = item[1:].strip()
        if word in _UPRIGHT:
            return _atom(tokens, upright=True)
        if word not in _WORDS:
            raise _UnknownError
        return _WORDS[word]
    if item.isalpha() and not upright:
        return f"<i>{item}</i>"
    return html.escape(item.replace("-", "\N{MINUS SIGN}"))
