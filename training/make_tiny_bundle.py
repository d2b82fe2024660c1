"""Write the tiny bundle that tests load: `tests/fixtures/bundles/tiny/`.

Run it from the repository's root after a change of the structural signals, the tasks or the bundle format:

    python training/make_tiny_bundle.py

It needs the tiny encoders under `tests/fixtures/encoders/` (see `make_tiny.py`) and the packages of `requirements-golden.txt`.
The result is the same on every run. The heads are linear and random; their success, task and difficulty outputs give the
signals no weight, so that the golden rows need no second implementation of the signals. Only `output_tokens` reads them.
"""

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import tokenizers
from onnx import TensorProto, helper, numpy_helper

REPOSITORY = Path(__file__).resolve().parent.parent
ENCODERS = REPOSITORY / "tests" / "fixtures" / "encoders"
TARGET = REPOSITORY / "tests" / "fixtures" / "bundles" / "tiny"
TIERS = ["small", "large"]
MODELS = ["tiny-small", "tiny-large"]
INDEX_DIMENSION = 8
SEED = 20261121
OPENINGS = ["What is", "Why is", "How long is", "Please explain", "Write a poem on", "Translate to german:", "Prove that", "Sort"]
SUBJECTS = ["the capital of the country", "an integral equation", "my short story", "a python function", "the sum of two numbers",
            "this list of five cities", "the last question", "simple code in rust", "an email from you", "the first train"]


def constants() -> tuple[list[str], int, int]:
    """Return the tasks, the number of signals and their version, read from the Rust sources."""
    tasks = re.findall(r'^\s+\w+ => "(\w+)",', (REPOSITORY / "src/domain/task.rs").read_text(), re.M)
    signals = (REPOSITORY / "src/domain/signals.rs").read_text()
    count = int(re.search(r"SIGNAL_NAMES: \[&str; (\d+)\]", signals).group(1))
    version = int(re.search(r"SIGNALS_VERSION: u32 = (\d+)", signals).group(1))
    return tasks, count, version


def heads(dimension: int, signals: int, tasks: int, rng: np.random.Generator) -> onnx.ModelProto:
    """Return a graph of four linear heads."""
    widths = {"task": tasks, "difficulty": 1, "success": len(TIERS) + len(MODELS), "output_tokens": 2}
    nodes, tensors, outputs = [], [], []
    for name, width in widths.items():
        weights = rng.normal(0.0, 2.0, (dimension, width)).astype(np.float32)
        bias = rng.normal(0.0, 0.3, width).astype(np.float32)
        by_signals = np.zeros((signals, width), dtype=np.float32)
        if name == "output_tokens":
            weights *= 0.1
            bias = np.array([4.0, 5.5], dtype=np.float32)
            by_signals[0] = 0.2
        tensors += [numpy_helper.from_array(weights, f"{name}_weights"), numpy_helper.from_array(bias, f"{name}_bias"),
                    numpy_helper.from_array(by_signals, f"{name}_by_signals")]
        nodes += [helper.make_node("Gemm", ["embedding", f"{name}_weights", f"{name}_bias"], [f"{name}_of_embedding"]),
                  helper.make_node("Gemm", ["signals", f"{name}_by_signals", f"{name}_of_embedding"], [name])]
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width]))
    inputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", dimension]),
              helper.make_tensor_value_info("signals", TensorProto.FLOAT, ["n", signals])]
    graph = helper.make_graph(nodes, "heads", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name="trimtab")
    onnx.checker.check_model(model, full_check=True)
    return model


class Encoder:
    """A tiny encoder as the server runs it, one text at a time."""

    def __init__(self, kind: str) -> None:
        found = [path for path in sorted(ENCODERS.iterdir()) if json.loads((path / "encoder.json").read_text())["kind"] == kind]
        self.directory = found[0]
        self.description = json.loads((self.directory / "encoder.json").read_text())
        self.tokenizer = tokenizers.Tokenizer.from_file(str(self.directory / "tokenizer.json"))
        self.session = onnxruntime.InferenceSession(self.directory / "encoder.onnx", providers=["CPUExecutionProvider"])

    def reference(self) -> dict:
        """Return the manifest's reference to this encoder."""
        return {"digest": self.directory.name, "name": self.description["name"], "dimension": self.description["dimension"]}

    def embed(self, text: str) -> tuple[int, np.ndarray]:
        """Return the number of tokens and the embedding of a text short enough to need no cutting."""
        ids = self.tokenizer.encode(text, add_special_tokens=self.description["add_special_tokens"]).ids
        batch = np.array([ids], dtype=np.int64)
        (embedding,) = self.session.run(["embedding"], {"input_ids": batch, "attention_mask": np.ones_like(batch)})
        return len(ids), embedding[0]


