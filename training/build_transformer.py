"""Build the transformer encoder, all-MiniLM-L6-v2, in one precision.

Run `python build_transformer.py --precision fp32|int8|fp16`; it prints the directory it wrote. fp32 is the reference, int8 is
for CPUs, fp16 is for GPUs.
"""

import argparse
from pathlib import Path

import encoder_dir
from bert_numpy import HEADS, HIDDEN, LAYER_NORM_EPSILON, load_weights
from bert_onnx import Precision, transformer
from fetch import fetch

MAX_TOKENS = 256
"""The limit the model was trained and published with, special tokens included."""


def build(precision: Precision, parent: Path = encoder_dir.ENCODERS) -> Path:
    """Build the encoder in `precision` under `parent` and return its directory."""
    source = fetch()
    model = transformer(load_weights(source.weights), HEADS, LAYER_NORM_EPSILON, precision)
    description = encoder_dir.Description(
        name=f"minilm-l6-{precision}",
        kind="transformer",
        precision=precision,
        dimension=HIDDEN,
        max_tokens=MAX_TOKENS,
        add_special_tokens=True,
        license="Apache-2.0",
        source=encoder_dir.minilm_source(),
    )
    tokenizer = encoder_dir.canonical_tokenizer(source.tokenizer.read_text(encoding="utf-8"))
    return encoder_dir.write(model, tokenizer, description, parent)


def main() -> None:
    """Parse the command line, build, and print where the encoder is."""
    parser = argparse.ArgumentParser(description="Build the transformer encoder.")
    parser.add_argument("--precision", choices=("fp32", "int8", "fp16"), default="fp32")
    print(build(parser.parse_args().precision))


if __name__ == "__main__":
    main()
