"""Damages files of each format at random, and reads them: what comes out is documents or one of our own errors.

python -m tests.corpus.builder.damaged_files 2000 [first seed]
"""

import bz2
import collections
import faulthandler
import gzip
import json
import pathlib
import random
import shutil
import sys
import tempfile
import time

import numpy as np
import pyarrow
import pyarrow.parquet

from bert_jax.corpus.builder import reading, sources
from bert_jax.errors import BertJaxError

TEXTS = [f"Row {i} speaks.\nÉté {i * 7919 % 97}, “{'x' * (i % 30)}”; today 今天." for i in range(200)]


def make_files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Writes an intact file of each format. Returns each file that is damaged, by the `--source` that reads it."""
    plain = "\n\n".join(TEXTS).encode()
    records = "".join(
        json.dumps({"text": t, "id": i, "lang": "en"}, ensure_ascii=False) + "\n" for i, t in enumerate(TEXTS)
    )
    quoted = "id,text\n" + "".join(f'{i},"{t}"\n' for i, t in enumerate(TEXTS))
    tabbed = "id\ttext\n" + "".join(f"{i}\t{t.splitlines()[0]}\n" for i, t in enumerate(TEXTS))
    contents = {
        "text:a.txt": plain,
        "text[documents=lines]:b.txt": plain,
        "text[documents=files]:c.txt": plain,
        "text:d.txt.gz": gzip.compress(plain),
        "text:e.txt.bz2": bz2.compress(plain),
        "jsonl:f.jsonl": records.encode(),
        "jsonl:g.jsonl.gz": gzip.compress(records.encode()),
        "csv:h.csv": quoted.encode(),
        "csv:i.csv.gz": gzip.compress(quoted.encode()),
        "tsv:j.tsv": tabbed.encode(),
    }
    found = {}
    for source, content in contents.items():
        kind, name = source.split(":")
        (folder / name).write_bytes(content)
        found[f"{kind}:{folder / name}"] = folder / name
    strings, numbers = pyarrow.array(TEXTS), list(range(len(TEXTS)))
    tables = {
        "parquet:plain": pyarrow.table({"text": strings, "id": numbers}),
        "parquet:dictionary": pyarrow.table({"text": strings.dictionary_encode(), "lang": ["en"] * len(TEXTS)}),
        "parquet:view": pyarrow.table({"text": strings.cast(pyarrow.string_view())}),
        "parquet[text=doc.text]:nested": pyarrow.table({"doc": [{"text": t, "n": [1, 2]} for t in TEXTS]}),
    }
    for source, table in tables.items():
        for compression in ("none", "snappy", "zstd"):
            kind, name = source.split(":")
            file = folder / f"{name}.{compression}.parquet"
            pyarrow.parquet.write_table(table, file, compression=compression, row_group_size=64)
            found[f"{kind}:{file}"] = file
    for file in make_data_set(folder / "data_set"):
        found[f"tfds[id=label]:{folder / 'data_set'}#{file.name}"] = file
    return found


def make_data_set(folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes a folder in TFDS' form, and returns its files."""
    import tensorflow_datasets as tfds
    from array_record.python import array_record_module

    folder.mkdir()
    features = tfds.features.FeaturesDict({"text": tfds.features.Text(), "label": tfds.features.Scalar(np.int64)})
    writer = array_record_module.ArrayRecordWriter(
        str(folder / "small-train.array_record-00000-of-00001"), "group_size:1"
    )
    for i, text in enumerate(TEXTS):
        writer.write(features.serialize_example({"text": text, "label": i}))
    writer.close()
    name = tfds.core.ShardedFileTemplate(
        data_dir=folder,
        template="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        dataset_name="small",
        split="train",
        filetype_suffix="array_record",
    )
    info = tfds.core.SplitInfo(name="train", shard_lengths=[len(TEXTS)], num_bytes=9999, filename_template=name)
    tfds.folder_dataset.write_metadata(
        data_dir=folder, features=features, split_infos=[info], filename_template=name.template, check_data=False
    )
    return sorted(folder.iterdir())


def damage(content: bytes, rng: random.Random) -> bytes:
    """Returns the content with one to three injuries."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        if rng.random() < 0.3:  # formats keep what hurts most at their ends
            at = rng.choice((min(at, 64), max(len(data) - 64, 0) + at % 64))
        length = rng.choice((1, 2, 4, 8, 64, 1024))
        match rng.randrange(8):
            case 0:
                del data[at:]
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = rng.randbytes(length)
            case 3:
                data[at : at + length] = rng.randbytes(length)
            case 4:
                data[at : at + length] = rng.choice((b"\0", b"\xff", b"\x80", b"\x7f", b'"', b"\n")) * length
            case 5:
                data[at:at] = data[at : at + length]
            case 6 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case _:
                data[at : at + 8] = rng.choice((2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)).to_bytes(8, "little")
    return bytes(data)


def read(spec: str) -> str:
    """Reads a source to its end. Returns what came of it: "read", or the error of our own, the first line alone.

    Raises:
      Exception: anything that is not an error of our own.
    """
    try:
        (source,) = sources.parse([spec.partition("#")[0]], "en")
        for unit in sources.units(source):
            for document in reading.documents(unit, collections.Counter()):
                document.text.encode()
                document.id.encode()
    except BertJaxError as error:
        message = str(error)
        assert message.count("\n") == 0, message
        assert "Traceback" not in message
        return message
    return "read"


def _kind(spec: str) -> str:
    return "tfds" if spec.startswith("tfds") else spec.rpartition(".")[2]


def run(count: int, first_seed: int, tell=lambda line: None) -> collections.Counter[str]:
    """Damages and reads `count` files. Returns how often each format was read, or refused."""
    found, slowest = collections.Counter(), (0.0, "")
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(pathlib.Path(folder))
        for spec in files:
            assert read(spec) == "read" or ".bz2" in spec, read(spec)
        for seed in range(first_seed, first_seed + count):
            rng = random.Random(seed)
            kind = rng.choice(sorted({_kind(spec) for spec in files}))
            spec = rng.choice([spec for spec in files if _kind(spec) == kind])
            backup = files[spec].read_bytes()
            files[spec].write_bytes(damage(backup, rng))
            begin = time.monotonic()
            try:
                result = read(spec)
            except Exception as error:
                shutil.copy(files[spec], pathlib.Path(tempfile.gettempdir()) / f"damaged-{seed}-{files[spec].name}")
                raise AssertionError(f"seed {seed}, {spec}: {type(error).__name__}: {error}") from error
            slowest = max(slowest, (time.monotonic() - begin, f"seed {seed}, {spec}"))
            files[spec].write_bytes(backup)
            found[f"{kind} {'read' if result == 'read' else 'refused'}"] += 1
            tell(f"{seed} {spec} {result}")
    tell(f"slowest: {slowest[0]:.1f} s, {slowest[1]}")
    return found


if __name__ == "__main__":
    faulthandler.enable()
    numbers = [int(argument) for argument in sys.argv[1:]]
    count, first_seed = [*numbers, 0][:2]
    results = run(count, first_seed, tell=lambda line: print(line, flush=True))
    print(f"seeds {first_seed} to {first_seed + count - 1}: {dict(sorted(results.items()))}")
