"""Compare recipes of the static token table on outcome and task data that the user supplies; prints one line per recipe.

Run `python evaluate_static.py --outcomes FILE --tasks FILE` after building the fp32 transformer, which is the yardstick of
similarity. Files are Parquet: outcomes with `prompt_id, prompt_core, model_canon, score, dataset, fold, use, split_routellm`;
tasks with `prompt, category, split`. Only rows meant for training are read, and no prompt is written anywhere.

Columns: `rho` is Spearman's correlation of pairwise cosine with MiniLM's, `near` the share of MiniLM's 20 nearest prompts
that are also among the 20 nearest here, both on task prompts; `linear` and `knn` are the balanced accuracy of task categories,
ridge regression and 15 neighbours, five folds; `auc` is the mean area under the curve of predicting whether a model
answers correctly, by ridge regression, five folds that share no question, within each data set.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import pyarrow.parquet as parquet  # noqa: E402
import scipy.sparse as sparse  # noqa: E402
from scipy.stats import rankdata, spearmanr  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

import encoder_dir  # noqa: E402
import token_table  # noqa: E402
from build_static import MAX_TOKENS  # noqa: E402
from fetch import Source, fetch  # noqa: E402

PER_CATEGORY, SIMILARITY_SAMPLE, NEAR, NEIGHBOURS = 350, 2000, 20, 15
MODEL_ROWS, DATASET_ROWS, CLASS_ROWS = 4600, 150, 15
FOLDS = 5
RIDGES = (0.003, 0.03, 0.3, 1.0, 3.0)


@dataclass(frozen=True)
class Tasks:
    """Task prompts: token counts [n, v], category [n], fold [n], and MiniLM embeddings of the rows `sample`."""

    counts: sparse.csr_matrix
    category: np.ndarray
    fold: np.ndarray
    sample: np.ndarray
    yardstick: np.ndarray


@dataclass(frozen=True)
class Outcomes:
    """Outcome prompts: token counts [n, v], score [n, models] with NaN where unknown, data set [n] and fold [n]."""

    counts: sparse.csr_matrix
    scores: np.ndarray
    dataset: np.ndarray
    fold: np.ndarray


def log_index(source: Source) -> np.ndarray:
    """Return the table that was the starting point: plain components, weighted by the logarithm of the vocabulary index."""
    vectors = token_table.token_vectors(source)
    recipe = token_table.Recipe(dropped_components=0, whitening=0.0)
    weights = np.log(np.arange(len(vectors)) + 2.0)
    weights[list(token_table.SPECIAL_TOKENS)] = 0.0
    return token_table.reduce(vectors, np.ones(len(vectors)), recipe) * weights[:, None]


def variants() -> dict[str, Callable[[Source], np.ndarray]]:
    """Return every recipe that is compared, by the name printed for it."""
    chosen = token_table.Recipe()
    changes = {
        "chosen": {},
        "rarity 4e-2": {"rarity": 4e-2},
        "rarity 1e-3": {"rarity": 1e-3},
        "rarity 1e-4": {"rarity": 1e-4},
        "ASCII characters at rank 300": {"ascii_rank": 300},
        "other characters at rank 30": {"character_rank": 30},
        "components unweighted by frequency": {"frequency_power": 0.0},
        "components half weighted": {"frequency_power": 0.5},
        "components fully weighted": {"frequency_power": 1.0},
        "no component dropped": {"dropped_components": 0},
        "one component dropped": {"dropped_components": 1},
        "four components dropped": {"dropped_components": 4},
        "not whitened": {"whitening": 0.0},
        "fully whitened": {"whitening": 1.0},
        "128 dimensions": {"dimension": 128},
        "320 dimensions": {"dimension": 320},
        "376 dimensions": {"dimension": 376},
    }
    table = {"log of index, plain components": log_index}
    for name, change in changes.items():
        recipe = replace(chosen, **change)
        table[name] = lambda source, recipe=recipe: token_table.build(source, recipe)
    return table


def token_counts(tokenizer: Tokenizer, prompts: list[str], vocabulary: int) -> sparse.csr_matrix:
    """Return how often each token occurs among a prompt's first tokens, [n, vocabulary]."""
    ids = [encoding.ids[:MAX_TOKENS] for encoding in tokenizer.encode_batch(prompts, add_special_tokens=False)]
    ends = np.cumsum([0, *map(len, ids)])
    flat = np.concatenate([np.asarray(row, np.int64) for row in ids])
    counts = sparse.csr_matrix((np.ones(len(flat)), flat, ends), shape=(len(ids), vocabulary))
    counts.sum_duplicates()
    return counts


