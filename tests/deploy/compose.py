"""Tests the Compose files: logs and memory are bounded, our containers use the time zone TZ, images come from Docker
Hub, monitoring covers our services, every setting in .env reaches the server, and all options can be enabled."""

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
import urllib.parse
import urllib.request

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
STACKS = [["docker-compose.yml"], ["docker-compose.yml", "docker-compose.cluster.yml"], ["docker-compose.turn-host.yml"]]


def services(path):
    return yaml.safe_load(path.read_text())["services"]


def setting(path, name, key):
    """Returns a mapping of a service, with its own entries before those of the service it extends."""
    service = services(path).get(name, {})
    found = {}
    if base := service.get("extends"):
        found = setting(path.parent / base["file"], base["service"], key)
    return {**found, **service.get(key, {})}


def value(path, name, key):
    """Returns a value of a service, or of the one it extends."""
    service = services(path).get(name, {})
    base = service.get("extends")
    return service.get(key) or (base and value(path.parent / base["file"], base["service"], key))


def composed(folder, *files):
    """Returns the configuration that Compose itself derives from the files in a folder, including monitoring."""
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

    def test_every_service_has_a_memory_limit(self):
        for stack in STACKS:
            paths = [ROOT / file for file in stack]
            for name in sorted({name for path in paths for name in services(path)}):
                with self.subTest(stack=stack[-1], service=name):
                    limits = [limit for path in paths if (limit := value(path, name, "mem_limit"))]
                    self.assertRegex(limits[-1] if limits else "", r"^(\d+[mg]|\$\{SERVER_MEMORY:-\d+[mg]\})$")

    def test_no_profile_but_cadvisors_wants_another_registry(self):
        """Compose starts nothing at all if one image of a profile is unavailable."""
        elsewhere = {}
        for path in [ROOT / stack[-1] for stack in STACKS]:
            for name, service in services(path).items():
                base = service.get("extends", {"file": path.name, "service": name})
                image = services(path.parent / base["file"])[base["service"]].get("image", "")
                image = re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", image)
                # A registry has a dot in its name, before the first slash.
                if "." in image.partition("/")[0] and "/" in image:
                    elsewhere[name] = service.get("profiles")
        self.assertEqual(elsewhere, {"cadvisor": ["containers"]})


