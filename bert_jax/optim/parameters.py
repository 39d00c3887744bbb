"""The names of parameters, from their paths in a tree."""

import jax


def path_names(path: tuple) -> tuple[str, ...]:
    """Returns the dictionary keys on a path, without the box that may hold an array's axis names."""
    return tuple(part.key for part in path if isinstance(part, jax.tree_util.DictKey))


def parameter_name(path: tuple) -> str:
    """Returns a name such as `bert/embeddings/word`, which patterns such as `train.freeze` are matched against."""
    return "/".join(path_names(path))
