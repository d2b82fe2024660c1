"""all-MiniLM-L6-v2 in plain NumPy, in double precision: the oracle of the parity tests and the source of the token table.

It shares no code with the ONNX graph writer, so a mistake in either shows as a difference between the two. Double precision
is deliberate: the token table is rounded to int8 afterwards, and 1e-13 of noise between processors then practically never
changes a stored byte, which is what makes the static encoder's digest reproducible on another machine.
"""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from scipy.special import erf

LAYERS = 6
HEADS = 12
HIDDEN = 384
INTERMEDIATE = 1536
LAYER_NORM_EPSILON = 1e-12
MAX_POSITIONS = 512


def load_weights(path: Path) -> dict[str, np.ndarray]:
    """Return the checkpoint's float32 tensors by their Hugging Face names."""
    return load_file(str(path))


class BertNumpy:
    """The encoder stack of the checkpoint. Every method takes and returns float64 arrays."""

    def __init__(self, weights: dict[str, np.ndarray]):
        self._weights = {name: value.astype(np.float64) for name, value in weights.items() if value.dtype == np.float32}

    def hidden_states(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Return the last layer's token vectors, float64 [n, t, 384], for int64 [n, t] ids and mask."""
        weights = self._weights
        length = input_ids.shape[1]
        states = weights["embeddings.word_embeddings.weight"][input_ids]
        states = states + weights["embeddings.position_embeddings.weight"][:length] + weights["embeddings.token_type_embeddings.weight"][0]
        states = self._layer_norm(states, "embeddings.LayerNorm")
        bias = np.where(attention_mask[:, None, None, :] > 0, 0.0, -1e9)
        for layer in range(LAYERS):
            states = self._layer(states, bias, f"encoder.layer.{layer}")
        return states

    def embed(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Return mean-pooled, L2-normalised rows, float64 [n, 384]; a row whose mask is all zero is zero."""
        mask = attention_mask.astype(np.float64)
        summed = np.einsum("nt,ntd->nd", mask, self.hidden_states(input_ids, attention_mask))
        norms = np.linalg.norm(summed, axis=1, keepdims=True)
        return summed / np.maximum(norms, 1e-12)

    def _layer(self, states: np.ndarray, bias: np.ndarray, prefix: str) -> np.ndarray:
        """Apply one post-norm transformer layer; `bias` is added to the attention scores, [n, 1, 1, t]."""
        count, length, _ = states.shape

        def heads(name: str) -> np.ndarray:
            projected = self._dense(states, f"{prefix}.attention.self.{name}")
            return projected.reshape(count, length, HEADS, HIDDEN // HEADS).transpose(0, 2, 1, 3)

        scores = heads("query") @ heads("key").transpose(0, 1, 3, 2) / np.sqrt(HIDDEN // HEADS) + bias
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        context = (scores @ heads("value")).transpose(0, 2, 1, 3).reshape(count, length, HIDDEN)
        attended = self._dense(context, f"{prefix}.attention.output.dense")
        states = self._layer_norm(states + attended, f"{prefix}.attention.output.LayerNorm")
        inner = self._dense(states, f"{prefix}.intermediate.dense")
        inner = inner * 0.5 * (1.0 + erf(inner / np.sqrt(2.0)))
        return self._layer_norm(states + self._dense(inner, f"{prefix}.output.dense"), f"{prefix}.output.LayerNorm")

    def _dense(self, states: np.ndarray, name: str) -> np.ndarray:
        """Apply the affine map `name`; the checkpoint stores weights as [out, in]."""
        return states @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _layer_norm(self, states: np.ndarray, name: str) -> np.ndarray:
        """Normalise the last axis to mean 0 and variance 1, then scale and shift."""
        centred = states - states.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + LAYER_NORM_EPSILON)
        return centred / scale * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
