"""Infer flip pairs, sigmas and body halves from the names of keypoints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

# words for left and right, in English, German, Dutch, French, Spanish, Portuguese, Italian, Chinese and Japanese
SIDES = (
    *(("left", "right"), ("l", "r"), ("lt", "rt"), ("links", "rechts"), ("gauche", "droite"), ("gauche", "droit")),
    *(("izquierda", "derecha"), ("izquierdo", "derecho"), ("izq", "der"), ("esquerda", "direita")),
    *(("esquerdo", "direito"), ("sinistra", "destra"), ("sinistro", "destro"), ("左", "右")),
)
LEFT, RIGHT = map(set, zip(*SIDES))
COCO_SIGMAS = dict(nose=0.026, eye=0.025, ear=0.035, shoulder=0.079, elbow=0.072, wrist=0.062)
COCO_SIGMAS.update(hip=0.107, knee=0.087, ankle=0.089)
DEFAULT_SIGMA = 0.05
UPPER = {"nose", "eye", "ear", "mouth", "chin", "head", "neck", "shoulder", "elbow", "wrist", "hand", "thorax", "chest"}
LOWER = {"pelvis", "hip", "thigh", "knee", "ankle", "shin", "leg", "foot", "heel", "toe"}


class Keypoint(NamedTuple):
    """What is known about a keypoint."""

    name: str
    swap: str  # name of the keypoint on the other side, or ""
    half: str  # "upper", "lower", or "" if the name does not tell
    sigma: float  # for OKS: the standard deviation of an annotator relative to the square root of the area
    known_sigma: bool  # whether it is that of COCO's keypoint of this name
    doubt: str  # why the flip pair is uncertain, or ""

    @property
    def side(self) -> str:
        """``"left"``, ``"right"`` or ``""`` for a keypoint of a flip pair."""
        words = {*_words(self.name)} if self.swap else set()
        return "left" if words & LEFT else "right" if words & RIGHT else ""


def infer_keypoints(names: Sequence[str], flip_indices: Sequence[int] | None = None) -> list[Keypoint]:
    """Infer what a data set needs from the K names of its keypoints, and from the indices of partners if it has them.

    A flip pair are two names that differ only in the words for left and right: ``left_eye`` and ``right_eye``, ``lEye``
    and ``rEye``, ``eye_L`` and ``eye_R``. A letter that is no word of its own, as in ``leye``, makes an uncertain pair.
    Names that differ only in numbers tell nothing.
    """
    index = {_words(name): number for number, name in enumerate(names)}
    numbered = len(names) > 1 and len({tuple(filter(str.isalpha, words)) for words in index}) == 1
    keypoints = []
    for number, name in enumerate(names):
        words = _words(name)
        if flip_indices is not None:
            partner, doubt = flip_indices[number], ""
        elif numbered:
            partner, doubt = number, "the keypoint has no name, only a number"
        else:
            partner, doubt = _find_partner(words, number, index)
        part = _body_part(words, partner != number)
        sigma = COCO_SIGMAS.get("_".join(part))
        half = "upper" if UPPER.intersection(part) else "lower" if LOWER.intersection(part) else ""
        swap = names[partner] if partner != number else ""
        keypoints.append(Keypoint(name, swap, half, sigma or DEFAULT_SIGMA, sigma is not None, doubt))
    return keypoints


def lower_words(name: str) -> str:
    """A name in lower case, with ``_`` between the words of camelCase."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _words(name: str) -> tuple[str, ...]:
    """Words and numbers of a name in lower case; ``lEye``, ``LEye`` and ``l_eye`` have the same."""
    return tuple(re.findall(r"\d+|[^\W\d_]+", lower_words(name)))


def _find_partner(words: tuple[str, ...], number: int, index: dict[tuple[str, ...], int]) -> tuple[int, str]:
    """The index of the keypoint on the other side, or its own; and why it is uncertain."""
    if index[words] != number:
        return number, "another keypoint has the same words in its name"
    for candidate, is_word in _other_sides(words):
        if index.get(candidate, number) != number:
            return index[candidate], "" if is_word else "the pair is inferred from one letter"
    sides = (LEFT | RIGHT).intersection(words)
    return number, f"the name has '{min(sides)}', but there is no keypoint on the other side" if sides else ""


def _other_sides(words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Names with the sides exchanged, first words, then the start or the end of a word; and if it is no mere letter."""
    for left, right in SIDES:
        yield tuple({left: right, right: left}.get(word, word) for word in words), True
    for pair in sorted(SIDES, key=lambda pair: -len(pair[0])):
        for side, other in (pair, pair[::-1]):
            for place, word in enumerate(words):
                exchanged = (re.sub(f"^{side}", other, word), re.sub(f"{side}$", other, word))
                for part in exchanged:
                    yield (*words[:place], part, *words[place + 1 :]), len(side) > 2 or not side.isascii()


def _body_part(words: tuple[str, ...], has_partner: bool) -> tuple[str, ...]:
    """The words without those for a side; of a pair also without a side that is a part of a word."""
    part = [word for word in words if word not in LEFT | RIGHT]
    if has_partner and len(part) == len(words):
        for place, word in enumerate(part):
            shorter = {short for side in LEFT | RIGHT for short in (word.removeprefix(side), word.removesuffix(side))}
            part[place] = min((UPPER | LOWER) & shorter, default=word)
    return tuple(part)