def load_tasks(path: str, tokenizer: Tokenizer, vocabulary: int) -> Tasks:
    """Read at most `PER_CATEGORY` training prompts of every category and embed a sample of them with MiniLM."""
    rows = parquet.read_table(path, columns=["prompt", "category"], filters=[("split", "=", "train")])
    _, category = np.unique(rows["category"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    random = np.random.default_rng(1)
    kept = np.sort(np.concatenate([random.permutation(np.flatnonzero(category == c))[:PER_CATEGORY] for c in range(category.max() + 1)]))
    prompts = [rows["prompt"][int(index)].as_py() for index in kept]
    sample = np.sort(random.permutation(len(kept))[:SIMILARITY_SAMPLE])
    fold = random.permutation(np.arange(len(kept)) % FOLDS)
    yardstick = embed_with_transformer([prompts[index] for index in sample])
    return Tasks(token_counts(tokenizer, prompts, vocabulary), category[kept], fold, sample, yardstick)


def load_outcomes(path: str, tokenizer: Tokenizer, vocabulary: int) -> Outcomes:
    """Read the training outcomes of the models with at least `MODEL_ROWS` prompts."""
    columns = ["prompt_id", "prompt_core", "model_canon", "score", "dataset", "fold"]
    rows = parquet.read_table(path, columns=columns, filters=[("use", "=", "train"), ("split_routellm", "=", "train")])
    values = {name: rows[name].to_numpy(zero_copy_only=False) for name in columns}
    _, first, prompt = np.unique(values["prompt_id"].astype(str), return_index=True, return_inverse=True)
    models, model, sizes = np.unique(values["model_canon"].astype(str), return_inverse=True, return_counts=True)
    scores = np.full((len(first), len(models)), np.nan)
    scores[prompt, model] = values["score"]
    counts = token_counts(tokenizer, list(values["prompt_core"][first]), vocabulary)
    return Outcomes(counts, scores[:, sizes >= MODEL_ROWS], values["dataset"][first].astype(str), values["fold"][first] % FOLDS)


def embed_with_transformer(prompts: list[str]) -> np.ndarray:
    """Return MiniLM embeddings [n, 384] of the prompts, from the fp32 encoder built before."""
    directory = encoder_dir.find("minilm-l6-fp32")
    if directory is None:
        raise SystemExit("build the yardstick first: python build_transformer.py --precision fp32")
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(directory / "encoder.onnx", options, providers=["CPUExecutionProvider"])
    rows = []
    for prompt in prompts:
        ids = np.array([tokenizer.encode(prompt).ids], np.int64)
        rows.append(session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0])
    return np.array(rows)


def embed(counts: sparse.csr_matrix, table: np.ndarray) -> np.ndarray:
    """Return the static embeddings of counted prompts, unit rows or zero rows, [n, d]."""
    summed = counts @ table
    return summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12)


def similarity(embedded: np.ndarray, yardstick: np.ndarray) -> tuple[float, float]:
    """Return (`rho`, `near`) of embeddings against the yardstick's, row by row the same prompts."""
    ours, theirs = embedded @ embedded.T, yardstick @ yardstick.T
    upper = np.triu_indices(len(ours), 1)
    chosen = np.random.default_rng(2).integers(0, len(upper[0]), 200_000)
    pairs = (upper[0][chosen], upper[1][chosen])
    rho = spearmanr(ours[pairs], theirs[pairs])[0]
    for cosines in (ours, theirs):
        np.fill_diagonal(cosines, -2.0)
    nearest = [np.argpartition(-cosines, NEAR, axis=1)[:, :NEAR] for cosines in (ours, theirs)]
    return rho, float(np.mean([len(np.intersect1d(a, b)) / NEAR for a, b in zip(*nearest, strict=True)]))