class InCopy(unittest.TestCase):
    """Tests in a copy of the folder, with the real server in the environment that Compose would give it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for name in ["docker-compose.yml", "docker-compose.cluster.yml"]:
            shutil.copy(ROOT / name, self.folder)
        for name in ["turn", "deploy/monitoring"]:
            shutil.copytree(ROOT / name, self.folder / name)

    def environment(self, config):
        """Returns the environment that Compose would give the server, with secrets and folders at their paths on this
        machine."""
        server = config["services"]["server"]
        paths = {f"/run/secrets/{name}": secret["file"] for name, secret in config["secrets"].items()}
        for volume in server["volumes"]:
            source, target = volume.split(":")[:2] if isinstance(volume, str) else (volume["source"], volume["target"])
            if source.startswith("/"):
                pathlib.Path(source).mkdir(exist_ok=True)
                paths[target] = source
        environment = {}
        for name, value in server["environment"].items():
            # A setting without a value is unset in the container.
            if value is not None:
                for inside, outside in paths.items():
                    value = value.replace(inside, outside)
                environment[name] = value
        return environment

    def refused(self, environment):
        """Returns the output of a server that does not start with these settings."""
        environment = environment | {"ROUNDTABLE_LISTEN": "127.0.0.1:0", "ROUNDTABLE_OPS_LISTEN": "127.0.0.1:0"}
        try:
            ended = subprocess.run([os.environ["SERVER"]], env=environment, capture_output=True, text=True, timeout=20)
        except subprocess.TimeoutExpired:
            self.fail("it starts")
        self.assertEqual(ended.returncode, 2, ended.stdout)
        return ended.stderr

    def serve(self, config, token, ask=None):
        """Starts a server with these settings. Returns the status of the admin API, or the result of `ask` with its
        address."""
        environment = self.environment(config)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environment |= {"ROUNDTABLE_LISTEN": f"127.0.0.1:{port}", "ROUNDTABLE_OPS_LISTEN": "127.0.0.1:0"}
        running = subprocess.Popen([os.environ["SERVER"]], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            address = f"http://127.0.0.1:{port}/signal-api/v1"
            asked = urllib.request.Request(f"{address}/admin/server", headers={"Authorization": f"Bearer {token}"})
            until = time.monotonic() + 60
            while True:
                try:
                    status = urllib.request.urlopen(asked, timeout=10).status
                    return ask(address) if ask else status
                except urllib.error.HTTPError as error:
                    return ask(address) if ask else error.code
                except urllib.error.URLError:
                    self.assertIsNone(running.poll(), running.poll() and running.stderr.read())
                    self.assertLess(time.monotonic(), until)
                    time.sleep(0.1)
        finally:
            running.terminate()
            running.communicate()


class SwitchedOn(InCopy):
    def test_whoever_copies_the_lines_has_the_operators_page(self):
        self.assertEqual(self.serve(composed(self.folder, "docker-compose.yml"), "a token of nobody"), 404)
        blocks = []
        for language in ["OPERATIONS.md", "OPERATIONS.zh-CN.md"]:
            text = (ROOT / "docs" / language).read_text()
            [block] = [block for block in re.findall(r"```sh\n(.*?)```", text, re.S) if "ADMIN_TOKEN_FILE" in block]
            blocks.append(block)
        self.assertEqual(blocks[0], blocks[1])
        # `docker compose up` is covered by the container tests.
        lines = f"docker() {{ echo \"$@\" >&2; }}\n{blocks[0]}"
        copied = subprocess.run(["bash", "-euc", lines], cwd=self.folder, capture_output=True, text=True, check=True)
        self.assertEqual(copied.stderr, "compose up -d\n")
        self.assertEqual((self.folder / "secrets").stat().st_mode & 0o777, 0o700)
        # The user in the container does not own it.
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
        self.assertGreaterEqual(count, 6)
        path.write_text(text)
        (self.folder / ".env").write_text(
            "ROUNDTABLE_ACCESS=open-hosts-by-token\nROUNDTABLE_TOKEN_KEYS_FILE=/run/keys/keys.json\n"
            "ROUNDTABLE_RECORDINGS_DIR=/var/lib/roundtable/recordings\n")
        keys = self.folder / "secrets/keys"
        keys.mkdir(parents=True)
        subprocess.run([os.environ["SERVER"], "token-key", "--key-file", keys / "keys.json"], check=True, capture_output=True, env={})
        config = composed(self.folder, "docker-compose.yml")
        self.assertEqual(self.serve(config, "none"), 404)
        self.assertTrue((self.folder / "recordings").is_dir())
        self.assertIn("/certs", json.dumps(config["services"]["nginx"]["volumes"]))


# Settings that the Compose files set themselves, and why. In .env, these either mean something else or are refused.
FIXED = {
    "TZ": "for all containers, with a default",
    "ROUNDTABLE_LISTEN": "nginx finds the server at 18080; refused",
    "ROUNDTABLE_OPS_LISTEN": "Prometheus and the health check find it at 18081; refused",
    "ROUNDTABLE_TRUSTED_PROXIES": "only nginx reaches the server, and has the one of .env",
    "ROUNDTABLE_TURN_HOST": "TURN_HOST, for coturn too; refused",
    "ROUNDTABLE_TURN_PORT": "TURN_PORT, for coturn too; refused",
    "ROUNDTABLE_TURN_SECRET_FILE": "a path in the container, of the file TURN_SECRET_FILE; refused",
    "ROUNDTABLE_ADMIN_TOKEN_FILE": "a path in the container, of the file ADMIN_TOKEN_FILE; refused",
    "ROUNDTABLE_WEBHOOK_SECRET_FILE": "a path in the container, of the file WEBHOOK_SECRET_FILE; refused",
    "ROUNDTABLE_OTLP_HEADERS_FILE": "a path in the container, of the file OTLP_HEADERS_FILE; refused",
}
# The same for docker-compose.cluster.yml.
FIXED_IN_CLUSTER = FIXED | {
    "ROUNDTABLE_REDIS_URL": "the cluster's own Valkey; refused",
    "ROUNDTABLE_REDIS_URL_FILE": "the cluster's own Valkey; refused",
}
# Defaults in the Compose files.
DEFAULTS = {"ROUNDTABLE_CERTIFICATE_PROBES": "nginx:19003"}


def settings():
    """Returns the program's own list of settings."""
    told = subprocess.run([os.environ["SERVER"], "--help"], env={}, capture_output=True, text=True, check=True).stdout
    # Lines may be wrapped anywhere.
    names = set(re.findall(r"\[env: (\w+)\]", " ".join(told.split())))
    assert len(names) > 60, names
    return names


