"""Tests unusual checkouts: with Windows' line ends, under a strict umask, in a folder whose name has spaces and quotes.
"""

import functools
import os
import pathlib
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

import yaml

import compose

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Characters that a shell, make, Compose or a URL could misinterpret.
AWKWARD = "Ada's räume 会议 $HOME %20"
# A user who does not own the checkout, like the users in the containers.
OTHER_USER = 10001


def git(*arguments, cwd, umask=-1):
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main"]
    command = ["git", *identity, "-c", "protocol.file.allow=always", *arguments]
    return subprocess.run(command, cwd=cwd, umask=umask, check=True, capture_output=True, timeout=100).stdout


class Checkout(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Creates a repository with the current files, committed or not."""
        cls.folder = tempfile.TemporaryDirectory()
        os.chmod(cls.folder.name, 0o755)
        cls.source = pathlib.Path(cls.folder.name) / "source"
        for name in git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split(b"\0"):
            path = ROOT / os.fsdecode(name)
            if name and path.exists():
                target = cls.source / os.fsdecode(name)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
        git("init", "-q", cwd=cls.source)
        git("add", "-A", cwd=cls.source)
        git("commit", "-q", "-m", "test", cwd=cls.source)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    @functools.cache
    def clone(cls, *options, name=AWKWARD, umask=0o022):
        folder = pathlib.Path(tempfile.mkdtemp(dir=cls.folder.name)) / name
        git("clone", "-q", *options, cls.source, folder, cwd=cls.folder.name, umask=umask)
        return folder

    def files(self, folder):
        return [os.fsdecode(name) for name in git("ls-files", "-z", cwd=folder).split(b"\0") if name]

    def run_there(self, folder, *command, programs=(), **options):
        """Runs a command in a checkout, with stand-ins for some programs that record their calls."""
        stand_ins = pathlib.Path(tempfile.mkdtemp(dir=self.folder.name))
        calls = stand_ins / "calls"
        calls.touch()
        for program in programs:
            path = stand_ins / program
            path.write_text(f'#!/bin/sh\nfor word in {program} "$@"; do printf "%s\\0" "$word"; done >>"{calls}"\necho >>"{calls}"\n')
            path.chmod(0o755)
        environment = os.environ | {"PATH": f"{stand_ins}:{os.environ['PATH']}"}
        ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, **options)
        return ran, [line.split("\0")[:-1] for line in calls.read_text().split("\n")[:-1]]


class LineEnds(Checkout):
    def test_a_clone_on_windows_has_no_carriage_return_where_a_container_reads(self):
        for options in [["-c", "core.autocrlf=true"], ["-c", "core.autocrlf=false", "-c", "core.eol=crlf"]]:
            folder = self.clone(*options)
            names = self.files(folder)
            self.assertIn("turn/start", names)
            with_returns = [name for name in names if b"\r" in (folder / name).read_bytes()]
            binary = [name for name in with_returns if name.startswith("fuzz/seeds/") or name.endswith(".png")]
            self.assertEqual(sorted(set(with_returns) - set(binary)), [])
            self.assertGreater(len(binary), 3, "binary files are to be kept as they are")
            for name in names:
                self.assertEqual((folder / name).read_bytes(), (self.source / name).read_bytes(), name)

    def test_windows_and_macos_can_have_every_name(self):
        names = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).decode().split("\0")[:-1]
        reserved = r'[<>:"|?*\\\x00-\x1f]|[ .](/|$)|(^|/)(con|prn|aux|nul|com\d|lpt\d)(\.|/|$)'
        self.assertEqual([name for name in names if re.search(reserved, name, re.I)], [])
        # Windows' file systems are case-insensitive.
        self.assertEqual(len({name.lower() for name in names}), len(names))
        modes = git("ls-files", "-s", cwd=self.source).decode().splitlines()
        self.assertEqual([line for line in modes if line.startswith("120000")], [], "symbolic links need a right on Windows")

    def test_what_is_edited_with_windows_line_ends_is_committed_without(self):
        folder = self.clone("-c", "core.autocrlf=false", name="edited")
        start = folder / "turn/start"
        start.write_bytes(start.read_bytes().replace(b"\n", b"\r\n") + b"# more\r\n")
        git("add", "turn/start", cwd=folder)
        self.assertNotIn(b"\r", git("show", ":turn/start", cwd=folder))

    def test_every_script_is_a_script_there(self):
        folder = self.clone("-c", "core.autocrlf=true")
        checked = set()
        for name in self.files(folder):
            first = (folder / name).read_bytes().partition(b"\n")[0]
            shell = re.match(rb"#!/bin/(sh|bash)$", first)
            if shell:
                ran = subprocess.run([shell[1].decode(), "-n", folder / name], capture_output=True, text=True, timeout=20)
                self.assertEqual(ran.returncode, 0, f"{name}: {ran.stderr}")
                checked.add(name)
        self.assertLessEqual({"turn/start", "nginx/start/13-proxies.sh", "scripts/upgrade", "tests/tools"}, checked)

    def test_nginx_takes_the_configuration_of_that_clone(self):
        folder = self.clone("-c", "core.autocrlf=true")
        with tempfile.TemporaryDirectory() as own:
            own = pathlib.Path(own)
            environment = {"PATH": f"{os.environ['PATH']}:/usr/sbin", "NGINX_ENVSUBST_OUTPUT_DIR": f"{own}/nginx"}
            for script in ["12-log-files.sh", "13-proxies.sh"]:
                subprocess.run(["sh", "-e", folder / "nginx/start" / script], env=environment, check=True, timeout=20)
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=a",
                            "-keyout", own / "tls.key", "-out", own / "tls.crt"], check=True, capture_output=True, timeout=20)
            filled = {"ROUNDTABLE_UPSTREAM": "server:18080", "ROUNDTABLE_RESOLVERS": "127.0.0.53", "HTTPS_PORT": "19003",
                      "ROUNDTABLE_CERTIFICATE": f"{own}/tls.crt", "ROUNDTABLE_CERTIFICATE_KEY": f"{own}/tls.key",
                      "ROUNDTABLE_CONNECT_SOURCES": "", "ROUNDTABLE_ADDRESS_SLOTS": "2048", "ROUNDTABLE_ADDRESS_SLOTS_56": "8192",
                      "ROUNDTABLE_ADDRESS_SLOTS_48": "32768", "ROUNDTABLE_FRAME_SOURCES": "",
                      "ROUNDTABLE_FRAME_ALLOWLIST": "", "ROUNDTABLE_HSTS": ""}
            for name in ["roundtable.conf", "front.stream"]:
                text = (folder / f"nginx/templates/{name}.template").read_text().replace("/tmp/", f"{own}/")
                text = re.sub(r"\$\{(\w+)\}", lambda found: filled[found[1]], text)
                (own / "nginx" / name).write_text(text)
            subprocess.run(["sh", "-e", folder / "nginx/start/21-ipv6.sh"], env=environment, check=True, timeout=20)
            conf = (folder / "nginx/nginx.conf").read_text().replace("/tmp/", f"{own}/")
            (own / "nginx.conf").write_text(conf)
            # Debian has the stream module in a separate package; the image has it built in.
            module = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")
            load = ["-g", f"load_module {module};"] if module.exists() else []
            ran = subprocess.run(["nginx", "-t", "-q", "-c", own / "nginx.conf", *load], env=environment, capture_output=True, text=True, timeout=20)
            self.assertEqual(ran.returncode, 0, ran.stderr)


class Modes(Checkout):
    UMASKS = (0o027, 0o077)

    def mounted(self, folder):
        """Returns every file and folder of the checkout that Compose mounts into a container."""
        found = set()
        for stack in compose.STACKS:
            config = compose.composed(folder, *stack)
            for service in config["services"].values():
                sources = compose.mounts(service).values()
                found |= {pathlib.Path(source) for source in sources if source and source.startswith(str(folder))}
            found |= {pathlib.Path(secret["file"]) for secret in config.get("secrets", {}).values()}
        return {below for path in found for below in [path, *path.rglob("*")]}

    def closed(self, paths):
        wanted = {path: 0o005 if path.is_dir() else 0o004 for path in paths}
        return {str(path) for path, bits in wanted.items() if stat.S_IMODE(path.stat().st_mode) & bits != bits}

    def test_make_readable_opens_all_that_is_mounted_and_nothing_else(self):
        for umask in self.UMASKS:
            with self.subTest(umask=oct(umask)):
                folder = self.clone(name=f"umask {umask:o}", umask=umask)
                mounted = self.mounted(folder)
                self.assertGreater(len(mounted), 8)
                self.assertEqual(self.closed(mounted), {str(path) for path in mounted}, "the umask has had no effect")
                dist = folder / "static/dist/assets"
                dist.mkdir(parents=True, mode=0o700)
                (dist / "main.js").touch(0o600)
                secret = folder / "secrets/admin"
                secret.parent.mkdir(mode=0o700)
                secret.touch(0o400)
                ran, _ = self.run_there(folder, "make", "readable")
                self.assertEqual(ran.returncode, 0, ran.stderr)
                self.assertEqual(self.closed(mounted | {dist.parent, dist, dist / "main.js"}), set())
                self.assertEqual(stat.S_IMODE(secret.stat().st_mode), 0o400)
                for target in ["upgrade", "cluster"]:
                    planned, _ = self.run_there(folder, "make", "-n", target)
                    self.assertIn("chmod a+rX", planned.stdout)

    def serve(self, secret):
        """Starts a server as a user who does not own the file. Returns why it does not start, or None if it does."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environment = {"ROUNDTABLE_LISTEN": f"127.0.0.1:{port}", "ROUNDTABLE_OPS_LISTEN": "127.0.0.1:0",
                       "ROUNDTABLE_WEBHOOK_SECRET_FILE": str(secret)}
        user = {"user": OTHER_USER, "group": OTHER_USER, "extra_groups": []} if os.getuid() == 0 else {}
        program = pathlib.Path(self.folder.name) / "roundtable"
        if not program.exists():
            shutil.copy(os.environ["SERVER"], program)
            program.chmod(0o755)
        running = subprocess.Popen([program], env=environment, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **user)
        try:
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/signal-api/v1/welcome", timeout=10)
                    return None
                except urllib.error.URLError:
                    if running.poll() is not None:
                        return running.stderr.read()
        finally:
            running.terminate()
            running.communicate()

    def test_the_server_starts_with_a_placeholder_that_it_may_not_read_and_not_with_such_a_secret(self):
        secret = pathlib.Path(self.folder.name) / "placeholder"
        secret.touch()
        secret.chmod(0)
        self.assertIsNone(self.serve(secret))
        secret.chmod(0o600)
        secret.write_text("a secret that is long enough for a webhook")
        secret.chmod(0)
        refused = self.serve(secret)
        self.assertIn("ROUNDTABLE_WEBHOOK_SECRET_FILE", refused)
        self.assertIn("chmod a+r", refused)


