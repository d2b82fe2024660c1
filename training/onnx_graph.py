"""A small builder for ONNX graphs that honour the encoder contract, shared by every encoder.

Contract: inputs `input_ids` and `attention_mask`, int64 [n, t]; output `embedding`, float32 [n, d], with L2-normalised rows.
A row whose mask is all zero gives a zero row, never NaN. Operators are standard ONNX at opset 20, readable by ONNX Runtime
1.20 and later.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
IR_VERSION = 9


def quantise_rows(table: np.ndarray, levels: int = 127) -> tuple[np.ndarray, np.ndarray]:
    """Return int8 rows [v, d] within plus and minus `levels` and float32 scales [v] such that `row * scale` is close to the table.

    A zero row has scale zero.
    """
    scales = (np.abs(table).max(axis=1) / levels).astype(np.float32)
    safe = np.where(scales > 0, scales, 1.0).astype(np.float64)
    return np.clip(np.rint(table / safe[:, None]), -levels, levels).astype(np.int8), scales


class Graph:
    """An ONNX graph under construction: named constants, and nodes in execution order."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, np.ndarray] = {}

    def constant(self, name: str, value: np.ndarray) -> str:
        """Register an initialiser and return its name; a name registered before keeps its first value."""
        self._constants.setdefault(name, np.asarray(value, order="C"))
        return name

    def axes(self, *axes: int) -> str:
        """Return the name of a constant int64 list of axes."""
        return self.constant("axes_" + "_".join(map(str, axes)), np.array(axes, np.int64))

    def add(self, operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        """Append a node with one output and return the output's name."""
        self._nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def mask(self) -> str:
        """Return the attention mask as float32 [n, t]; append the cast the first time."""
        if not any("mask" in node.output for node in self._nodes):
            self.add("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
        return "mask"

    def encoder(self, weights: str, vectors: str, dimension: int) -> onnx.ModelProto:
        """Finish the graph: `embedding` is the normalised sum over t of `weights` [n, t] times `vectors` [n, t, dimension], float32.

        Dividing by the sum of the weights would cancel in the normalisation, so the mean itself is never formed. The floor
        under the norm turns an all-zero row into zeros instead of NaN.
        """
        row = self.add("Unsqueeze", [weights, self.axes(1)], "pool_row")
        summed = self.add("Squeeze", [self.add("MatMul", [row, vectors], "pool_product"), self.axes(1)], "pool_sum")
        norm = self.add("ReduceL2", [summed, self.axes(1)], "pool_norm", keepdims=1)
        floor = self.constant("norm_floor", np.array([1e-12], np.float32))
        self.add("Div", [summed, self.add("Max", [norm, floor], "pool_norm_floored")], "embedding")
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"]) for name in ("input_ids", "attention_mask")]
        outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", dimension])]
        constants = [numpy_helper.from_array(value, name) for name, value in self._constants.items()]
        graph = helper.make_graph(self._nodes, "encoder", inputs, outputs, constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="trimtab")
