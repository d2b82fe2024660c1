"""Build the static encoder: a token table, a gather and a masked weighted mean, as one ONNX graph of about 8 MB.

Run `python build_static.py`; it prints the directory it wrote. Attention-free, so cost is linear in tokens.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # A fixed summation order, so that rebuilding gives the same bytes.

from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import onnx  # noqa: E402
from onnx import TensorProto  # noqa: E402

import encoder_dir  # noqa: E402
import token_table  # noqa: E402
from fetch import fetch  # noqa: E402
from onnx_graph import Graph, quantise_rows  # noqa: E402

MAX_TOKENS = 512


def static_graph(rows: np.ndarray, scales: np.ndarray) -> onnx.ModelProto:
    """Return the encoder graph over int8 rows [v, d] and float32 scales [v].

    Only the gathered rows are widened to float32, and the scales enter as the left operand of the pooling product, so no
    scaled copy of the rows is ever formed. Standard operators only.
    """
    graph = Graph()
    scale = graph.add("Gather", [graph.constant("scales", scales), "input_ids"], "token_scales")
    weights = graph.add("Mul", [scale, graph.mask()], "pool_weights")
    gathered = graph.add("Gather", [graph.constant("rows", rows), "input_ids"], "token_rows")
    vectors = graph.add("Cast", [gathered], "token_vectors", to=TensorProto.FLOAT)
    return graph.encoder(weights, vectors, rows.shape[1])


def build(parent: Path = encoder_dir.ENCODERS) -> Path:
    """Build the static encoder with the tuned recipe under `parent` and return its directory."""
    source = fetch()
    recipe = token_table.Recipe()
    rows, scales = quantise_rows(token_table.build(source, recipe))
    description = encoder_dir.Description(
        name=f"minilm-static-{recipe.dimension}",
        kind="static",
        precision="int8",
        dimension=recipe.dimension,
        max_tokens=MAX_TOKENS,
        add_special_tokens=False,
        license="Apache-2.0",
        source=encoder_dir.minilm_source(),
    )
    tokenizer = encoder_dir.canonical_tokenizer(source.tokenizer.read_text(encoding="utf-8"))
    return encoder_dir.write(static_graph(rows, scales), tokenizer, description, parent)


if __name__ == "__main__":
    print(build())