def task_accuracy(embedded: np.ndarray, tasks: Tasks) -> tuple[float, float]:
    """Return balanced accuracy of the categories by ridge regression, at its best strength, and by neighbours."""
    inputs = np.c_[embedded, np.ones(len(embedded))]
    targets = np.eye(tasks.category.max() + 1)[tasks.category]
    linear = np.empty((len(RIDGES), len(inputs)), np.int64)
    near = np.empty(len(inputs), np.int64)
    for fold in range(FOLDS):
        train, test = tasks.fold != fold, np.flatnonzero(tasks.fold == fold)
        gram, moment = inputs[train].T @ inputs[train], inputs[train].T @ targets[train]
        for index, ridge in enumerate(RIDGES):
            linear[index, test] = (inputs[test] @ np.linalg.solve(gram + ridge * np.eye(len(gram)), moment)).argmax(axis=1)
        cosines = embedded[test] @ embedded[train].T
        votes = targets[train][np.argpartition(-cosines, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]].sum(axis=1)
        near[test] = votes.argmax(axis=1)

    def balanced(predicted: np.ndarray) -> float:
        return float(np.mean([(predicted[tasks.category == c] == c).mean() for c in np.unique(tasks.category)]))

    return max(map(balanced, linear)), balanced(near)


def outcome_auc(embedded: np.ndarray, outcomes: Outcomes) -> float:
    """Return the mean area under the curve over models and data sets, at the best ridge strength."""
    inputs = np.c_[embedded, np.ones(len(embedded))]
    areas: list[list[float]] = [[] for _ in RIDGES]
    for scores in outcomes.scores.T:
        known = ~np.isnan(scores)
        predicted = np.empty((len(RIDGES), len(inputs)))
        for fold in range(FOLDS):
            train, test = known & (outcomes.fold != fold), known & (outcomes.fold == fold)
            gram, moment = inputs[train].T @ inputs[train], inputs[train].T @ scores[train]
            for index, ridge in enumerate(RIDGES):
                predicted[index, test] = inputs[test] @ np.linalg.solve(gram + ridge * np.eye(len(gram)), moment)
        for dataset in np.unique(outcomes.dataset[known]):
            rows = known & (outcomes.dataset == dataset)
            right = scores[rows] >= 0.5
            if rows.sum() >= DATASET_ROWS and min(right.sum(), (~right).sum()) >= CLASS_ROWS:
                for index in range(len(RIDGES)):
                    areas[index].append(area_under_curve(right, predicted[index, rows]))
    return max(float(np.mean(values)) for values in areas)


def area_under_curve(right: np.ndarray, predicted: np.ndarray) -> float:
    """Return the chance that a right answer was predicted above a wrong one, ties counting half."""
    positive = right.sum()
    return (rankdata(predicted)[right].sum() - positive * (positive + 1) / 2) / (positive * (len(right) - positive))


def main() -> None:
    """Parse the command line, read the data once, and print one line per recipe."""
    parser = argparse.ArgumentParser(description="Compare recipes of the static token table.")
    parser.add_argument("--outcomes", required=True)
    parser.add_argument("--tasks", required=True)
    arguments = parser.parse_args()
    source = fetch()
    tokenizer = Tokenizer.from_str(encoder_dir.canonical_tokenizer(source.tokenizer.read_text(encoding="utf-8")).decode())
    vocabulary = tokenizer.get_vocab_size()
    tasks = load_tasks(arguments.tasks, tokenizer, vocabulary)
    outcomes = load_outcomes(arguments.outcomes, tokenizer, vocabulary)
    print(f"{'recipe':36} {'rho':>6} {'near':>6} {'linear':>7} {'knn':>6} {'auc':>7}")
    for name, build in variants().items():
        table = build(source)
        embedded = embed(tasks.counts, table)
        rho, near = similarity(embedded[tasks.sample], tasks.yardstick)
        linear, knn = task_accuracy(embedded, tasks)
        auc = outcome_auc(embed(outcomes.counts, table), outcomes)
        print(f"{name:36} {rho:6.3f} {near:6.3f} {linear:7.3f} {knn:6.3f} {auc:7.4f}", flush=True)


if __name__ == "__main__":
    main()
