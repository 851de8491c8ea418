"""Tests base images: exact tags in the source, and scripts/pin, which adds digests. Docker is a stand-in, as no registry
is available here."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = ["Dockerfile", "turn/Dockerfile", "docker-compose.cluster.yml", "deploy/monitoring/services.yml", "deploy/kubernetes/three/valkey.yaml"]
IMAGE = re.compile(r"(?m)^(?:FROM| *image:) (?:&[a-z-]+ )?(?:\$\{\w+:-)?([a-z0-9./-]+:[^\s}@]+)(@sha256:[0-9a-f]{64})?")
# Digests differ by image and by day.
DOCKER = """#!/bin/sh
[ "$1" = buildx ] || exit 1
case $4 in *"$UNKNOWN"*) exit 1 ;; esac
printf 'sha256:'; printf '%s' "$4 $DAY" | sha256sum | cut -c1-64
"""


class Pin(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for name in ["scripts/pin", *FILES]:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.folder / name)
        (self.folder / "bin").mkdir()
        (self.folder / "bin/docker").write_text(DOCKER)
        (self.folder / "bin/docker").chmod(0o755)

    def images(self):
        return {name: IMAGE.findall((self.folder / name).read_text()) for name in FILES}

    def pin(self, day="1", unknown="no image"):
        environment = os.environ | {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "DAY": day, "UNKNOWN": unknown}
        return subprocess.run([self.folder / "scripts/pin"], env=environment, capture_output=True, text=True, timeout=20)

    def test_every_base_image_has_an_exact_tag(self):
        found = {image for images in self.images().values() for image, _ in images}
        self.assertEqual(len(found), 9, found)
        for image in found:
            self.assertRegex(image, r":v?\d+\.\d+\.\d+(-[a-z0-9-]+)?$")

    def test_it_adds_digests_and_replaces_them_later(self):
        before = self.images()
        for day in ["1", "2"]:
            ran = self.pin(day)
            self.assertEqual((ran.returncode, ran.stderr), (0, ""))
            pinned = self.images()
            for name in FILES:
                self.assertEqual([image for image, _ in pinned[name]], [image for image, _ in before[name]])
                for image, digest in pinned[name]:
                    self.assertIn(f"{image}{digest}\n", ran.stdout)
            self.assertIn(" AS nginx\n", (self.folder / "Dockerfile").read_text())

    def test_without_a_registry_it_says_so_and_changes_nothing(self):
        before = {name: (self.folder / name).read_text() for name in FILES}
        ran = self.pin(unknown="coturn")
        self.assertNotEqual(ran.returncode, 0)
        self.assertRegex(ran.stderr, r"no digest of coturn/coturn:\S+ is found: .* Nothing was changed")
        self.assertEqual({name: (self.folder / name).read_text() for name in FILES}, before)


if __name__ == "__main__":
    unittest.main(verbosity=2)
