"""scripts/backup, in a folder of its own. Docker is a stand-in that copies a key; its stack is in tests/containers/stack.test.js."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
STAMP = "20300102T030405Z"
DOCKER = """#!/bin/bash
case "$1 $2" in
  "compose version") ;;
  "compose ps") echo container ;;
  *keys.json) exit 1 ;;
  *certs) mkdir "$3" ;;
  *) echo key >"$3" ;;
esac
"""


class Backup(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name).resolve()
        for name in ["scripts", "bin", "to"]:
            (self.folder / name).mkdir()
        shutil.copy(ROOT / "scripts/backup", self.folder / "scripts")
        for name, text in [("docker", DOCKER), ("date", f"#!/bin/sh\necho {STAMP}\n")]:
            (self.folder / "bin" / name).write_text(text)
            (self.folder / "bin" / name).chmod(0o755)
        self.archive = self.folder / f"to/roundtable-backup-{STAMP}.tar.gz"

    def backup(self):
        environment = os.environ | {"PATH": f"{self.folder}/bin:{os.environ['PATH']}"}
        return subprocess.run([self.folder / "scripts/backup", "to"], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60)

    def test_the_archive_is_for_its_owner_alone(self):
        made = self.backup()
        self.assertEqual((made.returncode, made.stdout), (0, f"{self.archive}\n"), made.stderr)
        self.assertEqual(self.archive.stat().st_mode & 0o777, 0o600)
        listed = subprocess.run(["tar", "-tzf", self.archive], capture_output=True, text=True, check=True).stdout
        self.assertIn("state/resume.key", listed)

    def test_a_link_is_not_followed_and_a_file_is_not_written_to(self):
        elsewhere = self.folder / "elsewhere"
        for name, put in [
            ("a file that all may read", lambda: self.archive.write_text("theirs")),
            ("a link to a file", lambda: (elsewhere.write_text("theirs"), self.archive.symlink_to(elsewhere))),
            ("a link to nothing", lambda: self.archive.symlink_to(elsewhere)),
        ]:
            with self.subTest(name):
                put()
                made = self.backup()
                self.assertEqual((made.returncode, made.stdout), (1, ""), made.stderr)
                self.assertIn("exists already", made.stderr)
                for path in [self.archive, elsewhere]:
                    self.assertIn(path.read_text() if path.exists() else "theirs", ["theirs"])
                self.archive.unlink()
                elsewhere.unlink(missing_ok=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
