"""The house rules: which room may know which, and what each keeps to itself."""

import ast
import pathlib
import runpy
import subprocess
import sys
import unittest.mock

import pytest

from bert_jax.tasks.registry import TASKS

MODULES = {
    str(file.with_suffix("")).replace("/", ".").removesuffix(".__init__"): file
    for file in sorted(pathlib.Path("bert_jax").rglob("*.py"))
}
# From the ground up: imports run down this list, or stay within a line of it.
ROOMS = (
    {"errors"},
    {
        "hashing",
        "forms",
        "storage",
        "foreign_files",
        "files",
        "configuration",
        "batch",
        "columns",
        "losses",
        "scores",
        "markdown",
        "sharding",
        "lock",
    },
    {"ahead_of_time"},
    {"tokenization"},
    {"optim"},
    {"model"},
    {"training"},
    {"corpus"},
    {"objectives"},
    {"data"},
    {"interop"},
    {"tasks"},
    {"answers", "model_card", "model_file"},
    {"answering", "summaries", "tagger"},
    {"pretrained", "loading", "minimal_pairs", "labelled_results", "search", "vocabulary"},
    {"submissions"},
    {"reporting"},
    {"inspection"},
)
# What a room must not import though it lies below.
FORBIDDEN = {
    "model": ("bert_jax.optim", "bert_jax.tokenization"),
    "training": ("bert_jax.model", "bert_jax.tokenization"),
    "corpus": ("bert_jax.model", "bert_jax.training", "bert_jax.optim"),
    "objectives": ("bert_jax.corpus", "bert_jax.tokenization"),
    "data": ("bert_jax.corpus.builder", "bert_jax.model"),
    "interop": ("bert_jax.data", "bert_jax.training", "bert_jax.corpus"),
}


def imports(file):
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES.keys()


def room(module):
    return module.split(".")[1] if "." in module else None


def floor(module):
    return next((i for i, names in enumerate(ROOMS) if room(module) in names), None)


def identifiers(file):
    """Every name in a file's code: variables, attributes, arguments; not those in its prose."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        for field in ("id", "attr", "arg", "name"):
            if isinstance(name := getattr(node, field, None), str):
                found.add(name)
    return found


def test_imports_run_down():
    for module, file in MODULES.items():
        for other in imports(file) - {"bert_jax"}:
            assert floor(other) is not None, f"{other} has no room in ROOMS"
            if module != "bert_jax":
                assert floor(module) >= floor(other), f"{module} imports {other}"


def test_no_import_circles():
    edges = {module: imports(file) - {module} for module, file in MODULES.items()}
    edges["bert_jax"] = set()  # `bert_jax.load` is imported at its first use

    def reaches(start):
        seen, stack = set(), list(edges[start])
        while stack:
            if (node := stack.pop()) not in seen:
                seen.add(node)
                stack += edges[node]
        return seen

    # A package's __init__ that re-exports its own modules is not a circle.
    for module in MODULES:
        assert module not in reaches(module) or MODULES[module].name == "__init__.py", module


@pytest.mark.parametrize("name", FORBIDDEN)
def test_rooms_do_not_know_what_is_not_theirs(name):
    for module, file in MODULES.items():
        if room(module) == name:
            for other in imports(file):
                assert not other.startswith(FORBIDDEN[name]), f"{module} imports {other}"


def test_training_knows_no_bert():
    """Neither its words nor its data: those are its task's."""
    for module, file in MODULES.items():
        if room(module) == "training":
            names = identifiers(file)
            assert not names & {"mask_rate", "vocab_size", "tokenizer", "ModelConfig", "DataConfig"}, module


def test_reports_name_no_objective_and_no_kind_of_examples():
    for module, file in MODULES.items():
        if room(module) == "reporting":
            for word in ("mlm", "candidates", "sentence_order", "unigram", "label_"):
                assert f'"{word}' not in file.read_text(), f"{module} names {word}"


def test_only_the_registry_and_its_own_file_name_a_task():
    """So that a new task touches these alone."""
    kinds = {type(kind).__module__ for kind in TASKS.values()}
    for module, file in MODULES.items():
        if module not in (*kinds, "bert_jax.tasks.registry"):
            assert not imports(file) & kinds, module


def test_no_file_is_a_drawer():
    assert not [module for module in MODULES if module.rpartition(".")[2] in ("utils", "helpers", "common", "misc")]


def test_public_functions_are_typed():
    untyped = []
    for module, file in MODULES.items():
        for parent in ast.walk(ast.parse(file.read_text())):
            if not isinstance(parent, ast.Module | ast.ClassDef):
                continue
            for node in parent.body:
                if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
                    continue
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                missing = [one.arg for one in arguments if one.annotation is None and one.arg not in ("self", "cls")]
                untyped += [f"{module}.{node.name}({one})" for one in missing]
                untyped += [f"{module}.{node.name} -> ?"] if node.returns is None else []
    assert not untyped


def test_training_needs_neither_nnx_nor_the_builders_of_corpora_nor_other_frameworks():
    script = "import sys, bert_jax.tasks.registry, bert_jax.pretrained; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    unwanted = ("flax.nnx", "tensorflow_datasets", "array_record", "tensorflow", "torch", "grain", "sentencex")
    assert not loaded & {*unwanted, "bert_jax.corpus.builder", "matplotlib"}


def test_the_wheel_holds_the_package_alone():
    with unittest.mock.patch("setuptools.setup") as setup:
        runpy.run_path("setup.py")
    packages = setup.call_args.kwargs["packages"]
    folders = {str(file.parent).replace("/", ".") for file in pathlib.Path("bert_jax").rglob("*.py")}
    assert set(packages) == folders
    assert setup.call_args.kwargs["package_data"] == {"bert_jax": ["py.typed"]}
    assert pathlib.Path("bert_jax/py.typed").exists()
