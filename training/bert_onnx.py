"""Write the transformer encoder as an ONNX graph straight from checkpoint weights, without PyTorch.

The three attention projections are one matrix product, and the score scale is folded into the query's weights. Masked
positions get a finite negative score, never minus infinity, so an all-zero mask row stays free of NaN and pools to zero.

In int8 every token's activations are rounded with a scale of their own. The usual dynamic quantisation takes one scale for
the whole batch, so padding and neighbours change a prompt's embedding (cosine down to 0.96 was seen); with a scale per
token a prompt's embedding does not depend on its company, and it is closer to fp32 and faster as well.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto

from onnx_graph import Graph, quantise_rows

Precision = Literal["fp32", "int8", "fp16"]

MASKED_SCORE = -10000.0
"""Added to the score of a masked position: exp() of it is zero in float32 and in float16, and float16 can hold it."""

WEIGHT_LEVELS = 63
"""Largest int8 weight. Seven bits, because processors without VNNI add two products of uint8 and int8 in 16 bits and saturate."""

GELU_MINIMUM = 0.17
"""No output of the activation is below minus this."""

GELU_ZERO_POINT = 32
"""The activation's outputs are rounded to 0..255 with this zero point: nearly all levels serve the positive side, which is far longer."""


def transformer(weights: Mapping[str, np.ndarray], heads: int, epsilon: float, precision: Precision) -> onnx.ModelProto:
    """Return the BERT encoder with mean pooling under the encoder contract.

    `weights` holds float32 tensors under Hugging Face names; sizes and the layer count are read from them. With "int8" the
    word table and the matrices of the layers are int8. With "fp16", meant for GPUs, the layers compute in float16, and only
    pooling and output are float32.
    """
    return _Transformer(weights, heads, epsilon, precision).build()


