"""Changes of theta that neither the prior nor the simulator can tell.

Where two rates may be exchanged, or a number enters only as its square, the posterior
has images of every mode, equally heavy at every observation. Once that is declared the
density is learned of one image and repeated for all: it is exact, and nothing is spent
on learning it.

Source: Cohen, Welling (2016), Group equivariant convolutional networks,
arXiv:1602.07576, sec. 5 (what a symmetry saves). Deviations from the source: the
density is averaged over the group; the networks themselves know nothing of it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax.random as jr
import numpy as np
from jaxtyping import Float

from .._core.errors import ModelError
from .prior import Prior


MAX_IMAGES = 24  # each is one more evaluation of the density
NUM_TRIED = 100  # draws of the prior


@dataclass(frozen=True)
class Symmetries:
    """A finite group of exchanges of components of theta and of changes of sign.

    Attributes:
        elements: All but the identity. Of each the place of every component, counted
            from one; the place is negative where the sign changes.
    """

    elements: tuple[tuple[int, ...], ...] = ()

    @property
    def log_count(self) -> float:
        """Logarithm of the number of images of a theta, itself among them."""
        return math.log1p(len(self.elements))

    def images(
        self, theta: Float[np.ndarray, "*n dim"]
    ) -> Float[np.ndarray, "images *n dim"]:
        """Return theta and its images."""
        moved = [theta[..., np.abs(e) - 1] * np.sign(e) for e in self.elements]
        return np.stack([theta, *moved])

    def describe(self, names: Sequence[str]) -> list[str]:
        """Say of every element what takes whose place: ``"a = b, b = a"``.

        Args:
            names: The components of theta.
        """
        sources = [*names, *(f"-{name}" for name in reversed(names))]
        return [
            ", ".join(
                f"{name} = {sources[place - (place > 0)]}"
                for number, (name, place) in enumerate(zip(names, e, strict=True), 1)
                if place != number
            )
            for e in self.elements
        ]

    def fold(self, theta: Float[np.ndarray, "*n dim"]) -> Float[np.ndarray, "*n dim"]:
        """Return of every theta the image that is first: smallest in its first entry.

        Where first entries are equal, the next decides.
        """
        first, *others = self.images(theta)
        for other in others:
            difference = other - first
            where = np.argmax(difference != 0, axis=-1)[..., None]
            before = np.take_along_axis(difference, where, axis=-1) < 0
            first = np.where(before, other, first)
        return first

    def scatter(
        self, rng: np.random.Generator, theta: Float[np.ndarray, "*n dim"]
    ) -> Float[np.ndarray, "*n dim"]:
        """Return an image of every theta, drawn at random."""
        if not self.elements:
            return theta
        chosen = rng.integers(1 + len(self.elements), size=theta.shape[:-1])
        images = self.images(theta)
        return np.take_along_axis(images, chosen[None, ..., None], axis=0)[0]


def as_symmetries(
    names: Sequence[str], maps: Sequence[Mapping[str, str]]
) -> Symmetries:
    """Return the group that some maps generate.

    Args:
        names: The components of theta.
        maps: Of each component that moves, which one takes its place; after a minus,
            with the other sign. The others stay.

    Raises:
        ModelError: If a map is no exchange of known components, or there are more than
            24 images.
    """
    identity = tuple(range(1, len(names) + 1))
    generators = [_element(names, m, f"symmetries[{i}]") for i, m in enumerate(maps)]
    found, new = {identity}, {identity}
    while new:
        new = {_then(e, g) for e in new for g in generators} - found
        found |= new
        if len(found) > MAX_IMAGES:
            raise ModelError(
                f"symmetries: Expected at most {MAX_IMAGES} images of a theta, each of "
                "which costs an evaluation of the density; got more. Declare fewer."
            )
    return Symmetries(tuple(sorted(found - {identity})))


def check_symmetries(prior: Prior, maps: Sequence[Mapping[str, str]]) -> None:
    """Refuse maps that the prior can tell.

    Args:
        prior: The prior, whose components they name.
        maps: As for :func:`as_symmetries`.

    Raises:
        ModelError: As :func:`as_symmetries`; or if some theta and its image have
            different densities.
    """
    if not maps:
        return
    group = as_symmetries(prior.space.names, maps)
    draws = prior.sample(jr.key(0), NUM_TRIED)
    images = group.images(prior.space.flatten(draws))
    here, *there = (prior.log_prob(prior.space.unflatten(one)) for one in images)
    for image, log_p in zip(images[1:], there, strict=True):
        wrong = ~np.isclose(log_p, here, rtol=1e-4, atol=1e-4)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ModelError(
                "symmetries: Expected changes of theta that leave the density of the "
                f"prior as it is; got {here[row]:.6g} at {images[0][row]} and "
                f"{log_p[row]:.6g} at its image {image[row]}. Give both components "
                "the same prior, or leave the symmetry out."
            )


def _element(
    names: Sequence[str], one: Mapping[str, str], where: str
) -> tuple[int, ...]:
    """Return the places of all components under one map."""
    told = dict(one) if isinstance(one, Mapping) else {}
    sources = {name: str(source).removeprefix("-") for name, source in told.items()}
    unknown = set(sources) - set(names)
    if not told or unknown or sorted(sources) != sorted(sources.values()):
        raise ModelError(
            f"{where}: Expected components of theta, each of which takes the place of "
            f"one of them, such as {{'a': 'b', 'b': 'a'}} or {{'a': '-a'}}; got "
            f"{one}. Components are {list(names)}."
        )
    places = {name: names.index(source) + 1 for name, source in sources.items()}
    signs = {n: -1 if str(source).startswith("-") else 1 for n, source in told.items()}
    return tuple(
        signs.get(name, 1) * places.get(name, number)
        for number, name in enumerate(names, start=1)
    )


def _then(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    """Return one change after another."""
    return tuple(first[abs(p) - 1] * (1 if p > 0 else -1) for p in second)