def calibration(heads_digest: str, index_digest: str) -> dict:
    """Return a calibration that trusts the heads and weighs neighbours."""
    identity = {"kind": "platt", "slope": 1.0, "intercept": 0.0}
    return {
        "heads": heads_digest,
        "index": index_digest,
        "success": [identity, identity, {"kind": "isotonic", "knots": [-2.0, 0.0, 2.0], "values": [0.1, 0.5, 0.9]}, identity],
        "difficulty": identity,
        "task_temperature": 1.5,
        "blend": {"k": 8, "floor": 0.0, "power": 2.0, "prior_strength": 10.0},
        "dial": [round(0.5 - point / 100, 4) for point in range(101)],
    }


def lines(rows: list) -> bytes:
    """Return JSON Lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def main() -> None:
    """Write the bundle, the manifest last."""
    tasks, signals, signals_version = constants()
    rng = np.random.default_rng(SEED)
    fast, careful = Encoder("static"), Encoder("transformer")
    fast_heads = heads(fast.description["dimension"], signals, len(tasks), rng)
    careful_heads = heads(careful.description["dimension"], signals, len(tasks), rng)
    prompts = [f"{opening} {subject}?" for opening in OPENINGS for subject in SUBJECTS]
    embedded = [fast.embed(prompt) for prompt in prompts]
    vectors = np.stack([embedding[:INDEX_DIMENSION] / np.linalg.norm(embedding[:INDEX_DIMENSION]) for _, embedding in embedded])
    items = [{"id": hashlib.sha256(prompt.encode()).hexdigest()[:16],
              "labels": [[position, float(rng.integers(0, 2))] for position in range(len(TIERS) + len(MODELS))]}
             for prompt in prompts]
    session = onnxruntime.InferenceSession(fast_heads.SerializeToString(), providers=["CPUExecutionProvider"])
    golden = []
    for prompt, (count, embedding) in list(zip(prompts, embedded))[::9]:
        inputs = {"embedding": embedding[None], "signals": np.zeros((1, signals), dtype=np.float32)}
        task, success = session.run(["task", "success"], inputs)
        golden.append({"prompt": prompt, "tokens": count, "embedding": [round(float(x), 6) for x in embedding[:8]],
                       "tier_logits": [round(float(x), 5) for x in success[0, : len(TIERS)]], "task": tasks[int(task[0].argmax())]})
    contents = {
        "heads.onnx": fast_heads.SerializeToString(deterministic=True),
        "careful-heads.onnx": careful_heads.SerializeToString(deterministic=True),
        "items.jsonl": lines(items),
        "vectors.f32": vectors.astype("<f4").tobytes(),
        "golden.jsonl": lines(golden),
        "report.json": b"{}\n",
    }
    digest = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    for prefix in ("", "careful-"):
        fitted = calibration(digest[f"{prefix}heads.onnx"], digest["vectors.f32"])
        contents[f"{prefix}calibration.json"] = json.dumps(fitted).encode() + b"\n"
    manifest = {
        "schema": 1, "id": "tiny", "parent": None, "created": "2026-11-21T00:00:00Z", "made_by": "make_tiny_bundle.py", "seed": SEED,
        "encoder": fast.reference(),
        "heads": {"path": "heads.onnx", "calibration": "calibration.json"},
        "careful": {"encoder": careful.reference(),
                    "heads": {"path": "careful-heads.onnx", "calibration": "careful-calibration.json"}},
        "signals_version": signals_version, "tasks": tasks, "tiers": TIERS, "models": MODELS,
        "index": {"items": "items.jsonl", "vectors": "vectors.f32", "graph": None, "count": len(items),
                  "dimension": INDEX_DIMENSION, "m": 8, "ef_construction": 64, "ef_search": 64},
        "files": [{"path": name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
                  for name, content in sorted(contents.items())],
        "trained_on": {"rows": len(items) * len(MODELS), "prompts": len(items), "datasets": [["tiny", len(items) * len(MODELS)]],
                       "digest": "0" * 64},
    }
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    for name, content in contents.items():
        (TARGET / name).write_bytes(content)
    (TARGET / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    print(f"{TARGET.relative_to(REPOSITORY)}: {sum(map(len, contents.values()))} bytes")


if __name__ == "__main__":
    main()
