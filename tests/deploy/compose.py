"""The Compose files: no log grows for ever, what is ours tells the time in the zone of TZ, and monitoring watches it."""

import pathlib
import shutil
import subprocess
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


def monitored(stack):
    """The services as Compose itself reads them, with the profile."""
    files = [word for file in stack for word in ("-f", file)]
    standalone = shutil.which("docker-compose")
    command = [*(["docker-compose"] if standalone else ["docker", "compose"]), *files, "--profile", "monitoring", "config"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["services"]


def mounts(service):
    """Where what is mounted comes from, by where it goes to: Compose writes it in two ways."""
    split = lambda volume: volume.split(":")[1::-1] if isinstance(volume, str) else (volume["target"], volume.get("source"))
    return dict(split(volume) for volume in service.get("volumes", []))


class Monitoring(unittest.TestCase):
    def test_every_server_is_on_the_list_and_every_file_is_there(self):
        for stack in STACKS[:2]:
            with self.subTest(stack=stack[-1]):
                found = monitored(stack)
                ours = [source for service in found.values() for source in mounts(service).values() if source.startswith(str(ROOT))]
                # Docker would make a folder of what is missing.
                self.assertEqual([source for source in ours if not pathlib.Path(source).exists()], [])
                watched = yaml.safe_load(pathlib.Path(mounts(found["prometheus"])["/etc/prometheus/servers.yml"]).read_text())
                servers = [f"{name}:18081" for name in sorted(found) if name.startswith("server")]
                self.assertEqual(watched, [{"targets": servers}])


if __name__ == "__main__":
    unittest.main()
