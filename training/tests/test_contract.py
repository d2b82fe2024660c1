"""Every encoder directory keeps the contract that the server relies on, whatever the encoder."""

import hashlib
import json
import unittest

import numpy as np

import encoder_dir
import make_tiny
from tests.support import Encoder, cosines

KEYS = ["schema", "name", "kind", "precision", "dimension", "max_tokens", "add_special_tokens", "pooling", "license", "source", "files"]


def directories():
    """Return all encoder directories, built ones and test fixtures."""
    return sorted(path.parent for parent in (encoder_dir.ENCODERS, make_tiny.FIXTURES) for path in parent.glob("*/encoder.json"))


class Contract(unittest.TestCase):
    """Files, manifest, graph signature and edge cases of each directory."""

    def test_there_is_something_to_check(self):
        self.assertGreaterEqual(len(directories()), 2)

    def test_the_name_pins_the_manifest_and_the_manifest_pins_the_files(self):
        for directory in directories():
            with self.subTest(directory=directory.name[:12]):
                data = (directory / "encoder.json").read_bytes()
                self.assertEqual(hashlib.sha256(data).hexdigest(), directory.name)
                manifest = json.loads(data)
                self.assertEqual(list(manifest), KEYS)
                self.assertEqual(manifest["schema"], encoder_dir.SCHEMA)
                self.assertEqual([entry["path"] for entry in manifest["files"]], ["encoder.onnx", "tokenizer.json"])
                for entry in manifest["files"]:
                    content = (directory / entry["path"]).read_bytes()
                    self.assertEqual(hashlib.sha256(content).hexdigest(), entry["sha256"])
                    self.assertEqual(len(content), entry["bytes"])
                self.assertEqual({path.name for path in directory.iterdir()}, {"encoder.json", "encoder.onnx", "tokenizer.json"})

    def test_the_tokenizer_neither_truncates_nor_pads(self):
        for directory in directories():
            document = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
            self.assertIsNone(document["truncation"])
            self.assertIsNone(document["padding"])

    def test_graph_signature(self):
        for directory in directories():
            with self.subTest(directory=directory.name[:12]):
                encoder = Encoder(directory)
                inputs = [(item.name, item.type, item.shape) for item in encoder.session.get_inputs()]
                self.assertEqual(inputs, [(name, "tensor(int64)", ["n", "t"]) for name in ("input_ids", "attention_mask")])
                outputs = [(item.name, item.type, item.shape) for item in encoder.session.get_outputs()]
                self.assertEqual(outputs, [("embedding", "tensor(float)", ["n", encoder.manifest["dimension"]])])

    def test_rows_are_unit_and_company_changes_nothing(self):
        prompts = ["Write a short poem about the sea.", "ok", "What is 12 times 31, and why does the order not matter?"]
        for directory in directories():
            encoder = Encoder(directory)
            with self.subTest(encoder=encoder.manifest["name"]):
                alone = encoder.embed_one_by_one(prompts)
                together = encoder.run([encoder.ids(prompt) for prompt in prompts])
                np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1.0, atol=1e-5)
                self.assertGreaterEqual(cosines(alone, together).min(), 0.9999)

    def test_an_all_zero_mask_gives_a_zero_row(self):
        for directory in directories():
            encoder = Encoder(directory)
            with self.subTest(encoder=encoder.manifest["name"]):
                ids = np.full((2, 5), 7, np.int64)
                mask = np.array([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], np.int64)
                rows = encoder.session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
                self.assertEqual(np.abs(rows[1]).max(), 0.0)
                self.assertFalse(np.isnan(rows).any())

    def test_the_longest_row_runs(self):
        for directory in directories():
            encoder = Encoder(directory)
            with self.subTest(encoder=encoder.manifest["name"]):
                ids = encoder.ids("why " * 2000)
                self.assertEqual(len(ids), encoder.manifest["max_tokens"])
                self.assertEqual(encoder.run([ids]).shape, (1, encoder.manifest["dimension"]))


if __name__ == "__main__":
    unittest.main()