class Paths(Checkout):
    def test_docker_gets_the_folder_as_one_word(self):
        folder = self.clone()
        ran, calls = self.run_there(folder, "make", "image", programs=["docker"])
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual([call[-1] for call in calls], [str(folder), str(folder), f"{folder}/turn"])
        self.assertIn("IMAGE_REVISION", calls[0])

    def test_every_target_is_read_by_make(self):
        folder = self.clone()
        targets = re.findall(r"(?m)^([a-z-]+):.*## ", (folder / "Makefile").read_text())
        self.assertIn("test-deploy", targets)
        for target in targets:
            ran, _ = self.run_there(folder, "make", "-n", target)
            self.assertEqual(ran.returncode, 0, f"{target}: {ran.stderr}")

    def test_certificates_are_shown_and_certbots_hook_finds_its_way_back(self):
        folder = self.clone(name=AWKWARD + " certificates")
        ran, _ = self.run_there(folder, "make", "certificate")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("There is no certificate in certs/", ran.stdout)

        lineage = pathlib.Path(self.folder.name) / f"{AWKWARD} letsencrypt"
        command = ["env", f"LETSENCRYPT={lineage}", "make", "certificate", "DOMAIN=meet.example.org", "EMAIL=you@example.org"]
        ran, calls = self.run_there(folder, *command, programs=["certbot", "docker"], umask=0o077)
        [asked] = [call for call in calls if call[0] == "certbot"]
        self.assertIn(f"{folder}/certs/acme", asked)
        # nginx, which runs as another user, must be able to read the challenge there.
        for name in ["certs", "certs/acme"]:
            self.assertEqual(stat.S_IMODE((folder / name).stat().st_mode), 0o755, name)
        hook = asked[asked.index("--deploy-hook") + 1]
        for name in ["fullchain.pem", "privkey.pem"]:
            (lineage / name).write_text(name)
        renewal = ["env", f"RENEWED_LINEAGE={lineage}", "sh", "-c", hook]
        ran, calls = self.run_there(folder.parent, *renewal, programs=["docker"])
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        self.assertEqual((folder / "certs/tls.key").read_text(), "privkey.pem")
        self.assertIn(f"label=com.docker.compose.project.working_dir={folder}", calls[0])

    def test_compose_reads_its_files_there(self):
        folder = self.clone()
        for stack in compose.STACKS:
            self.assertIn("services", compose.composed(folder, *stack))


class Architecture(unittest.TestCase):
    def test_no_file_of_the_deployment_names_one(self):
        names = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "Dockerfile", "turn", "nginx", "deploy",
                    "docker-compose*.yml", "scripts", "Makefile", cwd=ROOT).split(b"\0")
        found = []
        for name in filter(None, names):
            for line in (ROOT / os.fsdecode(name)).read_text().splitlines():
                # The parts list contains the packages of both systems that images are built for.
                if re.search(r"amd64|x86.64|linux.x64|arm64|aarch64", line, re.I) and not line.startswith("TARGETS = "):
                    found.append(f"{os.fsdecode(name)}: {line}")
        self.assertEqual(found, [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
