#!/usr/bin/env python3
"""Makes the default model from the icons, in the current folder.

    make.py ICONS FOLDER [--stop-at STAGE]

Runs the stages that are not finished yet, one after the other, and writes the pipeline to FOLDER.
Stopped at any moment and called again, it continues from the last checkpoint, and the weights are
those of a run that was not stopped: numbers of steps and seeds are fixed, and each stage is one
process of one thread.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# stage, what it leaves when it is finished
STAGES = (
    ("data", "pictures.npy"),
    ("train_vae", "vae.pt"),
    ("train_diffusion", "diffusion.pt"),
    ("distil", "distilled.pt"),
    ("train_decoder", "decoder.pt"),
)


def run(script, *arguments):
    subprocess.run([sys.executable, str(HERE / f"{script}.py"), *arguments], check=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("icons", help="the folder of the icon set")
    parser.add_argument("folder", help="where the pipeline is written; must not exist")
    parser.add_argument("--stop-at", choices=[name for name, _ in STAGES], help="before this stage")
    options = parser.parse_args()
    for name, result in STAGES:
        if name == options.stop_at:
            return
        if Path(result).exists():
            print(name, "is finished", flush=True)
            continue
        print(name, flush=True)
        run(name, *([options.icons] if name == "data" else []))
    run("export", options.folder, "--weights", "distilled.pt", "vae.pt", "decoder.pt")


if __name__ == "__main__":
    main()
