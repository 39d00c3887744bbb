import os
import re
import shlex
import signal
import socket
import subprocess
import time

import pytest

from tests.launch.conftest import RUN

# Stands for `.venv/bin/python -m experiments.pretrain`: what it does depends on MODE and on its number.
PROGRAM = """
import os, signal, sys, time
number = next((a.split("=")[1] for a in sys.argv if a.startswith("--process_id=")), "0")
mode = os.environ["MODE"]
heard = []
if mode == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if mode == "trains":
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: heard.append(1))
print(f"pid {os.getpid()} gpus {os.environ.get('CUDA_VISIBLE_DEVICES')}", flush=True)
if mode in ("fails", "deaf"):
    if number == "1":
        sys.exit("boom" if mode == "fails" else 9)
    if mode == "deaf":
        import subprocess
        print("pid", subprocess.Popen(["sleep", "60"]).pid, flush=True)
    time.sleep(60)
if mode == "trains":
    while not heard:
        time.sleep(0.01)
    time.sleep(0.3)
    print("saved after", len(heard))
"""


@pytest.fixture
def machine(tree):
    tree.program(".venv/bin/python", PROGRAM)
    return tree


def pids(text):
    return [int(pid) for pid in re.findall(r"pid (\d+)", text)]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split()[2] != "Z"
    except FileNotFoundError:
        return False


def started(process, count):
    """Reads until `count` processes have said so."""
    text = ""
    while len(pids(text)) < count:
        text += process.stdout.readline()
    return text


def commands(done):
    assert done.returncode == 0, done.stderr
    return [shlex.split(line) for line in done.stdout.splitlines()]


def test_dry_run_of_two(tree):
    variables = RUN | {"NUM_PROCESSES": "2", "DEVICES_PER_PROCESS": "4", "DRY_RUN": "1", "PORT": "24680"}
    program = ["setpriv", "--pdeathsig=TERM", ".venv/bin/python", "-m", "experiments.pretrain"]
    assert commands(tree.run("launch/processes.sh", "--config.train.num_steps=5", "--x=a b", **variables)) == [
        [
            *program,
            "--config=experiments/configs/sizes.py:mini",
            "--workdir=runs/a",
            "--config.data.corpus=corpora/a b",
            "--coordinator=127.0.0.1:24680",
            "--num_processes=2",
            f"--process_id={number}",
            "--num_cpu_devices=4",
            "--config.train.num_steps=5",
            "--x=a b",
        ]
        for number in range(2)
    ]
    assert not (tree.path / "runs").exists()


def test_one_process_gets_only_the_flags_given(tree):
    (command,) = commands(tree.run("launch/processes.sh", "--distributed", DRY_RUN="1", **RUN))
    assert command[-1] == "--distributed"
    assert not [word for word in command if re.match("--(coordinator|num_|process_id)", word)]


def test_gpus_are_shared_out(tree):
    found = commands(tree.run("launch/processes.sh", NUM_PROCESSES="3", GPUS_PER_PROCESS="2", DRY_RUN="1", **RUN))
    assert [command[3] for command in found] == [f"CUDA_VISIBLE_DEVICES={gpus}" for gpus in ("0,1", "2,3", "4,5")]


def test_a_port_that_answers_is_not_chosen(tree):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = tree.run("launch/processes.sh", NUM_PROCESSES="2", DRY_RUN="1", PORT=str(port), **RUN)
    ports = {word for command in commands(done) for word in command if word.startswith("--coordinator")}
    assert len(ports) == 1
    assert f"--coordinator=127.0.0.1:{port}" not in ports


def test_output_bears_the_number(machine):
    done = machine.run("launch/processes.sh", MODE="ends", NUM_PROCESSES="4", GPUS_PER_PROCESS="1", **RUN)
    assert done.returncode == 0
    lines = sorted(re.sub(r"pid \d+", "pid", line) for line in done.stdout.splitlines())
    assert lines == [f"[{number}] pid gpus {number}" for number in range(4)]


def test_one_that_fails_ends_all(machine):
    done = machine.run("launch/processes.sh", MODE="fails", NUM_PROCESSES="3", **RUN)
    assert done.returncode == 1
    assert "[1] boom" in done.stdout
    assert "process 1 exited with code 1" in done.stderr
    assert not any(map(alive, pids(done.stdout)))


def test_what_does_not_hear_is_ended_by_force_with_its_children(machine):
    done = machine.run("launch/processes.sh", MODE="deaf", NUM_PROCESSES="2", GRACE_SECONDS="1", **RUN)
    assert done.returncode == 9
    assert not any(map(alive, pids(done.stdout)))


@pytest.mark.parametrize(
    ("flags", "variables", "least", "most"),
    [
        (["--grace_seconds=1"], {}, 31, 31),
        (["--grace_seconds=900", "--grace_seconds", "2"], {}, 32, 32),
        ([], {}, 330, 330),
        (["--grace_seconds=1"], {"STOP_SECONDS": "7"}, 7, 7),
    ],
)
def test_a_stop_waits_for_the_grace_of_the_processes(machine, flags, variables, least, most):
    """The time after which it would use force is that at which it looks at the clock."""
    script = machine.path / "launch" / "processes.sh"
    text = script.read_text()
    script.write_text(text.replace("kill -TERM", 'echo "deadline $((deadline - SECONDS))" >&2; kill -TERM', 1))
    process = machine.start("launch/processes.sh", *flags, MODE="trains", **RUN, **variables)
    started(process, 1)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    (deadline,) = map(int, re.findall(r"deadline (\d+)", err))
    assert least - 1 <= deadline <= most


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 143)])
def test_a_signal_reaches_every_process_once_and_is_waited_for(machine, number, code):
    process = machine.start("launch/processes.sh", MODE="trains", NUM_PROCESSES="2", **RUN)
    started(process, 2)
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == code
    assert sorted(out.splitlines()) == ["[0] saved after 1", "[1] saved after 1"]


def test_ctrl_c_of_a_terminal_is_heard_once(machine):
    """A terminal sends SIGINT to the whole foreground group; a second one would end a process before it has saved."""
    import pty

    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", "bash", "launch/processes.sh"],
        cwd=machine.path,
        env=os.environ | RUN | {"MODE": "trains", "NUM_PROCESSES": "2"},
        stdin=inside,
        stdout=inside,
        stderr=inside,
    )
    os.close(inside)
    text = ""
    while len(pids(text)) < 2:
        text += os.read(terminal, 1000).decode()
    os.write(terminal, b"\x03")
    try:
        while chunk := os.read(terminal, 1000):
            text += chunk.decode()
    except OSError:  # so a terminal ends on Linux
        pass
    assert process.wait(timeout=60) == 130
    assert text.count("saved after 1") == 2


def test_no_orphans_when_the_launcher_is_killed(machine):
    process = machine.start("launch/processes.sh", MODE="trains", NUM_PROCESSES="2", **RUN)
    found = pids(started(process, 2))
    process.kill()
    deadline = time.monotonic() + 10
    while any(map(alive, found)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, found))
    assert "saved after 1" in process.stdout.read()
