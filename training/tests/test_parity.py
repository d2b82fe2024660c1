"""Built encoders agree with their references: PyTorch through the golden file, NumPy through independent code."""

import unittest

import numpy as np

import token_table
from bert_numpy import BertNumpy, load_weights
from fetch import fetch
from golden_prompts import PROMPTS
from tests.support import built, cosines, golden

STATIC, FP32, INT8, FP16 = "minilm-static-256", "minilm-l6-fp32", "minilm-l6-int8", "minilm-l6-fp16"
FED = [prompt for prompt in PROMPTS if prompt.strip()]
"""Prompts with at least one token; the server answers the others without running an encoder."""


class Golden(unittest.TestCase):
    """Every encoder against the first numbers of its reference, component by component."""

    def check(self, name: str, tolerance: float) -> None:
        encoder = built(name)
        for prompt, expected in golden(name):
            with self.subTest(encoder=name, prompt=prompt[:40]):
                ids = encoder.ids(prompt)
                self.assertEqual(len(ids), expected["tokens"])
                self.assertEqual(ids[:32], expected["token_ids"])
                if not ids:
                    self.assertEqual(expected["norm"], 0.0)
                    continue
                row = encoder.run([ids])[0]
                self.assertAlmostEqual(float(np.linalg.norm(row)), expected["norm"], delta=1e-5)
                self.assertLessEqual(np.abs(row[: len(expected["embedding"])] - expected["embedding"]).max(), tolerance)

    def test_fp32_matches_sentence_transformers(self):
        self.check(FP32, 1e-4)

    def test_fp16_matches_sentence_transformers(self):
        self.check(FP16, 5e-3)

    def test_int8_matches_sentence_transformers(self):
        self.check(INT8, 5e-2)

    def test_static_matches_the_unquantised_table(self):
        self.check(STATIC, 5e-3)

    def test_golden_prompts_are_the_committed_ones(self):
        self.assertEqual([prompt for prompt, _ in golden(FP32)], list(PROMPTS))


class Oracle(unittest.TestCase):
    """Whole embeddings against independent NumPy code, and precisions against each other."""

    def test_fp32_matches_numpy(self):
        encoder = built(FP32)
        oracle = BertNumpy(load_weights(fetch().weights))
        rows = [np.array([encoder.ids(prompt)]) for prompt in FED]
        expected = np.concatenate([oracle.embed(row, np.ones_like(row)) for row in rows])
        found = encoder.embed_one_by_one(FED)
        self.assertLessEqual(np.abs(found - expected).max(), 1e-4)
        self.assertGreaterEqual(cosines(found, expected).min(), 0.9999)

    def test_int8_stays_close_to_fp32(self):
        agreement = cosines(built(INT8).embed_one_by_one(FED), built(FP32).embed_one_by_one(FED))
        self.assertGreaterEqual(agreement.mean(), 0.99)
        self.assertGreaterEqual(agreement.min(), 0.97)

    def test_fp16_stays_close_to_fp32(self):
        agreement = cosines(built(FP16).embed_one_by_one(FED), built(FP32).embed_one_by_one(FED))
        self.assertGreaterEqual(agreement.min(), 0.9995)

    def test_static_int8_stays_close_to_the_unquantised_table(self):
        encoder = built(STATIC)
        table = token_table.build(fetch(), token_table.Recipe())
        expected = np.stack([table[encoder.ids(prompt)].sum(axis=0) for prompt in FED])
        agreement = cosines(encoder.embed_one_by_one(FED), expected)
        self.assertGreaterEqual(agreement.min(), 0.999)


if __name__ == "__main__":
    unittest.main()
