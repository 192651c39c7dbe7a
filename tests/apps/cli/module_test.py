"""The compute module: found, missing, foreign, and what doctor says of it."""

import json
import os
import shutil
import tempfile
import unittest

from support import FOREIGN_MODULE, HAS_MODULE, MODULE, PROGRAM, Cli, run


class Doctor(Cli):
    def test_json_is_one_valid_object(self):
        status, out, err = run("doctor", "--json")
        report = json.loads(out)
        self.assertEqual(report["compute module"]["usable"], HAS_MODULE)
        self.assertEqual(status, 0 if HAS_MODULE else 1, err)
        self.assertIn(report["build"]["everlong"], run("--version")[1])
        self.assertGreaterEqual(report["machine"]["processors available"], 1)
        if HAS_MODULE:
            self.assertRegex(report["libtorch"]["version"], r"^\d+\.\d+")

    @unittest.skipUnless(HAS_MODULE, "built without torch")
    def test_threads_come_from_the_flag_before_the_environment(self):
        def threads(*words, **variables):
            return json.loads(run("doctor", "--json", *words, **variables)[1])["libtorch"]["threads"]

        self.assertEqual(threads(EVERLONG_THREADS="3"), 3)
        self.assertEqual(threads("--threads", "2", EVERLONG_THREADS="3"), 2)


class ComputeModule(Cli):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.program = shutil.copy(PROGRAM, self.folder)

    def test_a_missing_module_is_reported_with_the_places_looked_at(self):
        status, out, err = run("bench", "ema", program=self.program)
        self.assertEqual((status, out), (1, ""))
        self.assertIn(os.path.join(self.folder, MODULE), err)
        self.assertIn("/everlong/" + MODULE, err)

    def test_a_module_of_another_build_is_refused(self):
        shutil.copy(FOREIGN_MODULE, os.path.join(self.folder, MODULE))
        status, _, err = run("bench", "ema", program=self.program)
        self.assertEqual(status, 1)
        self.assertIn("expected a module of the same build", err)
        self.assertIn("got 0.0.1 (another build)", err)

    def test_a_file_that_is_no_module_is_refused(self):
        for content in [b"", b"\x7fELF not really", b"text"]:
            with open(os.path.join(self.folder, MODULE), "wb") as file:
                file.write(content)
            status, _, err = run("bench", "ema", program=self.program)
            self.assertEqual(status, 1)
            self.assertIn("expected a module that the system can load", err)

    def test_doctor_still_reports_without_it(self):
        status, out, _ = run("doctor", "--json", program=self.program)
        self.assertEqual(status, 1)
        self.assertIn(MODULE, json.loads(out)["compute module"]["reason"])
