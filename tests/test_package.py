"""Properties of the package as a whole."""

import ast
import pathlib
import subprocess
import sys

MODULES = {
    str(file.with_suffix("")).replace("/", ".").removesuffix(".__init__"): file
    for file in sorted(pathlib.Path("bert_jax").rglob("*.py"))
}
# Arrows run from a later room to an earlier one, or stay within a room.
ROOMS = [
    {"errors", "storage", "batch", "configuration", "losses", "sharding", "tokenization"}
    | {"optimizer", "schedules", "bert_adam", "lamb"},
    {"data", "model", "training"},
    {"tasks", "interop"},
    {"pretrained"},
    {"reporting"},
]


def imports(file):
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES.keys()


def room(module):
    name = module.split(".")[1] if "." in module else None
    return next((i for i, names in enumerate(ROOMS) if name in names), None)


def test_imports_run_one_way():
    for module, file in MODULES.items():
        for other in imports(file) - {"bert_jax"}:
            assert room(other) is not None, f"{other} has no room"
            if module != "bert_jax":
                assert room(module) >= room(other), f"{module} imports {other}"


def test_model_data_and_training_do_not_know_each_other():
    for module, file in MODULES.items():
        mine = module.split(".")[1:2]
        if mine and mine[0] in ("data", "model", "training"):
            others = {other.split(".")[1] for other in imports(file) if "." in other}
            assert not others & ({"data", "model", "training"} - set(mine)), module


def test_no_import_circles():
    edges = {module: imports(file) - {module} for module, file in MODULES.items()}

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


def test_training_needs_neither_nnx_nor_the_builders_of_corpora_nor_other_frameworks():
    script = "import sys, bert_jax.tasks.pretraining, bert_jax.pretrained; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    for name in ("flax.nnx", "tensorflow_datasets", "array_record", "tensorflow", "torch", "grain", "sentencex"):
        assert name not in loaded
