"""Write an encoder directory: the unit the server loads, named by the digest of its own manifest.

A directory holds `encoder.onnx`, `tokenizer.json` and `encoder.json`. The manifest names the digest and size of the other
two, and the directory is named by the SHA-256 of the manifest's bytes, so one name pins every byte of the encoder. The
manifest is written last into a temporary sibling that is then renamed: a directory that exists is complete.
"""

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx

import fetch

SCHEMA = 1
REPOSITORY = Path(__file__).resolve().parent.parent
ENCODERS = REPOSITORY / "models" / "encoders"


@dataclass(frozen=True)
class Description:
    """What the manifest says of an encoder besides its files. `kind` is "static" or "transformer"; `precision` is "int8", "fp32" or "fp16"."""

    name: str
    kind: str
    precision: str
    dimension: int
    max_tokens: int
    add_special_tokens: bool
    license: str
    source: dict[str, str]


def minilm_source() -> dict[str, str]:
    """Return the manifest's `source` object for encoders built from the pinned checkpoint."""
    return {"package": fetch.PACKAGE, "version": fetch.VERSION, "weights_sha256": fetch.WEIGHTS_SHA256}


def canonical_tokenizer(text: str) -> bytes:
    """Return tokenizers JSON without its `truncation` and `padding` sections, as compact deterministic UTF-8.

    The server truncates and pads by itself, from the manifest's `max_tokens`; sections left in the file would silently cut
    a prompt a second time.
    """
    document = json.loads(text)
    document["truncation"] = None
    document["padding"] = None
    return (json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def write(model: onnx.ModelProto, tokenizer: bytes, description: Description, parent: Path = ENCODERS) -> Path:
    """Write the directory `parent/<digest>` and return its path; an existing directory of that name is left as it is.

    Raises `onnx.checker.ValidationError` when the graph is malformed. Nothing is left behind on failure.
    """
    onnx.checker.check_model(model, full_check=True)
    contents = {"encoder.onnx": model.SerializeToString(deterministic=True), "tokenizer.json": tokenizer}
    manifest = _manifest(description, contents)
    target = parent / hashlib.sha256(manifest).hexdigest()
    if target.exists():
        return target
    parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=parent))
    try:
        for name, data in contents.items():
            (staging / name).write_bytes(data)
        (staging / "encoder.json").write_bytes(manifest)
        staging.chmod(0o755)
        os.rename(staging, target)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return target


def find(name: str, parent: Path = ENCODERS) -> Path | None:
    """Return the directory of the encoder with this name, or None. Raises `ValueError` when two builds share the name."""
    found = [path.parent for path in sorted(parent.glob("*/encoder.json")) if json.loads(path.read_text())["name"] == name]
    if len(found) > 1:
        raise ValueError(f"{name} was built {len(found)} times: {', '.join(path.name[:12] for path in found)}; delete the stale ones")
    return found[0] if found else None


def _manifest(description: Description, contents: dict[str, bytes]) -> bytes:
    """Return the manifest's bytes: fixed key order, two-space indent, trailing newline."""
    files = [{"path": name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in contents.items()]
    document = {
        "schema": SCHEMA,
        "name": description.name,
        "kind": description.kind,
        "precision": description.precision,
        "dimension": description.dimension,
        "max_tokens": description.max_tokens,
        "add_special_tokens": description.add_special_tokens,
        "pooling": "mean",
        "license": description.license,
        "source": description.source,
        "files": files,
    }
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
