"""What the tests share: built encoders by name, one-thread sessions, token ids as the server makes them, golden lines."""

import json
import unittest
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

import encoder_dir

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "encoders.jsonl"


class Encoder:
    """An encoder directory opened the way the server opens it: ids truncated by the caller, one intra-op thread."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.manifest = json.loads((directory / "encoder.json").read_text(encoding="utf-8"))
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(directory / "encoder.onnx", options, providers=["CPUExecutionProvider"])

    def ids(self, prompt: str) -> list[int]:
        """Return the token ids fed for a prompt: the body is cut first, so that [SEP] always closes the row."""
        limit = self.manifest["max_tokens"]
        if not self.manifest["add_special_tokens"]:
            return self._tokenizer.encode(prompt, add_special_tokens=False).ids[:limit]
        framed = self._tokenizer.encode(prompt).ids
        return framed if len(framed) <= limit else [*framed[: limit - 1], framed[-1]]

    def run(self, rows: list[list[int]]) -> np.ndarray:
        """Return embeddings float32 [n, d] of rows of ids, padded on the right with id 0 and mask 0 to the longest."""
        length = max(map(len, rows))
        ids, mask = np.zeros((len(rows), length), np.int64), np.zeros((len(rows), length), np.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        return self.session.run(["embedding"], {"input_ids": ids, "attention_mask": mask})[0]

    def embed_one_by_one(self, prompts: list[str]) -> np.ndarray:
        """Return embeddings float32 [n, d], each prompt in a batch of its own."""
        return np.concatenate([self.run([self.ids(prompt)]) for prompt in prompts])


@cache
def built(name: str) -> Encoder:
    """Return the built encoder of this name; skip the calling test when it has not been built."""
    directory = encoder_dir.find(name)
    if directory is None:
        raise unittest.SkipTest(f"{name} is not built; run the recipe that README.md names")
    return Encoder(directory)


def golden(name: str) -> list[tuple[str, dict]]:
    """Return (prompt, expected) for every golden line that the encoder of this name has."""
    lines = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]
    return [(line["prompt"], line["encoders"][name]) for line in lines]


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the cosine of every pair of rows in double precision; two zero rows agree fully."""
    left, right = left.astype(np.float64), right.astype(np.float64)
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    both_zero = (np.abs(left).max(axis=1) == 0) & (np.abs(right).max(axis=1) == 0)
    return np.where(both_zero, 1.0, (left * right).sum(axis=1) / np.maximum(norms, 1e-12))
