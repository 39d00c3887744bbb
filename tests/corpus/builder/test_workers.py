import os
import signal
import subprocess
import sys
import time

SCRIPT = """
import dataclasses, os, sys, time
from bert_jax.corpus.builder.workers import Workers

@dataclasses.dataclass
class Job:
    size: int
    folder: str

def work(job):
    open(f"{job.folder}/{os.getpid()}", "w").close()
    time.sleep(0.05 if job.size == 1 else 1000)

def stage(workers, size):
    workers.run("stage", work, [Job(size, sys.argv[1])] * 12)

if __name__ == "__main__":
    with Workers(2, print) as workers:
        stage(workers, 1)
        stage(workers, 1)
        if sys.argv[2] == "hang":
            stage(workers, 2)
"""


def start(tmp_path, mode):
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "seen").mkdir()
    command = [sys.executable, tmp_path / "script.py", tmp_path / "seen", mode]
    environment = os.environ | {"PYTHONPATH": os.getcwd(), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_the_same_processes_do_every_stage(tmp_path):
    process = start(tmp_path, "end")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert output.count("12/12 parts") == 2
    assert len(list((tmp_path / "seen").iterdir())) <= 2


def test_workers_end_with_their_caller(tmp_path):
    process = start(tmp_path, "hang")
    lines = [process.stdout.readline() for _ in range(2)]
    assert all("stage" in line for line in lines)
    workers = [int(path.name) for path in (tmp_path / "seen").iterdir()]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    for _ in range(100):
        if not any(alive(pid) for pid in workers):
            return
        time.sleep(0.1)
    raise AssertionError("Workers outlive the process that started them.")


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
