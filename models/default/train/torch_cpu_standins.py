#!/usr/bin/env python3
"""Lets PyPI's torch, which is built for CUDA, import on a machine without CUDA's libraries.

    torch_cpu_standins.py SITE_PACKAGES

For each library that torch's libraries link to and that is not there, writes one into torch's own
folder that defines the same symbols, every one a function that returns 1. Torch's CPU part never
calls them. CUDA's small runtime (pip install nvidia-cuda-runtime) must be real: it is called at
import, and is copied in if pip has it. Saves some gigabytes of downloads; for tools, never for work
on a GPU. Needs gcc and binutils.
"""

import collections
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

RUNTIME = "libcudart.so.13"
SYSTEM = {
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "librt.so.1",
    "libpthread.so.0",
    "libstdc++.so.6",
    "libgcc_s.so.1",
    "ld-linux-x86-64.so.2",
    "libgomp.so.1",
}
# Symbols without a version are given to the library whose name they begin with.
PREFIXES = {
    "libcudnn.so.9": "cudnn",
    "libcusparseLt.so.0": "cusparseLt",
    "libnccl.so.2": "nccl",
    "libcufile.so.0": "cuFile",
    "libcupti.so.13": "cupti",
    "libcufft.so.12": "cufft",
    "libcurand.so.10": "curand",
    "libcublas.so.13": "cublas",
    "libcublasLt.so.13": "cublasLt",
    "libcusparse.so.12": "cusparse",
    "libcusolver.so.12": "cusolver",
    "libnvshmem_host.so.3": "nvshmem",
}


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def needed(libraries):
    names = set()
    for library in libraries:
        names |= set(re.findall(r"NEEDED.*\[(.*?)\]", run("readelf", "-d", library)))
    return names


def version_owners(library):
    """Which library each symbol version that this one wants comes from."""
    owners, current = {}, None
    for line in run("readelf", "-V", "-W", library).splitlines():
        if file := re.search(r"File: (\S+)", line):
            current = file.group(1)
        if (name := re.search(r"Name: (\S+)\s+Flags", line)) and current:
            owners[name.group(1)] = current
    return owners


def undefined(libraries, missing):
    """The symbols that are wanted: by library and version, and those without a version."""
    versioned = collections.defaultdict(lambda: collections.defaultdict(set))
    plain, defined = set(), set()
    for library in libraries:
        owners = version_owners(library)
        for line in run("nm", "-D", library).splitlines():
            parts = line.split()
            if len(parts) == 3:
                defined.add(parts[2].split("@")[0])
            elif len(parts) == 2 and parts[0] in "Uw":
                name, _, version = parts[1].partition("@")
                if not version:
                    plain.add(name)
                elif (owner := owners.get(version)) in missing:
                    versioned[owner][version].add(name)
    return versioned, plain - defined


def build(path, name, symbols, versions, work):
    source = work / "standin.c"
    source.write_text("".join(f"int {symbol}(void) {{ return 1; }}\n" for symbol in sorted(symbols)))
    command = ["gcc", "-shared", "-fPIC", "-w", "-fno-builtin", "-nostdlib", "-o", path / name]
    command += [source, f"-Wl,-soname,{name}"]
    if versions:
        script = work / "standin.map"
        lines = (f"{v} {{ global: {' '.join(s + ';' for s in names)} }};\n" for v, names in versions.items())
        script.write_text("".join(lines))
        command.append(f"-Wl,--version-script={script}")
    subprocess.run(command, check=True)


def main():
    packages = Path(sys.argv[1])
    torch = packages / "torch" / "lib"
    for runtime in packages.glob(f"nvidia/**/{RUNTIME}"):
        shutil.copy(runtime, torch)
    libraries = sorted(torch.glob("*.so"))
    present = {path.name for path in torch.iterdir()}
    missing = {name for name in needed(libraries) if name not in present | SYSTEM}
    if RUNTIME in missing:
        sys.exit(f"{RUNTIME} is not there: pip install nvidia-cuda-runtime")
    versioned, plain = undefined(libraries, missing)
    with tempfile.TemporaryDirectory() as work:
        for name in sorted(missing):
            symbols = set().union(*versioned[name].values())
            if prefix := PREFIXES.get(name):
                symbols |= {symbol for symbol in plain if symbol.startswith(prefix)}
            build(torch, name, symbols, versioned[name], Path(work))
            print(name, len(symbols), "symbols")


if __name__ == "__main__":
    main()
