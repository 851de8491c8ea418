"""The Compose files: no log grows for ever, what is ours tells the time in the zone of TZ, images come from Docker Hub, monitoring watches it, and what is there to be switched on works."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

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


def composed(folder, *files):
    """What Compose itself makes of the files in a folder, with what watches."""
    has_plugin = subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0
    program = ["docker", "compose"] if has_plugin else ["docker-compose"]
    named = [word for file in files for word in ("-f", file)]
    made = subprocess.run([*program, *named, "--profile", "monitoring", "config"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    return yaml.safe_load(made.stdout)


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


class SwitchedOn(unittest.TestCase):
    """In a copy of the folder; the server is the real one, and has what Compose would give it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for name in ["docker-compose.yml", "docker-compose.cluster.yml"]:
            shutil.copy(ROOT / name, self.folder)
        for name in ["turn", "deploy/monitoring"]:
            shutil.copytree(ROOT / name, self.folder / name)

    def serve(self, config, token):
        """The status of the admin API, of a server with these settings, where secrets and folders lie here."""
        server = config["services"]["server"]
        paths = {f"/run/secrets/{name}": secret["file"] for name, secret in config["secrets"].items()}
        for volume in server["volumes"]:
            source, target = volume.split(":")[:2] if isinstance(volume, str) else (volume["source"], volume["target"])
            if source.startswith("/"):
                pathlib.Path(source).mkdir(exist_ok=True)
                paths[target] = source
        environment = {}
        for name, value in server["environment"].items():
            for inside, outside in paths.items():
                value = (value or "").replace(inside, outside)
            environment[name] = value
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environment |= {"ROUNDTABLE_LISTEN": f"127.0.0.1:{port}", "ROUNDTABLE_OPS_LISTEN": "127.0.0.1:0"}
        running = subprocess.Popen([os.environ["SERVER"]], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            address = f"http://127.0.0.1:{port}/signal-api/v1/admin/server"
            asked = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"})
            until = time.monotonic() + 60
            while True:
                try:
                    return urllib.request.urlopen(asked, timeout=10).status
                except urllib.error.HTTPError as error:
                    return error.code
                except urllib.error.URLError:
                    self.assertIsNone(running.poll(), running.poll() and running.stderr.read())
                    self.assertLess(time.monotonic(), until)
                    time.sleep(0.1)
        finally:
            running.terminate()
            running.communicate()

    def test_whoever_copies_the_lines_has_the_operators_page(self):
        self.assertEqual(self.serve(composed(self.folder, "docker-compose.yml"), "a token of nobody"), 404)
        blocks = []
        for language in ["OPERATIONS.md", "OPERATIONS.zh-CN.md"]:
            text = (ROOT / "docs" / language).read_text()
            [block] = [block for block in re.findall(r"```sh\n(.*?)```", text, re.S) if "ADMIN_TOKEN_FILE" in block]
            blocks.append(block)
        self.assertEqual(blocks[0], blocks[1])
        # `docker compose up` is for the tests of containers.
        lines = f"docker() {{ echo \"$@\" >&2; }}\n{blocks[0]}"
        copied = subprocess.run(["bash", "-euc", lines], cwd=self.folder, capture_output=True, text=True, check=True)
        self.assertEqual(copied.stderr, "compose up -d\n")
        self.assertEqual((self.folder / "secrets").stat().st_mode & 0o777, 0o700)
        # The user in the container is not its owner.
        self.assertEqual((self.folder / "secrets/admin").stat().st_mode & 0o777, 0o444)
        token = copied.stdout.strip()
        config = composed(self.folder, "docker-compose.yml")
        self.assertEqual([self.serve(config, token), self.serve(config, "another token")], [200, 401])
        three = composed(self.folder, "docker-compose.yml", "docker-compose.cluster.yml")
        for name in ["server", "server2", "server3"]:
            self.assertIn("admin_token", json.dumps(three["services"][name]["secrets"]))
            self.assertEqual(three["services"][name]["environment"]["ROUNDTABLE_ADMIN_TOKEN_FILE"], "/run/secrets/admin_token")

    def test_the_lines_that_are_there_to_be_uncommented_are_right(self):
        path = self.folder / "docker-compose.yml"
        commented = r"(?m)^( *)#( +)(volumes:|- \./\S+|ROUNDTABLE_\w+: \S+)$"
        text, count = re.subn(commented, lambda found: found[1] + found[2][1:] + found[3], path.read_text())
        self.assertGreaterEqual(count, 9)
        path.write_text(text)
        keys = self.folder / "secrets/keys"
        keys.mkdir(parents=True)
        subprocess.run([os.environ["SERVER"], "token-key", "--key-file", keys / "keys.json"], check=True, capture_output=True, env={})
        config = composed(self.folder, "docker-compose.yml")
        for name in ["ROUNDTABLE_ACCESS", "ROUNDTABLE_TOKEN_KEYS_FILE", "ROUNDTABLE_RECORDINGS_DIR"]:
            self.assertIn(name, config["services"]["server"]["environment"])
        self.assertEqual(self.serve(config, "none"), 404)
        self.assertTrue((self.folder / "recordings").is_dir())
        self.assertIn("/certs", json.dumps(config["services"]["nginx"]["volumes"]))


def mounts(service):
    """Where what is mounted comes from, by where it goes to: Compose writes it in two ways."""
    split = lambda volume: volume.split(":")[1::-1] if isinstance(volume, str) else (volume["target"], volume.get("source"))
    return dict(split(volume) for volume in service.get("volumes", []))


class Monitoring(unittest.TestCase):
    def test_every_server_is_on_the_list_and_every_file_is_there(self):
        for stack in STACKS[:2]:
            with self.subTest(stack=stack[-1]):
                found = composed(ROOT, *stack)["services"]
                ours = [source for service in found.values() for source in mounts(service).values() if source.startswith(str(ROOT))]
                # Docker would make a folder of what is missing.
                self.assertEqual([source for source in ours if not pathlib.Path(source).exists()], [])
                watched = yaml.safe_load(pathlib.Path(mounts(found["prometheus"])["/etc/prometheus/servers.yml"]).read_text())
                servers = [f"{name}:18081" for name in sorted(found) if name.startswith("server")]
                self.assertEqual(watched, [{"targets": servers}])


if __name__ == "__main__":
    unittest.main()
