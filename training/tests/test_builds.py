"""Building again gives the same digest, and the committed fixtures are what their recipe writes."""

import tempfile
import unittest
from pathlib import Path

import build_static
import build_transformer
import make_tiny
from tests.support import Encoder, built


class Rebuild(unittest.TestCase):
    """Each recipe run into an empty folder, against what is there already."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.parent = Path(folder.name)

    def test_static(self):
        self.assertEqual(build_static.build(self.parent).name, built("minilm-static-256").directory.name)

    def test_transformer(self):
        for precision in ("fp32", "int8", "fp16"):
            with self.subTest(precision=precision):
                try:
                    existing = built(f"minilm-l6-{precision}").directory.name
                except unittest.SkipTest:
                    continue
                self.assertEqual(build_transformer.build(precision, self.parent).name, existing)

    def test_tiny_fixtures(self):
        committed = sorted(path.name for path in make_tiny.FIXTURES.iterdir())
        self.assertEqual(sorted(path.name for path in make_tiny.build(self.parent)), committed)


class Tiny(unittest.TestCase):
    """What tests of the server rely on in the tiny encoders."""

    def test_they_fit_and_any_ascii_text_tokenises(self):
        size = sum(path.stat().st_size for path in make_tiny.FIXTURES.glob("*/*"))
        self.assertLess(size, 50_000)
        for directory in make_tiny.FIXTURES.iterdir():
            encoder = Encoder(directory)
            ids = encoder.ids("Xylophone_42 {quartz}; \\ ~ jinx?!")
            self.assertNotIn(1, ids)

    def test_only_the_transformer_minds_word_order(self):
        for directory in make_tiny.FIXTURES.iterdir():
            encoder = Encoder(directory)
            rows = encoder.embed_one_by_one(["what is the city", "the city is what"])
            same = abs(float(rows[0] @ rows[1]) - 1.0) < 1e-5
            self.assertEqual(same, encoder.manifest["kind"] == "static")


if __name__ == "__main__":
    unittest.main()