class Settings(InCopy):
    def servers(self, stack):
        """Returns the environment of each server of a stack, by name."""
        found = composed(self.folder, *stack)["services"]
        return {name: found[name]["environment"] for name in found if name.startswith("server")}

    def test_every_setting_in_dotenv_reaches_every_server(self):
        known = settings()
        for stack, fixed in [(STACKS[0], FIXED), (STACKS[1], FIXED_IN_CLUSTER)]:
            passed = sorted(known - fixed.keys())
            (self.folder / ".env").unlink(missing_ok=True)
            unset = self.servers(stack)
            (self.folder / ".env").write_text("".join(f"{name}=value of {name}\n" for name in sorted(known)))
            given = self.servers(stack)
            self.assertEqual(len(given), 3 if len(stack) > 1 else 1)
            for name, environment in given.items():
                with self.subTest(stack=stack[-1], server=name):
                    missing = [one for one in passed if environment.get(one) != f"value of {one}"]
                    lines = "".join(f"      {one}:\n" for one in missing)
                    self.assertEqual(missing, [], f"add to docker-compose.yml, services: server: environment:\n{lines}")
                    # The server could not refuse a name that is misspelt here, because it would be unset.
                    ours = {one for one in environment if one.startswith("ROUNDTABLE_") and not one.startswith("ROUNDTABLE_COMPOSE_")}
                    self.assertEqual(ours - known, set())
                    for one in fixed.keys() - {"TZ"}:
                        refused = environment.get(one.replace("ROUNDTABLE_", "ROUNDTABLE_COMPOSE_", 1)) == f"value of {one}"
                        self.assertEqual(refused, fixed[one].endswith("refused"), one)
                    for one in passed:
                        self.assertIn(unset[name].get(one), [None, self.default(one), DEFAULTS.get(one)], one)

    def default(self, name):
        """Returns the value set in the image, which docker-compose 1 would remove if the name has no value."""
        found = re.findall(rf"(?m)^ENV .*(?:\n .*)*?\b{name}=(\S+)", (ROOT / "Dockerfile").read_text())
        return found[0] if found else None

    def test_what_the_image_sets_stays(self):
        environment = self.servers(STACKS[0])["server"]
        server = (ROOT / "Dockerfile").read_text().split("AS server\n")[1]
        names = re.findall(r"\b(ROUNDTABLE_\w+)=", server)
        self.assertGreaterEqual(len(names), 2)
        for name in names:
            self.assertEqual(environment[name], self.default(name))

    def test_a_setting_in_dotenv_has_its_effect(self):
        self.assertEqual(self.serve(composed(self.folder, "docker-compose.yml"), "", self.join), "welcome")
        (self.folder / ".env").write_text("ROUNDTABLE_ACCESS=token\n")
        # Refused instead of open, because there are no keys yet.
        self.assertIn("ROUNDTABLE_TOKEN_KEYS_FILE", self.refused(self.environment(composed(self.folder, "docker-compose.yml"))))
        keys = self.folder / "keys.json"
        subprocess.run([os.environ["SERVER"], "token-key", "--key-file", keys], check=True, capture_output=True, env={})
        (self.folder / ".env").write_text(f"ROUNDTABLE_ACCESS=token\nROUNDTABLE_TOKEN_KEYS_FILE={keys}\n")
        self.assertEqual(self.serve(composed(self.folder, "docker-compose.yml"), "", self.join), "token_missing")

    @staticmethod
    def join(address):
        """Joins with only the room's name. Returns the error code, or `welcome`."""
        host = urllib.parse.urlsplit(address).netloc
        name, _, port = host.rpartition(":")
        with socket.create_connection((name, int(port)), timeout=20) as tcp, tcp.makefile("rb") as answer:
            tcp.sendall((f"GET /signal-api/ws?room=standup HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
            while answer.readline() != b"\r\n":
                pass
            # Masked with zeros (RFC 6455 §5.3).
            message = json.dumps({"type": "join", "name": "Ada"}).encode()
            tcp.sendall(bytes([0x81, 0x80 | len(message), 0, 0, 0, 0]) + message)
            while True:
                opcode, length = answer.read(2)
                length = int.from_bytes(answer.read(2)) if length == 126 else length
                payload = answer.read(length)
                # Skip pings.
                if opcode == 0x81:
                    told = json.loads(payload)
                    return told.get("code", told["type"])

    def test_a_setting_that_compose_has_itself_is_refused_with_the_right_one(self):
        refused = [name for name, why in FIXED.items() if why.endswith("refused")]
        (self.folder / ".env").write_text("".join(f"{name}=something\n" for name in refused))
        environment = self.environment(composed(self.folder, "docker-compose.yml"))
        marks = {name: name.replace("ROUNDTABLE_", "ROUNDTABLE_COMPOSE_") for name in refused}
        for name in refused:
            with self.subTest(name=name):
                told = self.refused({one: value for one, value in environment.items() if one not in marks.values() or one == marks[name]})
                self.assertIn(f"{name}: docker-compose.yml sets it itself", told)


def mounts(service):
    """Returns the sources of a service's mounts by target. Compose writes them in two ways."""
    split = lambda volume: volume.split(":")[1::-1] if isinstance(volume, str) else (volume["target"], volume.get("source"))
    return dict(split(volume) for volume in service.get("volumes", []))


class Monitoring(unittest.TestCase):
    def test_every_server_is_on_the_list_and_every_file_is_there(self):
        for stack in STACKS[:2]:
            with self.subTest(stack=stack[-1]):
                found = composed(ROOT, *stack)["services"]
                ours = [source for service in found.values() for source in mounts(service).values() if source.startswith(str(ROOT))]
                # Docker would create a folder in place of a missing file.
                self.assertEqual([source for source in ours if not pathlib.Path(source).exists()], [])
                watched = yaml.safe_load(pathlib.Path(mounts(found["prometheus"])["/etc/prometheus/servers.yml"]).read_text())
                servers = [f"{name}:18081" for name in sorted(found) if name.startswith("server")]
                self.assertEqual(watched, [{"targets": servers}])

    def test_grafana_asks_nobody_outside_and_answers_under_the_name_in_the_documents(self):
        settings = services(ROOT / "deploy/monitoring/services.yml")["grafana"]["environment"]
        for name in ["ANALYTICS_REPORTING_ENABLED", "ANALYTICS_CHECK_FOR_UPDATES", "ANALYTICS_CHECK_FOR_PLUGIN_UPDATES",
                     "NEWS_NEWS_FEED_ENABLED", "SNAPSHOTS_EXTERNAL_ENABLED"]:
            self.assertEqual(settings[f"GF_{name}"], "false", name)
        self.assertEqual(settings["GF_PLUGINS_PREINSTALL_DISABLED"], "true")
        self.assertEqual(settings["GF_SERVER_ENFORCE_DOMAIN"], "true")
        self.assertIn(f"http://{settings['GF_SERVER_DOMAIN']}:3000", (ROOT / "docs/METRICS.md").read_text())


if __name__ == "__main__":
    unittest.main()
