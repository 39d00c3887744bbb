"""Counts the arithmetic, memory traffic, collectives and attention kernels of a compiled program, from its text.

XLA's own `cost_analysis()` counts the body of a loop once, leaves out collectives, and is missing for some devices. The
text of the optimised program (`jax.stages.Compiled.as_text()`) has all of it. It is the program of one device, so all
counts are per device.
"""

import collections
import dataclasses
import math
import re
from collections.abc import Iterator

# Bytes per element, for types without their number of bits in the name.
_BYTES = {"pred": 1, "token": 0, "opaque": 0}
# The least that each of n devices sends, as a share of the whole array.
_SENT = {
    "all-reduce": lambda n: 2 * (n - 1) / n,
    "all-gather": lambda n: (n - 1) / n,
    "reduce-scatter": lambda n: (n - 1) / n,
    "all-to-all": lambda n: (n - 1) / n,
    "collective-permute": lambda n: 1.0,
}
KINDS = tuple(_SENT)
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "replica-id"}
_FREE |= {"opt-barrier", "add-dependency", "while", "conditional", "call", "async-start", "async-update"}
_SLICES = {"dynamic-slice", "slice", "gather"}
_PRODUCTS = ("__cublas$", "__onednn$matmul")
# Fused attention kernels: cuDNN's are known by their name, Pallas' by the scope in which they are called.
_FUSED_ATTENTION = re.compile(r"fmha|flash|splash")
_KERNELS = re.compile(r"tpu_custom_call|triton|mosaic")

_ARRAY = re.compile(r"\b([a-z]+\d*[a-z0-9]*)\[([\d,<= ]*)\](\{[^{}]*\})?")
_INSTRUCTION = re.compile(r"\s*(ROOT )?%?([\w.\-]+) = ")
_NAME = re.compile(r"%([\w.\-]+)")
_COMPUTATION = re.compile(r"(ENTRY )?%?([\w.\-]+) \(")


