"""Tests deploy/kubernetes: validates what kustomize renders against the schemas of Kubernetes, and checks that every
name refers to something."""

import copy
import ipaddress
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

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
GIVEN = ROOT / "deploy/kubernetes"
VERSIONS = ["1.30", "1.37"]
OVERLAYS = ["single", "three"]
POD_KINDS = ["Deployment"]
# API groups outside of Kubernetes itself, with the packages that contain their types.
PACKAGES = {
    "gateway.networking.k8s.io": "gateway-api",
    "gateway.envoyproxy.io": "envoy-gateway",
    "monitoring.coreos.com": "prometheus-operator",
}
# Supports `create secret` in one namespace, and reads each file once, as required for a pipe.
KUBECTL = """#!/usr/bin/python3
import json, os, sys
words = sys.argv[1:]
if words[:2] == ["apply", "-f"]:
    assert os.path.exists(os.path.join(os.environ["GIVEN"], words[2])), words
    sys.exit()
assert words[:4] == ["-n", "roundtable", "create", "secret"], words
kind, name, *rest = words[4:]
if kind == "tls":
    assert rest[::2] == ["--cert", "--key"], rest
    keys = {"tls.crt": open(rest[1]).read(), "tls.key": open(rest[3]).read()}
else:
    assert kind == "generic", words
    pairs = [word.removeprefix("--from-file=").split("=", 1) for word in rest]
    keys = {key: open(path).read() for key, path in pairs}
print(json.dumps([name, keys]), file=open(os.environ["CREATED"], "a"))
"""
NODE_MODULES = ROOT / "tests/deploy/node_modules"


def load(path):
    with open(path) as file:
        return [document for document in yaml.safe_load_all(file) if document]


def render(folder):
    """The objects, as `kubectl apply -k` has them from kustomize."""
    built = subprocess.run([os.environ["KUSTOMIZE"], "build", folder], capture_output=True, text=True, timeout=60)
    assert built.returncode == 0, built.stderr
    return [document for document in yaml.safe_load_all(built.stdout) if document]


def package(one):
    return PACKAGES.get(one["apiVersion"].split("/")[0])


def check_custom(objects):
    """Returns the problems of the objects: fields that their types lack, and values that their schemas reject."""
    lines = []
    for at, one in enumerate(objects):
        kind, path = one["kind"], f"@kubernetes-models/{package(one)}/{one['apiVersion']}/{one['kind']}"
        lines.append(f'import {{ {kind} as Kind{at}, type I{kind} as Type{at} }} from "{path}";')
        lines.append(f"const one{at}: Type{at} = {json.dumps(one)};\nnew Kind{at}(one{at}).validate();")
    with tempfile.TemporaryDirectory(dir=NODE_MODULES) as folder:
        (pathlib.Path(folder) / "check.mts").write_text("\n".join(lines))
        compiler = [NODE_MODULES / ".bin/tsc", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022", "check.mts"]
        for command in [compiler, ["node", "check.mjs"]]:
            ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
            if ran.returncode != 0:
                return ran.stdout + ran.stderr
    return ""


def containers(one):
    return one["spec"]["template"]["spec"]["containers"] if one["kind"] in POD_KINDS else []


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text)[1])


