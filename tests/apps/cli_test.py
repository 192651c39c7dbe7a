"""Drives the built `everlong` from outside with all tests of tests/apps/cli/; arguments are those of unittest, names as in `run_test.TinyRun`.

EVERLONG_PROGRAM is the program; EVERLONG_FOREIGN_MODULE a compute module of another build. Standard library only.
"""

import pathlib
import sys
import unittest

FOLDER = pathlib.Path(__file__).resolve().parent / "cli"
sys.path.insert(0, str(FOLDER))


class Loader(unittest.TestLoader):
    """Finds the files by itself where none is named: a new one is run without being listed anywhere."""

    def discover(self, *_args, **_kwargs):
        found = super().discover(str(FOLDER), pattern="*_test.py", top_level_dir=str(FOLDER))
        if found.countTestCases() == 0:
            raise SystemExit(f"no tests in {FOLDER}")
        return found


if __name__ == "__main__":
    unittest.main(module=None, testLoader=Loader())