@dataclasses.dataclass(frozen=True)
class Array:
    """An array in the text.

    Attributes:
      shape: the shape of one device's part.
      bytes: its size without padding.
      main: whether it is in the device's main memory rather than in on-chip memory.
    """

    shape: tuple[int, ...]
    bytes: int
    main: bool


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a computation.

    Attributes:
      name: without the leading %.
      opcode: such as `dot` or `fusion`.
      result: the array, or the arrays of a tuple.
      operands: their names.
      inside: the text between the parentheses of the operands.
      text: everything after the operands.
      is_root: whether this is the result of the computation.
    """

    name: str
    opcode: str
    result: tuple[Array, ...]
    operands: tuple[str, ...]
    inside: str
    text: str
    is_root: bool

    def callee(self, key: str) -> str:
        """Returns the name of the computation in an attribute such as `to_apply=%add`."""
        return _found(rf"\b{key}=%?([\w.\-]+)", self.text).group(1)

    @property
    def index(self) -> int:
        """The element that a get-tuple-element takes."""
        return int(_found(r"\bindex=(\d+)", self.text).group(1))

    def numbers(self, key: str) -> tuple[int, ...]:
        """Returns the numbers of an attribute such as `dimensions={0,1}`."""
        found = re.search(rf"\b{key}={{([\d,]*)}}", self.text)
        return tuple(int(x) for x in found.group(1).split(",") if x) if found else ()


Computation = dict[str, Instruction]


@dataclasses.dataclass(frozen=True)
class Collective:
    """All collectives of one kind in one execution of the program.

    Attributes:
      count: how often they run.
      bytes: the size of their whole arrays: gathered, or not yet scattered.
      sent: the least number of bytes that the device sends for them.
    """

    count: int = 0
    bytes: float = 0.0
    sent: float = 0.0


@dataclasses.dataclass(frozen=True)
class Counts:
    """The work of one device in one execution of a program.

    Attributes:
      flops: of matrix products and convolutions; those inside custom kernels are not known.
      traffic: bytes that its kernels read from and write to main memory.
      collectives: the collectives that occur, by kind.
      attention: how often each fused attention kernel is called, by name.
      unknown_loops: the number of loops of unknown length; their bodies are counted once.
    """

    flops: float
    traffic: float
    collectives: dict[str, Collective]
    attention: dict[str, int]
    unknown_loops: int


def count(text: str) -> Counts:
    """Counts the work in the result of `jax.stages.Compiled.as_text()`."""
    computations, entry = _parse(text)
    partitions = re.search(r"num_partitions=(\d+)", text)
    devices = int(partitions.group(1)) if partitions else 1
    flops = traffic = 0.0
    unknown: set[str] = set()
    attention: collections.Counter[str] = collections.Counter()
    # On TPU, one asynchronous collective appears in several fusions, which form a chain.
    moved: dict[str, tuple[str, int, float, float]] = {}
    for instruction, computation, times, fused in _executed(computations, entry, 1, False, unknown):
        flops += times * _flops(instruction, computation)
        if not fused:
            traffic += times * _traffic(instruction, computation, computations)
        kind = instruction.opcode.removesuffix("-start")
        if kind in _SENT:
            kind, size, sent = _collective(kind, instruction, computation, fused, devices)
            chain = re.search(r'chain_id="(\d+)"', instruction.text)
            name = f"chain {chain.group(1)}" if chain else instruction.name
            if name not in moved or moved[name][1] < times:
                moved[name] = kind, times, times * size, times * sent
        elif kernel := _attention(instruction):
            attention[kernel] += times
    totals: dict[str, Collective] = {}
    for kind, times, size, sent in moved.values():
        old = totals.get(kind, Collective())
        totals[kind] = Collective(old.count + times, old.bytes + size, old.sent + sent)
    in_order = {kind: totals[kind] for kind in KINDS if kind in totals}
    return Counts(flops, traffic, in_order, dict(attention), len(unknown))


def _executed(
    computations: dict[str, Computation], name: str, times: int, fused: bool, unknown: set[str]
) -> Iterator[tuple[Instruction, Computation, int, bool]]:
    """Yields every instruction that runs, its computation, how often it runs, and whether it is part of a kernel."""
    computation = computations[name]
    for instruction in computation.values():
        yield instruction, computation, times, fused
        if instruction.opcode == "while":
            trips = _trips(instruction, computations)
            if trips is None:
                unknown.add(instruction.name)
            yield from _executed(computations, instruction.callee("body"), times * (trips or 1), fused, unknown)
        elif instruction.opcode in ("fusion", "async-start"):
            inside = fused or instruction.opcode == "fusion"
            yield from _executed(computations, instruction.callee("calls"), times, inside, unknown)
        elif instruction.opcode == "call":
            yield from _executed(computations, instruction.callee("to_apply"), times, fused, unknown)
        elif instruction.opcode == "conditional":
            branches = re.search(r"branch_computations={([^}]*)}", instruction.text)
            names = _NAME.findall(branches.group(1)) if branches else []
            names = names or [instruction.callee("true_computation"), instruction.callee("false_computation")]
            for branch in names:
                yield from _executed(computations, branch, times, fused, unknown)


def _trips(loop: Instruction, computations: dict[str, Computation]) -> int | None:
    """Returns how often a loop body runs: what XLA says, or the steps of the loop's counter from 0 to its bound."""
    known = re.search(r'"known_trip_count":{"n":"(\d+)"}', loop.text)
    if known:
        return int(known.group(1))
    condition = computations[loop.callee("condition")]
    root = next(instruction for instruction in condition.values() if instruction.is_root)
    test = root
    if root.opcode == "fusion":
        test = next(x for x in computations[root.callee("calls")].values() if x.is_root)
    operands = [condition[name] for name in root.operands]
    bounds = [int(x.inside) for x in operands if x.opcode == "constant" and x.inside.isdigit()]
    counters = [x.index for x in operands if x.opcode == "get-tuple-element"]
    if test.opcode != "compare" or "direction=LT" not in test.text or len(bounds) != 1 or len(counters) != 1:
        return None
    return math.ceil(bounds[0] / _increment(computations[loop.callee("body")], counters[0]))


def _increment(body: Computation, index: int) -> int:
    """Returns what a loop body adds to element `index` of its tuple; 1 if that is not obvious."""
    root = next(instruction for instruction in body.values() if instruction.is_root)
    if root.opcode != "tuple":
        return 1
    added = body[root.operands[index]]
    constants = [body[name].inside for name in added.operands if name in body and body[name].opcode == "constant"]
    return int(constants[0]) if added.opcode == "add" and len(constants) == 1 and constants[0].isdigit() else 1


