"""What the tests against other people's code share: their environment, the program, and how they end."""

import os
import pathlib
import subprocess
import sys


def make_environment_if_asked(packages, probe):
    """With the arguments --environment FOLDER: installs the packages there, unless `probe` runs there already, and ends the program."""
    if len(sys.argv) != 3 or sys.argv[1] != "--environment":
        return
    folder = sys.argv[2]
    python = pathlib.Path(folder) / "bin/python"
    if python.exists() and subprocess.run([python, "-c", probe], stderr=subprocess.DEVNULL).returncode == 0:
        sys.exit(0)
    if not python.exists() and subprocess.run([sys.executable, "-m", "venv", folder]).returncode != 0:
        sys.exit(1)
    sys.exit(subprocess.run([python, "-m", "pip", "install", "-q", *packages]).returncode)


def everlong(*arguments, check=True):
    done = subprocess.run([os.environ["EVERLONG_PROGRAM"], *map(str, arguments)], capture_output=True, text=True)
    if check and done.returncode != 0:
        raise RuntimeError(f"everlong {' '.join(map(str, arguments))}: {done.stderr}{done.stdout}")
    return done


def status_of(found, all_is_well) -> int:
    """Prints the complaints, or that there are none."""
    print("\n".join(found) or all_is_well)
    return 1 if found else 0
