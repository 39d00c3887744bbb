"""The whole page: what a model holds, how it was trained, and what it makes of a text, in one file."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from etils import epath

from bert_jax import loading, storage
from bert_jax.errors import WriteError
from bert_jax.inspection.attention import attention_maps
from bert_jax.inspection.attribution import integrated_gradients
from bert_jax.inspection.layers import layer_predictions
from bert_jax.inspection.page import sections
from bert_jax.inspection.page.markup import direction, escaped, isolated
from bert_jax.inspection.page.predictions import predictions
from bert_jax.inspection.page.style import STYLE
from bert_jax.inspection.parameter_tables import source_text
from bert_jax.inspection.parameters import open_parameters, parameter_tree
from bert_jax.inspection.targets import usual_targets
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.pretrained import Pretrained, Text
from bert_jax.reporting.run_record import RunRecord, read_run
from bert_jax.tokenization.tokenizer import MASK

# A browser loads nothing from anywhere for this page, whatever is in it.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
MOST_ATTRIBUTIONS = 8  # each takes seconds
STEPS = 64  # of integrated gradients, with gaps below 0.01 %


def write_page(
    model: epath.PathLike,
    file: epath.PathLike,
    text: Text,
    step: int | None = None,
    note: Callable[[str], Any] = lambda line: None,
) -> None:
    """Writes a page about a model and what it makes of a text.

    Args:
      model: any folder that `bert_jax.load` takes. If it is a run, its curves are in the page.
      file: the HTML file to write.
      text: a text or a pair of texts; each `[MASK]` in it is filled.
      step: which checkpoint of a run; None: that which `load` opens.
      note: is told what is done.

    Raises:
      BertJaxError: there is no model, the text is too long for it, or the file cannot be written.
    """
    _check_writable(file)
    bert = loading.load(model, step)
    texts = [text] if isinstance(text, str) else list(text)
    tree = parameter_tree(open_parameters(model, step))  # as they are stored
    words = any(isinstance(one, MaskedWords) for one in bert.objectives)
    masks = range(sum(one.count(MASK) for one in texts) if words else 0)
    targets = usual_targets(bert, text)
    attributions = []
    for number, target in enumerate(targets[:MOST_ATTRIBUTIONS], 1):
        note(f"attribution {number} of {min(len(targets), MOST_ATTRIBUTIONS)}")
        attributions.append(integrated_gradients(bert, text, target, STEPS))
    layers = [layer_predictions(bert, text, mask) for mask in masks]
    parts = [
        ("predictions", "What it says", sections.predictions_section(predictions(bert, text))),
        ("layers", "Layer by layer", sections.layers_section(layers)),
        ("attribution", "Which tokens it is due to", sections.attributions_section(attributions, len(targets))),
        ("attention", "Attention", sections.attention_section(attention_maps(bert, text))),
    ]
    if run := run_of(model):
        parts.append(("training", "Training", sections.curves_section(run)))
    parts.append(("parameters", "Parameters", sections.tree_section(tree)))
    page = document(source_text(str(model), bert.step), _heading(bert, texts), parts)
    with _writing(file):
        storage.write_bytes(file, page.encode())


def _check_writable(file: epath.PathLike) -> None:
    """Tries before minutes of work whether the file can be written; leaves what is there."""
    path = epath.Path(file)
    with _writing(file):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        trial = storage.temporary_path(path)
        storage.create(trial).close()
        trial.unlink()


@contextlib.contextmanager
def _writing(file: epath.PathLike) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(f"{file} cannot be written ({error.strerror}): choose another file.") from None


def document(title: str, heading: str, parts: Iterable[tuple[str, str, str]]) -> str:
    """Returns an HTML file.

    Args:
      title: of the page.
      heading: HTML below the title.
      parts: (name, title, HTML) of each section; those without HTML are left out.
    """
    parts = [part for part in parts if part[2].strip()]
    links = "".join(f'<a href="#{name}">{escaped(shown)}</a>' for name, shown, _ in parts)
    body = "".join(
        f'<section id="{name}">\n<h2>{escaped(shown)}</h2>\n{content}</section>\n' for name, shown, content in parts
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escaped(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{escaped(title)}</h1>
{heading}
<nav>{links}</nav>
</header>
<main>
{body}</main>
</body>
</html>
"""


def run_of(model: epath.PathLike) -> RunRecord | None:
    """Returns the record of the run that a folder is, or that a checkpoint belongs to; None if there is none."""
    path = epath.Path(model).expanduser()
    for folder in (path, path.parent, path.parent.parent):
        inside = folder == path or path.relative_to(folder).parts[0] == "checkpoints"
        if inside and (folder / "run.json").exists() and (folder / "config.json").exists():
            return read_run(folder)
    return None


def _heading(bert: Pretrained, texts: list[str]) -> str:
    config = bert.config
    objectives = ", ".join(one.title for one in bert.objectives) or "none"
    facts = (
        f"{config.num_layers} layers of {config.num_heads} attention heads, width {config.hidden_size},"
        f" {bert.tokenizer.vocab_size:,} words, at most {bert.max_tokens} tokens. Objectives: {objectives}."
    )
    quoted = "".join(f'<blockquote dir="{direction([text])}">{escaped(text)}</blockquote>\n' for text in texts)
    return f'<p class="soft">{isolated(facts)}</p>\n{quoted}'