def _flops(instruction: Instruction, computation: Computation) -> float:
    """Counts floating-point operations: 2 for a multiplication and its addition."""
    opcode, result = instruction.opcode, instruction.result
    if opcode == "dot":
        left = computation[instruction.operands[0]].result[0].shape
        contracted = [left[axis] for axis in instruction.numbers("lhs_contracting_dims")]
        return 2.0 * math.prod(result[0].shape) * math.prod(contracted)
    if opcode == "convolution":
        return _convolution_flops(instruction, computation)
    if opcode == "custom-call" and any(name in instruction.text for name in _PRODUCTS):
        left = computation[instruction.operands[0]].result[0].shape
        axes = re.search(r'"lhs_contracting_dimensions":\[([^\]]*)\]', instruction.text)
        contracted = [left[int(axis)] for axis in re.findall(r"\d+", axes.group(1))] if axes else [left[-1]]
        return 2.0 * math.prod(result[0].shape) * math.prod(contracted)
    return 0.0


def _convolution_flops(instruction: Instruction, computation: Computation) -> float:
    """Counts those of a convolution. On TPU, products are convolutions.

    Their batch axes are spatial axes, dilated so that each output sees one input.
    """
    left, right = (computation[name].result[0].shape for name in instruction.operands[:2])
    labels = _found(r"dim_labels=(\w+)_(\w+)->(\w+)", instruction.text)
    in_labels, kernel_labels, out_labels = labels.groups()
    window = dict(re.findall(r"(\w+)=([\w\-x]+)", (re.search(r"window={([^}]*)}", instruction.text) or [""])[0][8:-1]))
    total = 2.0 * right[kernel_labels.index("i")]
    total *= math.prod(instruction.result[0].shape[out_labels.index(label)] for label in "bf")
    for i, label in enumerate(sorted(label for label in out_labels if label.isdigit())):

        def setting(name: str, default: str, i: int = i) -> str:
            return window[name].split("x")[i] if name in window else default

        low = int(setting("pad", "0_0").split("_")[0])
        stride, dilated = int(setting("stride", "1")), int(setting("lhs_dilate", "1"))
        spread = int(setting("rhs_dilate", "1"))
        inputs, outputs = left[in_labels.index(label)], instruction.result[0].shape[out_labels.index(label)]
        places = (
            out * stride - low + k * spread for out in range(outputs) for k in range(right[kernel_labels.index(label)])
        )
        total *= sum(place % dilated == 0 and 0 <= place // dilated < inputs for place in places)
    groups = re.search(r"batch_group_count=(\d+)", instruction.text)
    return total / int(groups.group(1)) if groups else total


def _main(arrays: tuple[Array, ...]) -> int:
    return sum(array.bytes for array in arrays if array.main)


def _traffic(instruction: Instruction, computation: Computation, computations: dict[str, Computation]) -> int:
    """Counts the bytes that a kernel reads from and writes to main memory; of slices and updates, the part affected."""
    opcode, result = instruction.opcode, instruction.result
    if opcode in _FREE or opcode.endswith("-done") or opcode.removesuffix("-start") in _SENT:
        return 0
    operands = [computation[name].result for name in instruction.operands if name in computation]
    if opcode.endswith("-start"):  # copies and slices between memories: (what arrives, where from, …) or the reverse
        moved = min((array.bytes for array in result if array.shape or array.bytes > 8), default=0)
        return moved * sum(array.main for array in result[:2])
    if opcode in _SLICES:
        return 2 * _main(result)
    if opcode == "dynamic-update-slice":
        return 2 * _main(operands[1])
    if opcode == "fusion":
        inner = computations[instruction.callee("calls")]
        read = sum(_read(i, arrays, inner) for i, arrays in enumerate(operands))
        return read + _written(result, inner)
    return sum(_main(arrays) for arrays in operands) + _main(result)


def _read(index: int, arrays: tuple[Array, ...], fused: Computation) -> int:
    """Counts the bytes that a fusion reads of its operand `index`."""
    if len(arrays) != 1 or not arrays[0].main:
        return _main(arrays)
    parameter = next((x for x in fused.values() if x.opcode == "parameter" and x.inside == str(index)), None)
    if parameter is None:
        return arrays[0].bytes
    total, names = 0, {parameter.name}
    for user in fused.values():
        if not names & set(user.operands):
            continue
        if user.opcode == "bitcast":
            names.add(user.name)
        elif user.opcode in _SLICES and user.operands[0] in names:
            total += user.result[0].bytes
        elif user.opcode != "dynamic-update-slice" or user.operands[0] not in names:
            return arrays[0].bytes
    return min(total, arrays[0].bytes)


def _written(result: tuple[Array, ...], fused: Computation) -> int:
    """Counts the bytes that a fusion writes."""
    root = next(instruction for instruction in fused.values() if instruction.is_root)
    while root.opcode == "bitcast":
        root = fused[root.operands[0]]
    if root.opcode == "dynamic-update-slice" and result[0].main:
        return fused[root.operands[1]].result[0].bytes
    return _main(result)


def _collective(
    kind: str, instruction: Instruction, computation: Computation, fused: bool, devices: int
) -> tuple[str, float, float]:
    """Returns the kind of a collective, and its bytes as in `Collective`."""
    size = float(sum(array.bytes for name in instruction.operands for array in computation[name].result))
    group = _group(instruction.text, devices)
    if kind == "all-reduce" and fused:
        # On TPU, a reduce-scatter is a fusion of an all-reduce with the slice that the device keeps.
        root = next(x for x in computation.values() if x.is_root)
        if sum(array.bytes for array in root.result) < size:
            kind = "reduce-scatter"
    if kind == "all-gather":
        size *= group
    return kind, size, size * _SENT[kind](group)


def _group(text: str, devices: int) -> int:
    """Returns how many devices take part in a collective together, from any of the three notations."""
    if found := re.search(r"replica_groups={{([\d,]*)}", text):
        return len(found.group(1).split(","))
    if found := re.search(r"replica_groups=\[(\d+),(\d+)\]<=", text):
        return int(found.group(2))
    if found := re.search(r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\([^{]*\))? {([^}]*)}", text):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", found.group(1)))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'(\w+)'", found.group(2)))
    return devices


