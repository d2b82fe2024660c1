"""Build two tiny encoders for tests: the real contract and directory format, a vocabulary of a few hundred pieces, no download.

Run `python make_tiny.py`; it prints both directories, written under `tests/fixtures/encoders/`. Numbers are drawn from a
seeded integer generator and mean nothing; what tests may rely on is that equal text gives equal rows, that word order
matters to the transformer and not to the static encoder, and that padding changes neither.
"""

import hashlib
import json
import string
from pathlib import Path

import numpy as np

import encoder_dir
from bert_onnx import transformer
from build_static import static_graph
from onnx_graph import quantise_rows

FIXTURES = encoder_dir.REPOSITORY / "tests" / "fixtures" / "encoders"
STATIC_DIMENSION, STATIC_TOKENS, TRANSFORMER_DIMENSION = 16, 128, 8
HEADS, INTERMEDIATE, LAYERS, POSITIONS = 2, 16, 1, 64
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (
    "the of and to in is for on with as what why how who when where write explain prove translate summarise solve code "
    "function python rust class return print list sort test email story poem question answer number sum equation integral "
    "train city capital country language english german french short long simple please give me a an it this that not be "
    "are was can you my your from by one two three four five ten first last and or if then else while"
).split()
SUFFIXES = ("s", "ed", "ing", "er", "ly", "tion", "able", "ness", "al", "y", "est", "ment")


def vocabulary() -> list[str]:
    """Return the pieces in index order: special tokens, single characters, their continuations, words, suffixes."""
    characters = string.ascii_lowercase + string.digits + string.punctuation
    pieces = [*SPECIAL_TOKENS, *characters, *(f"##{c}" for c in string.ascii_lowercase + string.digits), *WORDS,
              *(f"##{suffix}" for suffix in SUFFIXES)]
    return list(dict.fromkeys(pieces))


def tokenizer(pieces: list[str]) -> bytes:
    """Return tokenizers JSON of the same make as the real encoders': uncased BERT wordpieces with [CLS] and [SEP] around."""
    index = {piece: position for position, piece in enumerate(pieces)}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}

    def special(piece: str) -> dict:
        return {"SpecialToken": {"id": piece, "type_id": 0}}

    def sequence(name: str) -> dict:
        return {"Sequence": {"id": name, "type_id": 0}}

    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": index[piece], "content": piece, **flags} for piece in SPECIAL_TOKENS],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special("[CLS]"), sequence("A"), special("[SEP]")],
            "pair": [special("[CLS]"), sequence("A"), special("[SEP]"), sequence("B"), special("[SEP]")],
            "special_tokens": {piece: {"id": piece, "ids": [index[piece]], "tokens": [piece]} for piece in ("[CLS]", "[SEP]")},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": index},
    }
    return encoder_dir.canonical_tokenizer(json.dumps(document))


class _Numbers:
    """A reproducible source of small multiples of 1/64, exact in every precision, from a 64-bit linear congruence."""

    def __init__(self, seed: int):
        self._state = seed

    def array(self, *shape: int) -> np.ndarray:
        """Return float32 values in [-1, 1)."""
        values = np.empty(int(np.prod(shape)), np.float32)
        for position in range(len(values)):
            self._state = (self._state * 6364136223846793005 + 1442695040888963407) % 2**64
            values[position] = (self._state >> 57) / 64.0 - 1.0
        return values.reshape(shape)


def bert_weights(vocabulary_size: int) -> dict[str, np.ndarray]:
    """Return made-up weights, under Hugging Face names, for a BERT of one small layer."""
    numbers, hidden = _Numbers(2), TRANSFORMER_DIMENSION
    weights = {
        "embeddings.word_embeddings.weight": numbers.array(vocabulary_size, hidden),
        "embeddings.position_embeddings.weight": numbers.array(POSITIONS, hidden) / 4,
        "embeddings.token_type_embeddings.weight": numbers.array(2, hidden) / 4,
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}"
        norms += [f"{prefix}.attention.output.LayerNorm", f"{prefix}.output.LayerNorm"]
        sizes = {f"{prefix}.attention.self.{name}": (hidden, hidden) for name in ("query", "key", "value")}
        sizes |= {f"{prefix}.attention.output.dense": (hidden, hidden), f"{prefix}.intermediate.dense": (INTERMEDIATE, hidden),
                  f"{prefix}.output.dense": (hidden, INTERMEDIATE)}
        for name, shape in sizes.items():
            weights |= {f"{name}.weight": numbers.array(*shape), f"{name}.bias": numbers.array(shape[0]) / 4}
    for name in norms:
        weights |= {f"{name}.weight": np.ones(hidden, np.float32), f"{name}.bias": np.zeros(hidden, np.float32)}
    return weights


def describe(name: str, kind: str, precision: str, dimension: int, max_tokens: int, weights: list[np.ndarray]) -> encoder_dir.Description:
    """Return a manifest whose source is this recipe; its digest covers the made-up weights."""
    digest = hashlib.sha256(b"".join(value.tobytes() for value in weights)).hexdigest()
    source = {"package": "trimtab-tiny", "version": "0.1.0", "weights_sha256": digest}
    return encoder_dir.Description(name, kind, precision, dimension, max_tokens, kind == "transformer", "Apache-2.0", source)


def build(parent: Path = FIXTURES) -> tuple[Path, Path]:
    """Write the static and the transformer encoder under `parent` and return their directories."""
    pieces = vocabulary()
    text = tokenizer(pieces)
    table = _Numbers(1).array(len(pieces), STATIC_DIMENSION)
    table[: len(SPECIAL_TOKENS)] = 0.0
    static = describe("tiny-static", "static", "int8", STATIC_DIMENSION, STATIC_TOKENS, [table])
    weights = bert_weights(len(pieces))
    attentive = describe("tiny-transformer", "transformer", "fp32", TRANSFORMER_DIMENSION, POSITIONS, list(weights.values()))
    return (encoder_dir.write(static_graph(*quantise_rows(table)), text, static, parent),
            encoder_dir.write(transformer(weights, HEADS, 1e-12, "fp32"), text, attentive, parent))


if __name__ == "__main__":
    for directory in build():
        print(directory)
