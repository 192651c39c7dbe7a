"""Golden cases."""

import json
import os
import shutil
import struct
import unittest

from support import GOLDEN, HAS_MODULE, WithFolder, run, tensor_names


@unittest.skipUnless(HAS_MODULE, "built without torch")
class Verify(WithFolder):
    def test_a_golden_case_is_met(self):
        status, out, err = run("verify", GOLDEN, "--dump", self.path("dump.safetensors"), "--json")
        self.assertEqual(status, 0, err)
        (case,) = json.loads(out)
        self.assertEqual((case["case"], case["ok"], case["path"]), ("clm_rotary_softmax", True, GOLDEN))
        self.assertTrue(all(item["ok"] and item["max_abs"] <= 1 for item in case["items"]))
        self.assertIn("logits", {item["name"] for item in case["items"]})
        self.assertEqual(set(case["items"][0]), {"name", "max_abs", "rel_rms", "tolerance", "ok"})
        self.assertIn("logits", tensor_names(self.path("dump.safetensors")))

    def test_one_wrong_number_is_a_failure(self):
        case = self.path("case")
        shutil.copytree(GOLDEN, case)
        with open(os.path.join(case, "expected.safetensors"), "r+b") as file:
            size = struct.unpack("<Q", file.read(8))[0]
            entry = json.loads(file.read(size))["logits"]
            self.assertEqual(entry["dtype"], "F64")
            file.seek(8 + size + entry["data_offsets"][0])
            file.write(struct.pack("<d", 5.0))
        status, out, _ = run("verify", case, "--json")
        self.assertEqual(status, 1)
        self.assertIn("logits", [item["name"] for item in json.loads(out)[0]["items"] if not item["ok"]])
        self.assertEqual(run("verify", GOLDEN, case)[0], 1)

    def test_files_beside_the_cases_are_left_out(self):
        readme = self.path("README.md")
        with open(readme, "w") as file:
            file.write("cases")
        status, out, err = run("verify", GOLDEN, readme, "--json")
        self.assertEqual((status, len(json.loads(out))), (0, 1), err)
        self.assertIn("README.md", err)

    def test_a_missing_case_is_named(self):
        self.refuse("verify", self.path("nothing"), says="nothing")