class _Transformer:
    """One graph being written. `_real` is the type of the layers' arithmetic outside matrix products."""

    def __init__(self, weights: Mapping[str, np.ndarray], heads: int, epsilon: float, precision: Precision):
        self._weights = weights
        self._heads = heads
        self._epsilon = epsilon
        self._precision = precision
        self._real = np.float16 if precision == "fp16" else np.float32
        self._hidden = weights["embeddings.word_embeddings.weight"].shape[1]
        self._graph = Graph()

    def build(self) -> onnx.ModelProto:
        """Append every stage in execution order and return the model."""
        graph = self._graph
        states = self._layer_norm(self._embeddings(), "embeddings.LayerNorm", "embedded")
        bias = self._score_bias()
        for index in range(len({name.split(".")[2] for name in self._weights if name.startswith("encoder.layer.")})):
            states = self._layer(states, bias, f"encoder.layer.{index}")
        if self._precision == "fp16":
            states = graph.add("Cast", [states], "states_float", to=TensorProto.FLOAT)
        return graph.encoder(graph.mask(), states, self._hidden)

    def _embeddings(self) -> str:
        """Append the sum of word, position and type embeddings [n, t, hidden]; type 0 is folded into the positions, as no caller sends pairs."""
        graph = self._graph
        words = self._weights["embeddings.word_embeddings.weight"].astype(self._real)
        rows, scales = quantise_rows(words) if self._precision == "int8" else (words, None)
        table = graph.constant("words", rows)
        positions = self._weights["embeddings.position_embeddings.weight"] + self._weights["embeddings.token_type_embeddings.weight"][0]
        length = graph.add("Shape", ["input_ids"], "length", start=1, end=2)
        position_table = graph.constant("positions", positions.astype(self._real))
        position = graph.add("Slice", [position_table, graph.axes(0), length, graph.axes(0)], "position_rows")
        word = graph.add("Gather", [table, "input_ids"], "word_rows")
        if scales is not None:
            scale = graph.add("Gather", [graph.constant("word_scales", scales[:, None]), "input_ids"], "word_scale_rows")
            word = graph.add("Mul", [graph.add("Cast", [word], "word_rows_float", to=TensorProto.FLOAT), scale], "word_rows_scaled")
        return graph.add("Add", [word, position], "embedding_sum")

    def _score_bias(self) -> str:
        """Append the additive attention bias [n, 1, 1, t]: zero where the mask is one, `MASKED_SCORE` where it is zero."""
        graph = self._graph
        inverse = graph.add("Sub", [graph.constant("one", np.array(1.0, np.float32)), graph.mask()], "mask_inverse")
        scores = graph.add("Mul", [inverse, graph.constant("masked_score", np.array(MASKED_SCORE, np.float32))], "mask_scores")
        if self._precision == "fp16":
            scores = graph.add("Cast", [scores], "mask_scores_half", to=TensorProto.FLOAT16)
        return graph.add("Unsqueeze", [scores, graph.axes(1, 2)], "score_bias")

    def _layer(self, states: str, bias: str, prefix: str) -> str:
        """Append one post-norm transformer layer and return the name of its output [n, t, hidden]."""
        graph = self._graph
        attended = self._dense(self._attention(states, bias, prefix), f"{prefix}.attention.output.dense")
        residual = graph.add("Add", [attended, states], f"{prefix}.attention.residual")
        states = self._layer_norm(residual, f"{prefix}.attention.output.LayerNorm", f"{prefix}.attention.normalised")
        inner = self._dense(states, f"{prefix}.intermediate.dense")
        inner = graph.add("Gelu", [inner], f"{prefix}.intermediate.activated")
        residual = graph.add("Add", [self._dense(inner, f"{prefix}.output.dense", after_gelu=True), states], f"{prefix}.residual")
        return self._layer_norm(residual, f"{prefix}.output.LayerNorm", f"{prefix}.normalised")

    def _attention(self, states: str, bias: str, prefix: str) -> str:
        """Append multi-head attention before its output projection and return the context's name [n, t, hidden]."""
        graph = self._graph
        scale = 1.0 / np.sqrt(self._hidden // self._heads)
        parts = {name: (self._weights[f"{prefix}.attention.self.{name}.weight"], self._weights[f"{prefix}.attention.self.{name}.bias"])
                 for name in ("query", "key", "value")}
        parts["query"] = (parts["query"][0] * scale, parts["query"][1] * scale)
        matrix = np.concatenate([weight.T for weight, _ in parts.values()], axis=1)
        shift = np.concatenate([value for _, value in parts.values()])
        joined = self._affine(states, matrix, shift, f"{prefix}.attention.qkv")
        split_shape = graph.constant("split_shape", np.array([0, 0, 3, self._heads, self._hidden // self._heads], np.int64))
        split = graph.add("Reshape", [joined, split_shape], f"{prefix}.attention.split")
        query, key, value = (self._head(split, index, name, prefix) for index, name in enumerate(parts))
        scores = graph.add("Add", [graph.add("MatMul", [query, key], f"{prefix}.attention.scores"), bias], f"{prefix}.attention.masked")
        shares = graph.add("Softmax", [scores], f"{prefix}.attention.shares", axis=-1)
        context = graph.add("Transpose", [graph.add("MatMul", [shares, value], f"{prefix}.attention.context")],
                            f"{prefix}.attention.context_rows", perm=[0, 2, 1, 3])
        flat = graph.constant("flat_shape", np.array([0, 0, self._hidden], np.int64))
        return graph.add("Reshape", [context, flat], f"{prefix}.attention.context_flat")

    def _head(self, split: str, index: int, name: str, prefix: str) -> str:
        """Take one of query, key and value out of [n, t, 3, heads, size]: [n, heads, t, size], the key as [n, heads, size, t]."""
        part = self._graph.add("Gather", [split, self._graph.constant(f"part_{index}", np.array(index, np.int64))],
                               f"{prefix}.attention.{name}_rows", axis=2)
        order = [0, 2, 3, 1] if name == "key" else [0, 2, 1, 3]
        return self._graph.add("Transpose", [part], f"{prefix}.attention.{name}", perm=order)

    def _dense(self, source: str, name: str, after_gelu: bool = False) -> str:
        """Append the affine map `name`; the checkpoint stores its weight as [out, in]."""
        return self._affine(source, self._weights[f"{name}.weight"].T, self._weights[f"{name}.bias"], name, after_gelu)

    def _affine(self, source: str, matrix: np.ndarray, shift: np.ndarray, name: str, after_gelu: bool = False) -> str:
        """Append `source @ matrix + shift`; `after_gelu` says that the source is the activation's output."""
        graph = self._graph
        if self._precision == "int8":
            product = self._rounded_product(source, matrix, name, after_gelu)
        else:
            product = graph.add("MatMul", [source, graph.constant(f"{name}.matrix", matrix.astype(self._real))], f"{name}.product")
        return graph.add("Add", [product, graph.constant(f"{name}.shift", shift.astype(self._real))], f"{name}.sum")

    def _rounded_product(self, source: str, matrix: np.ndarray, name: str, after_gelu: bool) -> str:
        """Append `source @ matrix` in integers: uint8 activations with a scale per token, int8 weights with a scale per output."""
        graph = self._graph
        if after_gelu:
            zero_point, largest = GELU_ZERO_POINT, source
            floor = graph.constant("gelu_floor", np.array([GELU_MINIMUM / GELU_ZERO_POINT], np.float32))
        else:
            zero_point, largest = 128, graph.add("Abs", [source], f"{name}.magnitude")
            floor = graph.constant("scale_floor", np.array([1e-12], np.float32))
        span = graph.constant(f"span_{zero_point}", np.array([1.0 / (255 - zero_point)], np.float32))
        peak = graph.add("ReduceMax", [largest, graph.axes(-1)], f"{name}.peak", keepdims=1)
        scale = graph.add("Max", [graph.add("Mul", [peak, span], f"{name}.scale_raw"), floor], f"{name}.scale")
        unit = graph.constant("unit", np.array(1.0, np.float32))
        zero = graph.constant(f"zero_{zero_point}", np.array(zero_point, np.uint8))
        rounded = graph.add("QuantizeLinear", [graph.add("Div", [source, scale], f"{name}.scaled"), unit, zero], f"{name}.rounded")
        columns, column_scales = quantise_rows(matrix.T, WEIGHT_LEVELS)
        total = graph.add("MatMulInteger", [rounded, graph.constant(f"{name}.matrix", columns.T), zero], f"{name}.total")
        total = graph.add("Cast", [total], f"{name}.total_float", to=TensorProto.FLOAT)
        total = graph.add("Mul", [total, scale], f"{name}.total_scaled")
        return graph.add("Mul", [total, graph.constant(f"{name}.matrix_scale", column_scales)], f"{name}.product")

    def _layer_norm(self, source: str, name: str, output: str) -> str:
        """Append a layer normalisation over the last axis."""
        graph = self._graph
        gain = graph.constant(f"{name}.gain", self._weights[f"{name}.weight"].astype(self._real))
        shift = graph.constant(f"{name}.shift", self._weights[f"{name}.bias"].astype(self._real))
        return graph.add("LayerNormalization", [source, gain, shift], output, axis=-1, epsilon=self._epsilon)
