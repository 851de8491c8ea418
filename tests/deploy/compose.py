"""The Compose files: no log grows for ever, and what is ours tells the time in the zone of TZ."""

import pathlib
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
STACKS = [["docker-compose.yml"], ["docker-compose.yml", "docker-compose.cluster.yml"], ["docker-compose.turn-host.yml"]]


def services(path):
    return yaml.safe_load(path.read_text())["services"]


def setting(path, name, key):
    """What a service has of a kind, its own before that of the one it extends."""
    service = services(path).get(name, {})
    found = {}
    if base := service.get("extends"):
        found = setting(path.parent / base["file"], base["service"], key)
    return {**found, **service.get(key, {})}


class Logs(unittest.TestCase):
    def test_every_service_rotates_its_logs_and_ours_have_the_zone(self):
        for stack in STACKS:
            paths = [ROOT / file for file in stack]
            names = {name for path in paths for name in services(path)}
            self.assertTrue(names)
            for name in sorted(names):
                with self.subTest(stack=stack[-1], service=name):
                    merged = {}
                    for key in ("logging", "environment"):
                        merged[key] = {k: v for path in paths for k, v in setting(path, name, key).items()}
                    self.assertEqual(merged["logging"].get("driver"), "json-file")
                    self.assertEqual(merged["logging"].get("options"), {"max-size": "10m", "max-file": "5"})
                    if name.startswith(("server", "nginx", "turn")):
                        self.assertEqual(merged["environment"].get("TZ"), "${TZ:-Asia/Shanghai}")


if __name__ == "__main__":
    unittest.main()
