"""Plants one fault at a time in a copy of the tree and demands that tools/check_layers.py names it. Standard library only."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ["everlong", "apps", "bench", "examples", "fuzz", "tests", "tools", "docs"]
LONG_FUNCTION = "namespace everlong {\nint long_one(int x) {\n" + "  x += 1;  // }\n" * 58 + "  return x;\n}\n}\n"


class CheckLayers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for name in FOLDERS:
            shutil.copytree(ROOT / name, self.root / name, ignore=shutil.ignore_patterns("golden", "data", "corpus", "__pycache__"))

    def check(self):
        done = subprocess.run([sys.executable, str(ROOT / "tools/check_layers.py"), str(self.root)], capture_output=True, text=True, timeout=60)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        self.assertEqual(done.returncode == 0, done.stdout == "")
        return done.stdout.splitlines()

    def append(self, file, text):
        path = self.root / file
        path.write_text((path.read_text(encoding="utf-8") if path.exists() else "") + text, encoding="utf-8")

    def replace(self, file, old, new):
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        self.assertIn(old, text)
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def expect(self, *parts):
        """Exactly one breach, and it names all of the parts."""
        found = self.check()
        self.assertEqual(len(found), 1, found)
        for part in parts:
            self.assertIn(part, found[0])

    def test_the_tree_as_it_is_has_no_breach(self):
        self.assertEqual(self.check(), [])

    def test_a_room_that_includes_one_above_it(self):
        self.append("everlong/io/npy.cpp", '#include "everlong/text/tokenizer.h"\n')
        self.expect("everlong/io/npy.cpp", "everlong/text/tokenizer.h", "io may include only base")

    def test_torch_in_a_room_without_torch(self):
        self.append("everlong/base/rng.cpp", "#include <ATen/ATen.h>\n")
        self.expect("everlong/base/rng.cpp", "torch-free")

    def test_a_library_that_includes_a_test(self):
        self.append("everlong/nn/state.cpp", '#include "tests/support/files.h"\n')
        self.expect("everlong/nn/state.cpp", "the library must not")

    def test_an_architecture_that_includes_another(self):
        self.append("everlong/models/mega/model.cpp", '#include "everlong/models/transformer/config.h"\n')
        self.expect("everlong/models/mega/model.cpp", "never includes another")

    def test_a_room_without_a_row(self):
        (self.root / "everlong/attic").mkdir()
        self.append("everlong/attic/old.h", "#pragma once\n")
        self.expect("everlong/attic/old.h", "not in tools/layers.toml")

    def test_a_link_that_no_row_allows(self):
        self.replace("everlong/CMakeLists.txt", "everlong_room(io LINK everlong_base", "everlong_room(io LINK everlong_base everlong_text")
        self.expect("io links text")

    def test_an_architecture_without_its_page_test_or_line(self):
        (self.root / "docs/models/mega.md").unlink()
        self.expect("mega needs docs/models/mega.md")
        (self.root / "docs/models/mega.md").touch()
        (self.root / "tests/models/mega_test.cpp").unlink()
        self.expect("mega needs tests/models/mega_test.cpp")
        (self.root / "tests/models/mega_test.cpp").touch()
        self.replace("everlong/models/models.def", 'EVERLONG_MODEL(mega, "mega")', "")
        self.expect("everlong/models/mega: no line in models.def")

    def test_files_that_are_too_long(self):
        for file, lines in [("everlong/base/new.h", 200), ("everlong/base/new.cpp", 400), ("everlong/kernels/cpu/new.cpp", 500), ("apps/everlong/new.cpp", 400)]:
            self.append(file, "//\n" * lines)
            self.assertEqual(self.check(), [])
            self.append(file, "//\n")
            self.expect(file, f"{lines + 1} lines; at most {lines}")
            (self.root / file).unlink()

    def test_functions_that_are_too_long(self):
        for file in ["everlong/base/new.cpp", "everlong/base/new.h", "tests/base/new_test.cpp", "apps/everlong/new.cpp"]:
            self.append(file, LONG_FUNCTION)
            self.expect(f"{file}:2: int long_one(int x)", "61 lines; at most 60")
            (self.root / file).write_text(LONG_FUNCTION.replace("  x += 1;  // }\n", "", 1), encoding="utf-8")
            self.assertEqual(self.check(), [])
            (self.root / file).unlink()

    def test_functions_are_found_wherever_they_stand(self):
        body = "\n" * 60
        for start, end in [
            ("struct A {\n  A() : a_{1}, b_(2) {", "}\n  int a_, b_;\n};\n"),
            ("template <class T>\nvoid f(const char* text = \"{\") noexcept {", "}\n"),
            ("namespace a::b {\nclass C final : public D {\n public:\n  int operator()(int x) const override {", "}\n};\n}\n"),
            ("TEST(Name, Says) {\n  if (true) { g('{'); }", "}\n"),
            ("#define M(x) \\\n  { x\nint h() {", "}\n"),
            ('const char* page() {\n  return R"x({{{)x";', "}\n"),
        ]:
            (self.root / "everlong/base/new.cpp").write_text(start + body + end, encoding="utf-8")
            self.expect("everlong/base/new.cpp", "at most 60")


if __name__ == "__main__":
    unittest.main()
