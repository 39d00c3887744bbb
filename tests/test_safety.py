"""Nothing that is read can run code: the calls that would let it are not in the project."""

import ast
import pathlib

import pytest

FILES = [file for folder in ("bert_jax", "experiments") for file in sorted(pathlib.Path(folder).rglob("*.py"))]
# Modules that make objects, and so run code, from bytes.
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "imp"}
CALLS = {
    *("eval", "exec", "compile", "__import__"),
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "torch.load"),
}


def dotted(node):
    """`a.b.c` of an expression; empty if it is another."""
    if isinstance(node, ast.Attribute):
        lead = dotted(node.value)
        return f"{lead}.{node.attr}" if lead else ""
    return node.id if isinstance(node, ast.Name) else ""


def is_false(node):
    return isinstance(node, ast.Constant) and node.value is False


def is_text(node):
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def dangers(code):
    """The lines of Python code that could run what they read."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [node.lineno for name in names if name.partition(".")[0] in MODULES]
        if not isinstance(node, ast.Call):
            continue
        name, given = dotted(node.func), {one.arg: one.value for one in node.keywords}
        last = node.func.attr if isinstance(node.func, ast.Attribute) else name
        shell = "shell" in given and not is_false(given["shell"])
        line = name.startswith("subprocess.") and bool(node.args) and is_text(node.args[0])
        unfiltered = last in ("extractall", "unpack_archive") and not (
            isinstance(one := given.get("filter"), ast.Constant) and one.value == "data"
        )
        objects = name in ("np.load", "numpy.load", "np.fromfile") and not is_false(given.get("allow_pickle"))
        asked = "allow_pickle" in given and not is_false(given["allow_pickle"])
        if name in CALLS or shell or line or unfiltered or objects or asked or "trust_remote_code" in given:
            found.append(node.lineno)
    return found


@pytest.mark.parametrize("file", FILES, ids=str)
def test_nothing_that_is_read_can_run_code(file):
    assert not dangers(file.read_text()), file


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "import os, dill.source",
        "from joblib import load",
        "eval(text)",
        "exec(compile(text, '', 'exec'))",
        "os.system(f'rm {name}')",
        "subprocess.run(f'rm {name}', shell=True)",
        "subprocess.run(command, shell=choice)",
        "subprocess.check_output('git status')",
        "subprocess.Popen(f'git {command}')",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "torch.load(path, weights_only=True)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.save(path, x, allow_pickle=True)",
        "archive.extractall(folder)",
        "tarfile.open(path).extractall(folder, filter='tar')",
        "shutil.unpack_archive(path, folder)",
        "AutoModel.from_pretrained(path, trust_remote_code=True)",
    ],
)
def test_what_could_is_found(code):
    assert dangers(code)


@pytest.mark.parametrize(
    "code",
    [
        "np.load(path, mmap_mode='r', allow_pickle=False)",
        "subprocess.run(['rm', name])",
        "model.eval()",
        "re.compile(text)",
        "step.lower(x).compile()",
        "yaml.safe_load(text)",
        "archive.extractall(folder, filter='data')",
    ],
)
def test_what_could_not_is_not(code):
    assert not dangers(code)
