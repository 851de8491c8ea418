"""Tests scripts/sbom and scripts/scan: the output is valid CycloneDX and complete with respect to the lock files; a
licence that is not allowed is reported."""

import json
import pathlib
import shutil
import subprocess
import tempfile
import tomllib
import unittest

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = pathlib.Path(__file__).resolve().parents[2]


def script(name, *arguments):
    # Cargo uses the network only for crates that the server's tests have not downloaded yet.
    return subprocess.run([ROOT / "scripts" / name, *arguments], capture_output=True, text=True, timeout=300)


class Parts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.given = pathlib.Path(cls.folder.name) / "given"
        made = script("sbom", "-o", cls.given, "crates", "npm")
        assert made.returncode == 0, made.stderr

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def setUp(self):
        """Makes a copy for each test, which it may change."""
        self.files = self.given.with_name(self.id())
        shutil.copytree(self.given, self.files)

    def read(self, name):
        return json.loads((self.files / f"{name}.cdx.json").read_text())

    def change(self, name, package, licences):
        bom = self.read(name)
        [one] = [one for one in bom["components"] if one["name"] == package]
        one["licenses"] = licences
        (self.files / f"{name}.cdx.json").write_text(json.dumps(bom))

    def scan(self):
        return script("scan", "-i", self.files, "licences")

    def test_each_file_is_as_the_schema_has_it(self):
        for name in ["crates", "npm"]:
            text = json.dumps(self.read(name))
            self.assertIsNone(JsonStrictValidator(SchemaVersion.V1_5).validate_str(text), name)

    def test_every_crate_of_the_lock_is_there_once_and_what_is_needed_has_a_licence(self):
        bom = self.read("crates")
        locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
        there = sorted(one["purl"] for one in [bom["metadata"]["component"], *bom["components"]])
        self.assertEqual(there, sorted(f"pkg:cargo/{one['name']}@{one['version'].replace('+', '%2B')}" for one in locked))
        needed = {one["name"] for one in bom["components"] if one["scope"] == "required" and one["licenses"]}
        self.assertLess({"tokio", "axum", "serde", "libc"}, needed)
        # Needed only by tests, and only on Windows.
        self.assertTrue(needed.isdisjoint({"proptest", "windows-sys"}))

    def test_every_package_of_the_page_is_there_and_what_is_served_is_needed(self):
        components = self.read("npm")["components"]
        locked = json.loads((ROOT / "static/package-lock.json").read_text())["packages"]
        wanted = {(path.rpartition("node_modules/")[2], one["version"]) for path, one in locked.items()
                  if path and not (one.get("dev") or one.get("devOptional") or one.get("optional"))}
        self.assertGreater(len(wanted), 10)
        needed = {(one["name"], one["version"]) for one in components if one["scope"] == "required"}
        self.assertEqual(needed, wanted)

    def test_the_licences_of_what_is_here_are_allowed(self):
        scan = self.scan()
        self.assertEqual(scan.returncode, 0, scan.stdout)

    def test_a_licence_that_is_not_allowed_is_found(self):
        for name, package, licences, found in [
            ("crates", "tokio", [{"expression": "LicenseRef-Made-Up"}], True),
            ("crates", "tokio", [{"expression": "MIT AND LicenseRef-Made-Up"}], True),
            ("crates", "tokio", [{"expression": "MIT WITH LicenseRef-Made-Up"}], True),
            ("crates", "tokio", [{"expression": "(MIT OR"}], True),
            ("crates", "tokio", [], True),
            ("crates", "tokio", [{"expression": "(LicenseRef-Made-Up OR ISC) AND MIT"}], False),
            ("crates", "proptest", [{"expression": "LicenseRef-Made-Up"}], False),
            ("npm", "vue", [{"license": {"name": "Made up"}}], True),
            ("npm", "vue", [{"license": {"id": "MIT"}}, {"license": {"id": "GPL-3.0-only"}}], True),
        ]:
            with self.subTest(package=package, licences=licences):
                self.change(name, package, licences)
                scan = self.scan()
                self.assertEqual(scan.returncode, 1 if found else 0, scan.stdout)
                (self.assertIn if found else self.assertNotIn)(f"FOUND: licence of {package} ", scan.stdout)
                shutil.copytree(self.given, self.files, dirs_exist_ok=True)

    def test_what_is_not_there_was_not_looked_at(self):
        (self.files / "npm.cdx.json").unlink()
        scan = self.scan()
        self.assertEqual(scan.returncode, 2, scan.stdout)
        self.assertIn("NOT LOOKED AT: licences of npm", scan.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
