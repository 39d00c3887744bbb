"""Package metadata. `constraints.txt` holds the versions that were tested together."""

from setuptools import find_packages, setup

setup(
    name="bert_jax",
    version="0.1.0",
    description="Pretraining, adapting and understanding BERT-style encoders in JAX",
    packages=find_packages(include=["bert_jax", "bert_jax.*"]),
    package_data={"bert_jax": ["py.typed"]},
    python_requires=">=3.11",
    install_requires=[
        "absl-py",
        "array-record",
        "etils[epath]",
        "flax",
        "importlib_resources",  # tensorflow-datasets forgets to ask for it
        "jax",
        "matplotlib>=3.11",  # shapes joined letters, and turns right-to-left text
        "numpy>=2.0",
        "optax",
        "orbax-checkpoint",
        "psutil",
        "pyarrow",
        "scipy",
        "sentencepiece>=0.2.3",
        "sentencex>=1.0",
        "tensorboardX",
        "tensorflow-datasets",
        "tokenizers",
    ],
    extras_require={
        "test": ["ipykernel", "nbclient", "pyrefly", "pytest", "pytest-xdist", "ruff", "setuptools"],
        # accelerators: CUDA 13 needs driver 580 or newer
        "cuda": ["jax[cuda13]"],
        "tpu": ["jax[tpu]"],
        # corpora and workdirs in buckets
        "gcs": ["gcsfs"],
        # independent implementations to compare with: of models, and of scores
        "parity": ["torch==2.13.0", "transformers", "scikit-learn", "scipy", "seqeval", "rouge-score"],
        # the compilers of hardware that need not be there, for experiments.compile_check; the second takes 4 GB
        "tpu-aot": ["libtpu"],
        "gpu-aot": ["jax-cuda13-plugin[with-cuda]"],
    },
)