class Kubernetes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Copies the files in git, without ignored ones, and creates the secrets with the README's lines."""
        cls.folder = tempfile.TemporaryDirectory()
        tracked = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "."], cwd=GIVEN,
                                 capture_output=True, text=True, check=True).stdout
        copied = pathlib.Path(cls.folder.name) / "kubernetes"
        for name in filter(None, tracked.split("\0")):
            (copied / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(GIVEN / name, copied / name)
        cls.copied = copied
        cls.secrets = cls.created(re.search(r"```sh\n(.*?)```", (copied / "README.md").read_text(), re.S)[1])
        # Variants with the other front, and with all options enabled.
        for name, old, new in [("nginx", "- ../gateway ", "- ../ingress-nginx "), ("whole", "# - ../", "- ../")]:
            shutil.copytree(copied / "three", copied / name)
            said = copied / name / "kustomization.yaml"
            text = said.read_text()
            assert old in text
            said.write_text(text.replace(old, new))
        cls.overlays = {name: render(copied / name) for name in [*OVERLAYS, "nginx", "whole"]}

    @classmethod
    def created(cls, lines):
        """Returns the Secrets that kubectl would have created from these lines, by name; each with its keys."""
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for name in ["fullchain.pem", "privkey.pem"]:
                (folder / name).write_text(name)
            program = folder / "kubectl"
            program.write_text(KUBECTL)
            program.chmod(0o755)
            environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "CREATED": str(folder / "created"), "GIVEN": str(GIVEN)}
            subprocess.run(["bash", "-euo", "pipefail", "-c", lines], cwd=folder, check=True, env=environment)
            made = [json.loads(line) for line in (folder / "created").read_text().splitlines()]
        assert len({name for name, _ in made}) == len(made)
        return dict(made)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def each(self, *kinds):
        for overlay, objects in self.overlays.items():
            for one in objects:
                if not kinds or one["kind"] in kinds:
                    with self.subTest(overlay=overlay, kind=one["kind"], name=one["metadata"]["name"]):
                        yield objects, one

    def all(self, overlay, kind):
        found = [one for one in self.overlays[overlay] if one["kind"] == kind]
        self.assertTrue(found, f"{kind} in {overlay}")
        return found

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
                if not package(one):
                    kubernetes_validate.validate(one, version, strict=True)
        custom = [one for one in self.overlays["whole"] if package(one)]
        self.assertEqual({package(one) for one in custom}, set(PACKAGES.values()))
        self.assertEqual(check_custom(custom), "")

    def test_the_image_is_the_one_that_the_overlay_names(self):
        """kustomize does not report a name that no container has."""
        for overlay in OVERLAYS:
            objects = self.overlays[overlay]
            [image] = load(GIVEN / overlay / "kustomization.yaml")[0]["images"]
            [server] = containers(self.named(objects, "Deployment", "roundtable"))
            self.assertEqual(server["image"], f"{image['newName']}:{image['newTag']}")

    def test_a_word_that_no_schema_has_is_found(self):
        wrong = copy.deepcopy(self.named(self.overlays["single"], "Deployment", "roundtable"))
        wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)
        [route] = [copy.deepcopy(one) for one in self.all("whole", "HTTPRoute") if one["metadata"]["name"] == "roundtable"]
        route["spec"]["rules"][0]["timeouts"]["reqest"] = "0s"
        self.assertIn("does not exist in type 'IHTTPRouteTimeouts'", check_custom([route]))
        route["spec"]["rules"][0]["timeouts"] = {"request": "0"}
        self.assertIn("must match pattern", check_custom([route]))

    def test_each_file_belongs_to_an_overlay(self):
        used = {"prometheus-adapter.yaml"}
        for said in GIVEN.glob("*/kustomization.yaml"):
            [content] = load(said)
            names = content.get("resources", []) + [entry["path"] for entry in content.get("patches", [])]
            used |= {f"{said.parent.name}/{name}" for name in names} | {f"{said.parent.name}/kustomization.yaml"}
        there = {str(path.relative_to(GIVEN)) for path in GIVEN.rglob("*.yaml")}
        self.assertEqual(there - used, set())
        components = {path.parent.name for path in GIVEN.glob("*/kustomization.yaml") if load(path)[0]["kind"] == "Component"}
        self.assertEqual(set(re.findall(r"\.\./([a-z-]+)", (GIVEN / "three/kustomization.yaml").read_text())) - {"base"}, components)

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
                    if gateway := source.get("podSelector", {}).get("matchLabels", {}).get("gateway.networking.k8s.io/gateway-name"):
                        self.named(objects, "Gateway", gateway)
                    elif "podSelector" in source:
                        self.pods(objects, source["podSelector"])
        for objects, one in self.each("Ingress"):
            for rule in one["spec"]["rules"]:
                self.assertIn(rule["host"], one["spec"]["tls"][0]["hosts"])
                for path in rule["http"]["paths"]:
                    wanted = path["backend"]["service"]
                    service = self.named(objects, "Service", wanted["name"])
                    self.assertIn(wanted["port"]["name"], [port["name"] for port in service["spec"]["ports"]])
        for objects, one in self.each("HTTPRoute"):
            for parent in one["spec"]["parentRefs"]:
                gateway = self.named(objects, "Gateway", parent["name"])
                self.assertIn(parent["sectionName"], [listener["name"] for listener in gateway["spec"]["listeners"]])
            for wanted in [ref for rule in one["spec"]["rules"] for ref in rule.get("backendRefs", [])]:
                service = self.named(objects, "Service", wanted["name"])
                self.assertIn(wanted["port"], [port["port"] for port in service["spec"]["ports"]])
        for objects, one in self.each("BackendTrafficPolicy"):
            for wanted in one["spec"]["targetRefs"]:
                self.named(objects, wanted["kind"], wanted["name"])
        for objects, one in self.each("PodMonitor"):
            pods = self.pods(objects, one["spec"]["selector"])
            self.assertTrue({end["port"] for end in one["spec"]["podMetricsEndpoints"]} <= self.ports(pods))
        for objects, one in self.each("HorizontalPodAutoscaler"):
            wanted = one["spec"]["scaleTargetRef"]
            self.named(objects, wanted["kind"], wanted["name"])

    def test_secrets_are_files_of_the_secrets_that_the_readme_makes(self):
        for objects, one in self.each("Deployment"):
            pod = one["spec"]["template"]["spec"]
            files = {}
            for volume in pod["volumes"]:
                items = volume["secret"]["items"]
                self.assertLessEqual({item["key"] for item in items}, set(self.secrets[volume["secret"]["secretName"]]))
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

    def test_nothing_is_rendered_that_is_a_secret_and_every_secret_is_used(self):
        used = set()
        for objects in self.overlays.values():
            self.assertEqual([one["metadata"]["name"] for one in objects if one["kind"] in ("Secret", "ConfigMap")], [])
            text = yaml.safe_dump(objects)
            used |= {name for name in self.secrets if re.search(rf"\b(secretName|name): {name}\b", text)}
        self.assertEqual(used, set(self.secrets))
        for said in GIVEN.rglob("kustomization.yaml"):
            self.assertFalse({"secretGenerator", "configMapGenerator"} & set(load(said)[0]), said)

    def test_the_readme_says_in_ten_lines_what_is_needed_first(self):
        text = (GIVEN / "README.md").read_text()
        lines = re.search(r"## Before `kubectl apply -k`\n\n(.*?)\n\n", text, re.S)[1]
        numbers = re.findall(r"(?m)^(\d+)\. ", lines)
        self.assertEqual(numbers, [str(number) for number in range(1, len(numbers) + 1)])
        self.assertLessEqual(len(numbers), 10)
        for name, keys in self.secrets.items():
            self.assertIn(f"Secret `{name}`", lines)
            for key in keys:
                self.assertTrue(f"`{key}`" in lines or key.startswith("tls."), key)

    def test_servers_are_spread_over_zones_and_over_nodes_within_them(self):
        for overlay in ["three", "nginx", "whole"]:
            deployment = self.named(self.overlays[overlay], "Deployment", "roundtable")
            spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
            self.assertEqual([one["topologyKey"] for one in spread], ["topology.kubernetes.io/zone", "kubernetes.io/hostname"])
            for one in spread:
                self.assertEqual(one["labelSelector"], deployment["spec"]["selector"])
                # A preference: a single zone, or nodes without the label, must not prevent servers from starting.
                self.assertEqual((one["maxSkew"], one["whenUnsatisfiable"]), (1, "ScheduleAnyway"))
                # During a rollout the old pods do not count.
                self.assertEqual(one["matchLabelKeys"], ["pod-template-hash"])

    def test_the_engine_is_found_under_its_name_with_its_password(self):
        url = re.fullmatch(r"redis://:([0-9a-f]{48})@([a-z]+):(\d+)", self.secrets["roundtable"]["redis-url"])
        self.assertEqual(url[1], self.secrets["valkey"]["valkey-password"])
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
            # Removed from the ingress before it stops accepting people.
            ready = server["readinessProbe"]
            self.assertLessEqual(ready["periodSeconds"] * ready["failureThreshold"], sleep)

    def test_probes_ask_what_they_should(self):
        for overlay in OVERLAYS:
            [server] = containers(self.named(self.overlays[overlay], "Deployment", "roundtable"))
            asked = {kind: server[f"{kind}Probe"]["httpGet"] for kind in ["startup", "liveness", "readiness"]}
            self.assertEqual({kind: get["path"] for kind, get in asked.items()},
                             {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"})
            self.assertEqual({get["port"] for get in asked.values()}, {"ops"})
            # The port on which the server listens for them, on all interfaces.
            [ops] = [port["containerPort"] for port in server["ports"] if port["name"] == "ops"]
            settings = {variable["name"]: variable["value"] for variable in server["env"]}
            self.assertEqual(settings["ROUNDTABLE_OPS_LISTEN"], f"[::]:{ops}")

    def test_sockets_outlive_ingress_nginx_and_rooms_stay_together(self):
        said, services = {}, {}
        for one in self.all("nginx", "Ingress"):
            [path] = one["spec"]["rules"][0]["http"]["paths"]
            said[path["path"]] = {name.split("/")[1]: value for name, value in one["metadata"]["annotations"].items()}
            services[path["path"]] = path["backend"]["service"]["name"]
            self.assertTrue(all(isinstance(value, str) for value in said[path["path"]].values()))
        sockets, others = said["/signal-api/ws"], said["/"]
        for name in ["proxy-read-timeout", "proxy-send-timeout"]:
            self.assertGreater(int(sockets[name]), 2 * 25)
        self.assertEqual(sockets["upstream-hash-by"], "$arg_room")
        # Without a room, all requests would go to one server; and a hash applies to all requests for a Service.
        self.assertNotIn("upstream-hash-by", others)
        self.assertNotEqual(services["/signal-api/ws"], services["/"])

    def test_sockets_outlive_the_gateway_and_rooms_stay_together(self):
        for overlay in ["single", "three", "whole"]:
            route = self.named(self.overlays[overlay], "HTTPRoute", "roundtable")
            sockets, others = route["spec"]["rules"]
            self.assertEqual(sockets["matches"], [{"path": {"type": "Exact", "value": "/signal-api/ws"}}])
            for rule in (sockets, others):
                self.assertEqual(rule["timeouts"], {"request": "0s"})
                # The server trusts the front's headers, and the front trusts nobody's.
                [told] = [one["requestHeaderModifier"] for one in rule["filters"]]
                self.assertEqual(told, {"remove": ["traceparent", "tracestate"]})
            service = self.named(self.overlays[overlay], "Service", sockets["backendRefs"][0]["name"])
            self.assertEqual([port.get("appProtocol") for port in service["spec"]["ports"]], ["kubernetes.io/ws"])
            self.assertNotIn("matches", others)
        [policy] = self.all("whole", "BackendTrafficPolicy")
        hash = policy["spec"]["loadBalancer"]["consistentHash"]
        self.assertEqual((hash["type"], hash["queryParams"]), ("QueryParams", [{"name": "room"}]))
        # The server keeps idle connections for longer than 75 s.
        self.assertLess(seconds(policy["spec"]["timeout"]["http"]["connectionIdleTimeout"]), 75)

    def test_plain_http_is_led_to_https_and_one_certificate_is_named(self):
        for overlay in ["single", "three"]:
            [gateway] = self.all(overlay, "Gateway")
            http, https = gateway["spec"]["listeners"]
            self.assertEqual([http["protocol"], https["protocol"], https["tls"]["certificateRefs"]],
                             ["HTTP", "HTTPS", [{"name": "roundtable-tls"}]])
            self.assertEqual(http["hostname"], https["hostname"])
            [rule] = self.named(self.overlays[overlay], "HTTPRoute", "roundtable-to-https")["spec"]["rules"]
            self.assertEqual(rule["filters"][0]["requestRedirect"], {"scheme": "https", "statusCode": 301})
        for ingress in self.all("nginx", "Ingress"):
            self.assertEqual([tls["secretName"] for tls in ingress["spec"]["tls"]], ["roundtable-tls"])

    def test_the_front_reaches_the_server_and_its_word_is_taken(self):
        for overlay, objects in self.overlays.items():
            sources = [
                source for one in objects
                if one["kind"] == "NetworkPolicy" and one["spec"]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "roundtable"}
                for rule in one["spec"]["ingress"] if "http" in [port["port"] for port in rule["ports"]] for source in rule["from"]
            ]
            self.assertEqual(len(sources), 1 if overlay == "nginx" else 2, overlay)
            [server] = containers(self.named(objects, "Deployment", "roundtable"))
            [trusted] = [variable["value"] for variable in server["env"] if variable["name"] == "ROUNDTABLE_TRUSTED_PROXIES"]
            networks = [ipaddress.ip_network(network) for network in trusted.split(",")]
            for pod in ["10.244.0.9", "100.64.3.1", "100.127.0.1", "172.20.0.4", "192.168.5.6", "fd00::9"]:
                self.assertTrue(any(ipaddress.ip_address(pod) in network for network in networks), pod)

    def test_the_prometheus_operator_gets_the_job_and_the_alerts_that_are_there(self):
        [monitor] = self.all("whole", "PodMonitor")
        labels = self.pods(self.overlays["whole"], monitor["spec"]["selector"])["metadata"]["labels"]
        [alerts] = load(ROOT / "deploy/monitoring/alerts.yml")
        self.assertIn(f'job="{labels[monitor["spec"]["jobLabel"]]}"', json.dumps(alerts).replace('\\"', '"'))
        # With the README's lines, and a kubectl that stores its input.
        lines = re.findall(r"```sh\n(.*?)```", (self.copied / "README.md").read_text(), re.S)[1]
        with tempfile.TemporaryDirectory() as folder:
            kept = pathlib.Path(folder) / "applied"
            program = pathlib.Path(folder) / "kubectl"
            program.write_text(f'#!/bin/bash\necho "$*" >>"{kept}.calls"\n[ "$1" != apply ] || cat >"{kept}"\n')
            program.chmod(0o755)
            environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
            subprocess.run(["bash", "-euo", "pipefail", "-c", lines], cwd=GIVEN, check=True, env=environment)
            [rule] = load(kept)
            calls = pathlib.Path(f"{kept}.calls").read_text()
        self.assertEqual(check_custom([rule]), "")
        self.assertEqual(rule["spec"], alerts)
        self.assertEqual(rule["metadata"]["labels"], monitor["metadata"]["labels"])
        for file in re.findall(r"--from-file[= ](\S+)", calls):
            self.assertTrue((GIVEN / file).is_file(), file)

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
