"""deploy/kubernetes: what kustomize renders, by the schemas of Kubernetes, and every name in it by what it names."""

import copy
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

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
GIVEN = ROOT / "deploy/kubernetes"
VERSIONS = ["1.30", "1.37"]
OVERLAYS = ["single", "three"]
POD_KINDS = ["Deployment"]


def load(path):
    with open(path) as file:
        return [document for document in yaml.safe_load_all(file) if document]


def render(folder):
    """The objects, as `kubectl apply -k` has them from kustomize."""
    built = subprocess.run([os.environ["KUSTOMIZE"], "build", folder], capture_output=True, text=True, timeout=60)
    assert built.returncode == 0, built.stderr
    return [document for document in yaml.safe_load_all(built.stdout) if document]


def containers(one):
    return one["spec"]["template"]["spec"]["containers"] if one["kind"] in POD_KINDS else []


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text)[1])


class Kubernetes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """A copy, with secrets made by the very lines of its README."""
        cls.folder = tempfile.TemporaryDirectory()
        copied = pathlib.Path(cls.folder.name) / "kubernetes"
        shutil.copytree(GIVEN, copied, ignore=shutil.ignore_patterns("secrets"))
        lines = re.search(r"```sh\n(.*?)```", (copied / "README.md").read_text(), re.S)[1]
        subprocess.run(["bash", "-euc", lines], cwd=copied, check=True)
        cls.overlays = {name: render(copied / name) for name in OVERLAYS}
        cls.secrets = {path.name: path.read_text() for path in copied.glob("three/secrets/*")}

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def each(self, *kinds):
        for overlay, objects in self.overlays.items():
            for one in objects:
                if not kinds or one["kind"] in kinds:
                    with self.subTest(overlay=overlay, kind=one["kind"], name=one["metadata"]["name"]):
                        yield objects, one

    def named(self, objects, kind, name):
        found = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
        self.assertEqual(len(found), 1, f"{kind} {name}")
        return found[0]

    def pods(self, objects, selector):
        labels = selector["matchLabels"]
        self.assertTrue(labels)
        found = [
            one["spec"]["template"] for one in objects
            if one["kind"] in POD_KINDS and labels.items() <= one["spec"]["template"]["metadata"]["labels"].items()
        ]
        self.assertEqual(len(found), 1, f"pods with {labels}")
        return found[0]

    def ports(self, template):
        return {port["name"] for container in template["spec"]["containers"] for port in container["ports"]}

    def test_every_object_is_as_the_schema_of_its_kind_has_it(self):
        for version in VERSIONS:
            for _, one in self.each():
                kubernetes_validate.validate(one, version, strict=True)

    def test_the_image_is_the_one_that_the_overlay_names(self):
        """kustomize says nothing of a name that no container has."""
        for overlay, objects in self.overlays.items():
            [image] = load(GIVEN / overlay / "kustomization.yaml")[0]["images"]
            [server] = containers(self.named(objects, "Deployment", "roundtable"))
            self.assertEqual(server["image"], f"{image['newName']}:{image['newTag']}")

    def test_a_word_that_no_schema_has_is_found(self):
        wrong = copy.deepcopy(self.named(self.overlays["single"], "Deployment", "roundtable"))
        wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)

    def test_each_file_belongs_to_an_overlay(self):
        used = {"prometheus-adapter.yaml"}
        for said in GIVEN.glob("*/kustomization.yaml"):
            [content] = load(said)
            names = content["resources"] + [entry["path"] for entry in content.get("patches", [])]
            used |= {f"{said.parent.name}/{name}" for name in names} | {f"{said.parent.name}/kustomization.yaml"}
        there = {str(path.relative_to(GIVEN)) for path in GIVEN.rglob("*.yaml")}
        self.assertEqual(there - used, set())

    def test_selectors_and_ports_lead_to_pods(self):
        for objects, one in self.each("Deployment"):
            self.assertIs(self.pods(objects, one["spec"]["selector"]), one["spec"]["template"])
        for objects, one in self.each("Service"):
            pods = self.pods(objects, {"matchLabels": one["spec"]["selector"]})
            for port in one["spec"]["ports"]:
                self.assertIn(port["targetPort"], self.ports(pods))
        for objects, one in self.each("PodDisruptionBudget"):
            self.pods(objects, one["spec"]["selector"])
        for objects, one in self.each("NetworkPolicy"):
            pods = self.pods(objects, one["spec"]["podSelector"])
            for rule in one["spec"]["ingress"]:
                self.assertTrue({port["port"] for port in rule["ports"]} <= self.ports(pods))
                for source in rule["from"]:
                    if "podSelector" in source:
                        self.pods(objects, source["podSelector"])
        for objects, one in self.each("Ingress"):
            for rule in one["spec"]["rules"]:
                self.assertIn(rule["host"], one["spec"]["tls"][0]["hosts"])
                for path in rule["http"]["paths"]:
                    wanted = path["backend"]["service"]
                    service = self.named(objects, "Service", wanted["name"])
                    self.assertIn(wanted["port"]["name"], [port["name"] for port in service["spec"]["ports"]])
        for objects, one in self.each("HorizontalPodAutoscaler"):
            wanted = one["spec"]["scaleTargetRef"]
            self.named(objects, wanted["kind"], wanted["name"])

    def test_secrets_are_files_and_each_file_that_is_named_is_there(self):
        for objects, one in self.each("Deployment"):
            pod = one["spec"]["template"]["spec"]
            files = {}
            for volume in pod["volumes"]:
                secret = self.named(objects, "Secret", volume["secret"]["secretName"])
                items = volume["secret"]["items"]
                self.assertEqual({item["key"] for item in items}, set(secret["data"]))
                files[volume["name"]] = [item["path"] for item in items]
            for container in pod["containers"]:
                mounted = {
                    f"{mount['mountPath']}/{path}"
                    for mount in container["volumeMounts"] for path in files.pop(mount["name"])
                }
                text = yaml.safe_dump(container)
                for path in re.findall(r"/run/secrets/[a-z-]+/[a-z-]+", text):
                    self.assertIn(path, mounted)
                for variable in container.get("env", []):
                    self.assertIn("value", variable, "a secret as environment")
                    if variable["name"].endswith("_FILE"):
                        self.assertIn(variable["value"], mounted)
            self.assertEqual(files, {}, "a volume that nobody mounts")
        for overlay, objects in self.overlays.items():
            text = yaml.safe_dump([one for one in objects if one["kind"] != "Secret"])
            for name, secret in self.secrets.items():
                self.assertNotIn(secret.strip(), text, f"{overlay}: {name}")

    def test_the_engine_is_found_under_its_name_with_its_password(self):
        url = re.fullmatch(r"redis://:([0-9a-f]{48})@([a-z]+):(\d+)", self.secrets["redis-url"])
        self.assertEqual(url[1], self.secrets["valkey-password"])
        service = self.named(self.overlays["three"], "Service", url[2])
        self.assertEqual(service["spec"]["ports"][0]["port"], int(url[3]))

    def test_the_settings_are_those_of_the_server(self):
        help = subprocess.run([os.environ["SERVER"], "--help"], capture_output=True, text=True, check=True, env={}).stdout
        for _, one in self.each("Deployment"):
            for container in containers(one):
                for variable in container.get("env", []):
                    self.assertIn(f"[env: {variable['name']}", " ".join(help.split()))

    def test_pods_have_no_rights(self):
        for _, one in self.each("Deployment"):
            pod = one["spec"]["template"]["spec"]
            self.assertFalse(pod["automountServiceAccountToken"])
            self.assertTrue(pod["securityContext"]["runAsNonRoot"])
            self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
            for container in pod["containers"]:
                may = container["securityContext"]
                self.assertEqual(may["capabilities"], {"drop": ["ALL"]})
                self.assertIs(may["readOnlyRootFilesystem"], True)
                self.assertIs(may["allowPrivilegeEscalation"], False)
                self.assertIn("memory", container["resources"]["limits"])
                self.assertIn("cpu", container["resources"]["requests"])

    def test_a_server_has_the_time_to_send_everyone_away(self):
        help = subprocess.run([os.environ["SERVER"], "--help"], capture_output=True, text=True, check=True, env={}).stdout
        drain = seconds(re.search(r"ROUNDTABLE_DRAIN_TIMEOUT=?\] \[default: (\w+)", " ".join(help.split()))[1])
        hint = 5
        for overlay in OVERLAYS:
            pod = self.named(self.overlays[overlay], "Deployment", "roundtable")["spec"]["template"]["spec"]
            [server] = pod["containers"]
            sleep = server["lifecycle"]["preStop"]["sleep"]["seconds"]
            self.assertGreater(pod["terminationGracePeriodSeconds"], sleep + drain + hint)
            # Out of the ingress before it stops taking people.
            ready = server["readinessProbe"]
            self.assertLessEqual(ready["periodSeconds"] * ready["failureThreshold"], sleep)

    def test_probes_ask_what_they_should(self):
        for overlay in OVERLAYS:
            [server] = containers(self.named(self.overlays[overlay], "Deployment", "roundtable"))
            asked = {kind: server[f"{kind}Probe"]["httpGet"] for kind in ["startup", "liveness", "readiness"]}
            self.assertEqual({kind: get["path"] for kind, get in asked.items()},
                             {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"})
            self.assertEqual({get["port"] for get in asked.values()}, {"ops"})

    def test_sockets_outlive_the_proxy_and_rooms_stay_together(self):
        for _, one in self.each("Ingress"):
            said = {name.split("/")[1]: value for name, value in one["metadata"]["annotations"].items()}
            self.assertTrue(all(isinstance(value, str) for value in said.values()))
            for name in ["proxy-read-timeout", "proxy-send-timeout"]:
                self.assertGreater(int(said[name]), 2 * 25)
            self.assertEqual(said["upstream-hash-by"], "$arg_room")

    def test_the_autoscaler_and_the_adapter_speak_of_one_gauge_that_the_server_has(self):
        scaler = self.named(self.overlays["three"], "HorizontalPodAutoscaler", "roundtable")
        [metric] = [m["pods"]["metric"]["name"] for m in scaler["spec"]["metrics"] if m["type"] == "Pods"]
        [adapter] = load(GIVEN / "prometheus-adapter.yaml")
        [rule] = adapter["rules"]["custom"]
        self.assertTrue(rule["seriesQuery"].startswith(metric + "{"))
        self.assertEqual(rule["name"]["as"], metric)
        self.assertRegex(metric, rule["name"]["matches"])
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = {"ROUNDTABLE_LISTEN": "127.0.0.1:0", "ROUNDTABLE_OPS_LISTEN": f"127.0.0.1:{port}", "ROUNDTABLE_LOG": "error"}
        server = subprocess.Popen([os.environ["SERVER"]], env=settings)
        try:
            self.assertRegex(self.metrics(port), rf"(?m)^{metric} 0$")
        finally:
            server.terminate()
            server.wait()

    def metrics(self, port):
        until = time.monotonic() + 60
        while True:
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
            except urllib.error.URLError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
