"""The Compose files: no log grows for ever, what is ours tells the time in the zone of TZ, and images come from Docker Hub."""

import pathlib
import re
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

    def test_no_profile_but_cadvisors_wants_another_registry(self):
        """Compose starts nothing at all where one image of a profile is out of reach."""
        elsewhere = {}
        for path in [ROOT / stack[-1] for stack in STACKS]:
            for name, service in services(path).items():
                base = service.get("extends", {"file": path.name, "service": name})
                image = services(path.parent / base["file"])[base["service"]].get("image", "")
                image = re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", image)
                # A registry is a name with a dot before the first slash.
                if "." in image.partition("/")[0] and "/" in image:
                    elsewhere[name] = service.get("profiles")
        self.assertEqual(elsewhere, {"cadvisor": ["containers"]})


if __name__ == "__main__":
    unittest.main()
