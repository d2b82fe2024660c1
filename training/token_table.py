"""Compute the static encoder's token table: what each vocabulary token means to MiniLM on its own, in few dimensions.

Each token is run as the sentence `[CLS] token [SEP]` and mean pooled. Principal components, found under the frequencies that
tokens have in text, reduce the vectors; each row is then scaled by a rarity weight, so that a plain sum over a prompt's
tokens is already a weighted mean. README.md says what else was tried and how it scored.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bert_numpy import HIDDEN, BertNumpy, load_weights
from fetch import CACHE, WEIGHTS_SHA256, Source

CLS, SEP = 101, 102
SPECIAL_TOKENS = (0, 100, 101, 102, 103)
"""[PAD], [UNK], [CLS], [SEP], [MASK]: they carry no meaning of the prompt and weigh nothing."""
_UNUSED = slice(0, 999)
"""Reserved entries of the vocabulary that no text ever yields, special tokens among them."""
_ASCII = slice(999, 1067)
"""The single characters of ASCII, sorted by code point: punctuation, digits, letters."""
_FIRST_WORD = 1996
"""Entries from here ("the") on are sorted by frequency; up to here follow the single characters of all other scripts."""
_BATCH = 512


@dataclass(frozen=True)
class Recipe:
    """The tuned choices of the table.

    `rarity` is the `a` of smooth inverse frequency: a token of frequency p weighs a / (a + p), so a large `a` weighs all
    tokens alike. `ascii_rank` and `character_rank` are the frequency ranks given to single characters, inside and outside
    ASCII, whose places in the vocabulary say nothing. Components are found with every token counted p ** `frequency_power`
    times; the first `dropped_components`, which all prompts share, are left out; each of the rest is divided by its standard
    deviation to the power `whitening`.
    """

    dimension: int = 256
    rarity: float = 4e-3
    ascii_rank: int = 30
    character_rank: int = 1000
    frequency_power: float = 0.75
    dropped_components: int = 2
    whitening: float = 0.25


def build(source: Source, recipe: Recipe) -> np.ndarray:
    """Return the weighted, unquantised token table, float64 [30522, dimension]; rows of special tokens are zero."""
    vectors = token_vectors(source)
    frequencies = token_frequencies(len(vectors), recipe)
    weights = recipe.rarity / (recipe.rarity + frequencies)
    weights[list(SPECIAL_TOKENS)] = 0.0
    counts = frequencies**recipe.frequency_power
    counts[_UNUSED] = 0.0
    return reduce(vectors, counts, recipe) * weights[:, None]


def token_vectors(source: Source, cache: Path = CACHE) -> np.ndarray:
    """Return the pooled vector of every token, float64 [30522, 384], unreduced and unweighted.

    It takes about four minutes on one core, so the result is kept in `cache` under the digest of the weights.
    """
    cached = cache / f"token_vectors-{WEIGHTS_SHA256[:16]}.npy"
    if cached.exists():
        return np.load(cached)
    weights = load_weights(source.weights)
    vocabulary = weights["embeddings.word_embeddings.weight"].shape[0]
    bert = BertNumpy(weights)
    vectors = np.empty((vocabulary, HIDDEN))
    for start in range(0, vocabulary, _BATCH):
        tokens = np.arange(start, min(start + _BATCH, vocabulary))
        ids = np.stack([np.full_like(tokens, CLS), tokens, np.full_like(tokens, SEP)], axis=1)
        vectors[tokens] = bert.hidden_states(ids, np.ones_like(ids)).mean(axis=1)
    partial = cached.with_suffix(".partial")
    with partial.open("wb") as handle:
        np.save(handle, vectors)
    partial.rename(cached)
    return vectors


def token_frequencies(vocabulary: int, recipe: Recipe) -> np.ndarray:
    """Return the assumed frequency of every token, float64 [vocabulary], summing to one: Zipf's law, 1 / (rank + 1).

    The rank of a word is its distance from the first word. Using the plain index as the rank, as is often done, would take
    "the" for a rarer token than the comma, and the comma for a rarer one than any reserved entry.
    """
    ranks = np.arange(vocabulary, dtype=np.float64) - (_FIRST_WORD - 1)
    ranks[:_FIRST_WORD] = recipe.character_rank
    ranks[_ASCII] = recipe.ascii_rank
    frequencies = 1.0 / (ranks + 1.0)
    return frequencies / frequencies.sum()


def reduce(vectors: np.ndarray, counts: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Return the vectors, centred, in the chosen principal components, float64 [v, dimension]; `counts` [v] weighs the rows.

    The sign of an eigenvector is arbitrary; each is turned so that its largest entry is positive, which keeps builds equal.
    Raises `ValueError` when the vectors do not span as many dimensions as the recipe asks for.
    """
    share = counts / counts.sum()
    centred = vectors - share @ vectors
    variances, components = np.linalg.eigh((centred * share[:, None]).T @ centred)
    first = recipe.dropped_components
    chosen = np.argsort(-variances, kind="stable")[first : first + recipe.dimension]
    if len(chosen) < recipe.dimension or variances[chosen].min() <= variances.max() * 1e-12:
        raise ValueError(f"the token vectors do not span {first} + {recipe.dimension} dimensions")
    basis = components[:, chosen]
    basis = basis * np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(recipe.dimension)])
    return centred @ basis / variances[chosen] ** (recipe.whitening / 2.0)