def _attention(instruction: Instruction) -> str | None:
    """Returns the name of a fused attention kernel, or None if the instruction is something else."""
    target = re.search(r'custom_call_target="([^"]*)"', instruction.text)
    if instruction.opcode != "custom-call" or target is None:
        return None
    scope = re.search(r'op_name="([^"]*)"', instruction.text)
    if _FUSED_ATTENTION.search(target.group(1)):
        return target.group(1)
    is_kernel = _KERNELS.search(target.group(1)) and scope and "attention" in scope.group(1)
    return target.group(1) if is_kernel else None


def _parse(text: str) -> tuple[dict[str, Computation], str]:
    """Returns the computations by name, and the name of the entry computation."""
    computations: dict[str, Computation] = {}
    entry, current = "", None
    for line in text.split("\n"):
        if current is None:
            header = _COMPUTATION.match(line) if line.endswith("{") and " -> " in line else None
            if header:
                current = computations[header.group(2)] = {}
                entry = header.group(2) if header.group(1) else entry
        elif line.startswith("}"):
            current = None
        elif instruction := _instruction(line):
            current[instruction.name] = instruction
    return computations, entry


def _instruction(line: str) -> Instruction | None:
    head = _INSTRUCTION.match(line)
    if head is None:
        return None
    start = head.end()
    end = _closing(line, start) + 1 if line[start] == "(" else line.index(" ", start)
    opcode_end = line.index("(", end + 1)
    close = _closing(line, opcode_end)
    inside = line[opcode_end + 1 : close]
    return Instruction(
        name=head.group(2),
        opcode=line[end + 1 : opcode_end].strip(),
        result=tuple(_array(*found) for found in _ARRAY.findall(line[start:end])),
        operands=tuple(_NAME.findall(inside)),
        inside=inside,
        text=line[close + 1 :],
        is_root=bool(head.group(1)),
    )


def _closing(line: str, start: int) -> int:
    """Returns the position of the parenthesis that closes the one at `start`."""
    depth = 0
    for place in range(start, len(line)):
        depth += {"(": 1, ")": -1}.get(line[place], 0)
        if depth == 0:
            return place
    return len(line) - 1


def _found(pattern: str, text: str) -> re.Match[str]:
    """Searches for something that every version of XLA has written so far."""
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"There is no {pattern} in {text[:200]!r}: XLA's text format has changed.")
    return match


def _array(dtype: str, dims: str, layout: str) -> Array:
    shape = tuple(int(size.strip(" <=")) for size in dims.split(",") if size.strip())
    width = _BYTES[dtype] if dtype in _BYTES else int(_found(r"\d+", dtype).group()) / 8
    space = re.search(r"S\((\d+)\)", layout)
    return Array(shape, math.ceil(math.prod(shape) * width), space is None or space.group(1) == "0")
