"""The configurations in configs/: each Megalodon has the published number of parameters and says what memory it needs, without allocating any."""

import json
import pathlib
import unittest

from support import HAS_MODULE, ROOT, Cli

COUNTS = {
    "megalodon-quickstart": 1_187_328,
    "megalodon-enwik8": 12_098_112,
    "megalodon-40m": 39_639_040,
    "megalodon-200m": 220_627_968,
    "megalodon-1.3b": 1_342_832_640,
    "megalodon-1.3b-pg19": 1_327_628_288,
    "megalodon-7b": 7_385_817_088,
}


@unittest.skipUnless(HAS_MODULE, "built without torch")
class Configs(Cli):
    def configs(self):
        return sorted(path for path in pathlib.Path(ROOT, "configs").glob("megalodon-*.toml") if "chat" not in path.stem)  # that one goes on from a run

    def test_every_megalodon_has_its_count_and_the_memory_of_its_parts(self):
        self.assertEqual({path.stem for path in self.configs()}, set(COUNTS))
        for path in self.configs():
            with self.subTest(path.stem):
                plan = self.answer("train", str(path), "--dry-run", "--json")
                self.assertEqual(plan["parameters"], COUNTS[path.stem])
                averaged = 2 if "average_decay" in path.read_text(encoding="utf-8") else 1
                self.assertEqual(plan["parameter_bytes"], 4 * averaged * plan["parameters"])  # fp32, and the averages
                self.assertEqual(plan["gradient_bytes"], 4 * plan["parameters"])
                self.assertEqual(plan["optimizer_bytes"], 8 * plan["parameters"])
                self.assertGreater(plan["activation_bytes"], 0)
                parts = ["parameter_bytes", "gradient_bytes", "optimizer_bytes", "state_bytes", "activation_bytes"]
                self.assertEqual(plan["total_bytes"], sum(plan[part] for part in parts))

    def test_the_recipe_is_the_papers(self):
        for path in self.configs():
            with self.subTest(path.stem):
                text = path.read_text(encoding="utf-8")
                for line in ("beta1 = 0.9", "beta2 = 0.95", "weight_decay = 0.1", 'decay = "all"', "clip = 1.0", 'schedule = "cosine"'):
                    self.assertIn(line + "\n", text)


if __name__ == "__main__":
    unittest.main()
