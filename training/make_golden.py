"""Recompute `golden/encoders.jsonl`: what the reference implementations say of the golden prompts.

The transformer's reference is the published model run by sentence-transformers and PyTorch, which share no code with the
graph writer. The static encoder's is the unquantised token table summed in NumPy. Run it in an environment made from
`requirements-golden.txt`, and only when prompts or recipes change; tests read the committed file.

One line per prompt: `prompt`, and under `encoders` per encoder name: `tokens`, the count fed to the encoder after truncation;
`token_ids`, the first 32 of them; `embedding`, its first 8 numbers; `norm`, of the whole row.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import json  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

import token_table  # noqa: E402
from fetch import fetch  # noqa: E402
from golden_prompts import PROMPTS  # noqa: E402

GOLDEN = Path(__file__).resolve().parent / "golden" / "encoders.jsonl"
SHOWN_TOKENS, SHOWN_NUMBERS = 32, 8
STATIC_NAME, STATIC_TOKENS = "minilm-static-256", 512
TRANSFORMER_NAMES, TRANSFORMER_TOKENS = ("minilm-l6-fp32", "minilm-l6-int8", "minilm-l6-fp16"), 256


def entry(ids: list[int], embedding: np.ndarray) -> dict:
    """Return one encoder's part of a golden line."""
    return {
        "tokens": len(ids),
        "token_ids": ids[:SHOWN_TOKENS],
        "embedding": [round(float(value), 7) for value in embedding[:SHOWN_NUMBERS]],
        "norm": round(float(np.linalg.norm(embedding)), 6),
    }


def main() -> None:
    """Compute every line and replace the file."""
    source = fetch()
    tokenizer = Tokenizer.from_file(str(source.tokenizer))
    tokenizer.no_padding()
    model = SentenceTransformer(str(source.folder), device="cpu")
    table = token_table.build(source, token_table.Recipe())
    lines = []
    for prompt in PROMPTS:
        tokenizer.no_truncation()
        bare = tokenizer.encode(prompt, add_special_tokens=False).ids[:STATIC_TOKENS]
        summed = table[bare].sum(axis=0) if bare else np.zeros(table.shape[1])
        static = entry(bare, summed / max(np.linalg.norm(summed), 1e-12))
        tokenizer.enable_truncation(TRANSFORMER_TOKENS)
        framed = tokenizer.encode(prompt).ids
        if model.preprocess([prompt])["input_ids"][0].tolist() != framed:
            raise SystemExit(f"sentence-transformers tokenises {prompt[:40]!r} in another way; find out why before going on")
        transformer = entry(framed, model.encode([prompt])[0])
        lines.append({"prompt": prompt, "encoders": {STATIC_NAME: static} | dict.fromkeys(TRANSFORMER_NAMES, transformer)})
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
