"""Tests scripts/certificate in a temporary folder. certbot and Docker are stand-ins that record their calls, as Let's
Encrypt is not available here."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CERTBOT = """#!/bin/bash
set -e
hook=${@: -1}
# As certbot does.
command -v "${hook%% *}"
echo "$*" >certbot.called
lineage=$LETSENCRYPT/live/meet.example.org
case "$*" in *--keep-until-expiring*) [ ! -e "$lineage" ] || exit 0 ;; esac
mkdir -p "$lineage" "$LETSENCRYPT/renewal"
echo "renew_hook = $hook" >"$LETSENCRYPT/renewal/meet.example.org.conf"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=meet.example.org \\
  -addext subjectAltName=DNS:meet.example.org -keyout "$lineage/privkey.pem" -out "$lineage/fullchain.pem" 2>/dev/null
RENEWED_LINEAGE=$lineage bash -c "$hook"
"""


class Certificate(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "scripts").mkdir()
        (self.folder / "certs").mkdir()
        (self.folder / "turn").mkdir()
        for name in ["certificate", "certificate-hook"]:
            shutil.copy(ROOT / "scripts" / name, self.folder / "scripts")
        shutil.copy(ROOT / "turn/find-certificate", self.folder / "turn")
        shutil.copy(ROOT / "Makefile", self.folder)
        self.program("certbot", CERTBOT)
        self.program("docker", '#!/bin/sh\necho "$*" >>docker.called\n[ "$1" != ps ] || echo nginx-1\n')

    def program(self, name, text):
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def make(self, *settings):
        environment = os.environ | {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "LETSENCRYPT": f"{self.folder}/letsencrypt",
        }
        made = subprocess.run(["make", "-s", "certificate", *settings], cwd=self.folder, env=environment,
                              capture_output=True, text=True, timeout=100)
        return made.returncode, made.stdout + made.stderr

    def own(self, days, key="tls.key"):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", days,
                        "-subj", "/CN=own.example.org", "-addext", "subjectAltName=DNS:own.example.org",
                        "-keyout", key, "-out", "tls.crt"], cwd=self.folder / "certs", check=True, capture_output=True)

    def test_without_a_name_it_says_what_is_there_and_how_to_bring_one(self):
        code, said = self.make()
        self.assertEqual(code, 0, said)
        for words in ["no certificate in certs/", "./certs:/certs:ro", "DOMAIN="]:
            self.assertIn(words, said)

    def test_ones_own_is_shown_with_its_names_and_its_end(self):
        self.own("9")
        code, said = self.make()
        self.assertEqual(code, 0, said)
        self.assertIn("DNS:own.example.org", said)
        self.assertRegex(said, r"notAfter=.* GMT")

    def test_what_nginx_would_not_take_is_refused(self):
        self.own("9")
        self.own("9", "other.key")
        code, said = self.make()
        self.assertNotEqual(code, 0)
        self.assertIn("is not the key of", said)

    def test_half_of_what_is_needed_and_what_is_no_name_are_refused(self):
        for settings, words in [
            (["DOMAIN=meet.example.org"], "belong together"),
            (["EMAIL=a@example.org"], "belong together"),
            (["DOMAIN=https://meet.example.org", "EMAIL=a@example.org"], "DOMAIN is"),
            (["DOMAIN=meet.example.org", "EMAIL=nobody"], "EMAIL is"),
        ]:
            with self.subTest(settings=settings):
                code, said = self.make(*settings)
                self.assertNotEqual(code, 0)
                self.assertIn(words, said)
        self.assertFalse((self.folder / "certbot.called").exists())

    def test_without_the_mount_nobody_is_asked(self):
        self.program("docker", "#!/bin/sh\n[ \"$2\" = version ]\n")
        code, said = self.make("DOMAIN=meet.example.org", "EMAIL=a@example.org")
        self.assertNotEqual(code, 0)
        self.assertIn("no ./certs at /certs", said)
        self.assertFalse((self.folder / "certbot.called").exists())

    def test_certbot_is_asked_and_what_it_brings_takes_its_place(self):
        code, said = self.make("DOMAIN=meet.example.org", "EMAIL=a@example.org")
        self.assertEqual(code, 0, said)
        called = (self.folder / "certbot.called").read_text()
        for words in [f"--webroot -w {self.folder.resolve()}/certs/acme", "-d meet.example.org", "-m a@example.org", "--agree-tos"]:
            self.assertIn(words, called)
        self.assertIn("DNS:meet.example.org", said)
        self.assertEqual((self.folder / "certs/tls.key").stat().st_mode & 0o777, 0o400)
        called = (self.folder / "docker.called").read_text()
        self.assertIn(f"label=com.docker.compose.project.working_dir={self.folder.resolve()} ", called)
        self.assertIn("exec nginx-1 nginx -s reload", called)
        # nginx's user reads it.
        self.assertEqual((self.folder / "certs/hsts-max-age").stat().st_mode & 0o777, 0o644)
        self.assertEqual(self.headers({"HTTPS_PORT": "443"}), ["", "", "max-age=31536000"])

    def test_the_hook_is_a_copy_outside_of_the_folder_and_runs_nothing_in_it(self):
        code, said = self.make("DOMAIN=meet.example.org", "EMAIL=a@example.org")
        self.assertEqual(code, 0, said)
        renewal = (self.folder / "letsencrypt/renewal/meet.example.org.conf").read_text()
        hook = self.folder / "letsencrypt/roundtable-hook"
        self.assertIn(f"bash '{hook}' '{self.folder.resolve()}'", renewal)
        self.assertEqual((hook.stat().st_mode & 0o777, hook.stat().st_uid), (0o755, os.getuid()))
        # As another user who owns the folder could: its scripts and Compose files are others, and so is the place of the key.
        for name in ["scripts/certificate", "scripts/certificate-hook", "docker-compose.yml", ".env"]:
            (self.folder / name).write_text("touch stolen\n")
        elsewhere = self.folder / "elsewhere"
        elsewhere.write_text("untouched")
        (self.folder / "certs/.tls.key").symlink_to(elsewhere)
        environment = os.environ | {"PATH": f"{self.folder}/bin:{os.environ['PATH']}",
                                    "RENEWED_LINEAGE": f"{self.folder}/letsencrypt/live/meet.example.org"}
        beside = self.folder / "letsencrypt"
        ran = subprocess.run(["bash", "-c", renewal.partition("= ")[2]], cwd=beside, env=environment, capture_output=True, text=True, timeout=20)
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        self.assertIn("nginx -s reload", (beside / "docker.called").read_text())
        self.assertFalse([*self.folder.rglob("stolen")])
        self.assertEqual(elsewhere.read_text(), "untouched")
        self.assertFalse((self.folder / "certs/tls.key").is_symlink())

    def test_the_hook_follows_no_link_in_the_path_to_the_folder(self):
        self.assertEqual(self.make("DOMAIN=meet.example.org", "EMAIL=a@example.org")[0], 0)
        renewal = (self.folder / "letsencrypt/renewal/meet.example.org.conf").read_text().partition("= ")[2]
        lineage = self.folder / "letsencrypt/live/meet.example.org"
        for name in ["certs", "."]:
            with self.subTest(name=name), tempfile.TemporaryDirectory() as other:
                # As the owner of the checkout could, whose folder is elsewhere now.
                moved = pathlib.Path(other).resolve()
                victim = moved / "victim"
                (victim / "certs").mkdir(parents=True)
                replaced = pathlib.Path(os.path.normpath(self.folder / name))
                os.rename(replaced, moved / "away")
                replaced.symlink_to(victim / "certs" if name == "certs" else victim)
                try:
                    away = moved / "away" if name == "." else self.folder
                    environment = os.environ | {"PATH": f"{away}/bin:{os.environ['PATH']}", "RENEWED_LINEAGE": f"{away}/{lineage.relative_to(self.folder)}"}
                    hook = renewal.replace(f"'{self.folder}/letsencrypt", f"'{away}/letsencrypt")
                    ran = subprocess.run(["bash", "-c", hook], cwd=other, env=environment, capture_output=True, text=True, timeout=20)
                finally:
                    replaced.unlink()
                    os.rename(moved / "away", replaced)
                self.assertEqual(ran.returncode, 1, ran.stderr)
                self.assertIn(f"leads to {victim}/certs", ran.stderr)
                self.assertEqual([*(victim / "certs").iterdir()], [])

    def test_a_checkout_behind_a_link_of_its_owner_is_found_by_both_names(self):
        link = self.folder.parent / f"{self.folder.name}-link"
        link.symlink_to(self.folder)
        self.addCleanup(link.unlink)
        environment = os.environ | {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "LETSENCRYPT": f"{self.folder}/letsencrypt", "PWD": str(link)}
        made = subprocess.run(["bash", "-c", 'cd "$1" && exec scripts/certificate meet.example.org a@example.org', "-", link],
                              env=environment, capture_output=True, text=True, timeout=100)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertTrue((self.folder / "certs/tls.crt").exists())
        called = "".join(file.read_text() for file in self.folder.rglob("docker.called"))
        self.assertIn(f"label=com.docker.compose.project.working_dir={link} ", called)

    def headers(self, settings, folder="certs"):
        """What nginx's start script fills into the template, or what it says when it refuses a setting."""
        script = '. nginx/start/17-headers.envsh >&2; printf "%s\\n" "$ROUNDTABLE_FRAME_SOURCES" "$ROUNDTABLE_FRAME_ALLOWLIST" "$ROUNDTABLE_HSTS"'
        environment = {"PATH": os.environ["PATH"], "ROUNDTABLE_CERTIFICATE": f"{self.folder}/{folder}/tls.crt"} | settings
        ran = subprocess.run(["sh", "-euc", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=20)
        return ran.stdout.splitlines() if ran.returncode == 0 else ran.stderr

    def test_hsts_is_on_for_a_certificate_that_browsers_trust_at_the_usual_port_or_where_it_is_set(self):
        (self.folder / "certs/hsts-max-age").write_text("86400\n")
        for settings, folder, sent in [
            ({"HTTPS_PORT": "443"}, "certs", "max-age=86400"),
            ({"HTTPS_PORT": "443"}, "self-signed", ""),
            ({"HTTPS_PORT": "19003"}, "certs", ""),
            ({"HTTPS_PORT": "19003", "HSTS_MAX_AGE": "300"}, "certs", "max-age=300"),
            ({"HTTPS_PORT": "443", "HSTS_MAX_AGE": "0"}, "certs", "max-age=0"),
        ]:
            with self.subTest(settings=settings, folder=folder):
                self.assertEqual(self.headers(settings, folder), ["", "", sent])
        self.assertIn("HSTS_MAX_AGE is '1y'", self.headers({"HSTS_MAX_AGE": "1y"}))

    def test_nginx_takes_the_pages_that_may_frame_the_meeting_as_the_server_does(self):
        listed = "https://Portal.example/, http://intranet.example:8080"
        sources = " https://portal.example http://intranet.example:8080"
        allowlist = ' "https://portal.example" "http://intranet.example:8080"'
        self.assertEqual(self.headers({"ROUNDTABLE_FRAME_ANCESTORS": listed}), [sources, allowlist, ""])
        for wrong in ["*", "https://*.example", "portal.example", "https://portal.example/meet", "https://a;script-src", "https://a'b"]:
            with self.subTest(wrong=wrong):
                self.assertIn(f"'{wrong}' is not the origin of a page", self.headers({"ROUNDTABLE_FRAME_ANCESTORS": wrong}))

    def test_what_certbot_has_already_is_taken_too(self):
        wish = ("DOMAIN=meet.example.org", "EMAIL=a@example.org")
        self.assertEqual(self.make(*wish)[0], 0)
        # The copy here is lost, but certbot's certificate is not due for renewal.
        (self.folder / "certs/tls.crt").unlink()
        code, said = self.make(*wish)
        self.assertEqual(code, 0, said)
        self.assertIn("DNS:meet.example.org", said)
        # It was requested with another hook, which does not copy it here.
        (self.folder / "letsencrypt/renewal/meet.example.org.conf").write_text("renew_hook = true\n")
        self.assertEqual(self.make(*wish)[0], 0)
        self.assertIn("--force-renewal", (self.folder / "certbot.called").read_text())


EC = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
CONFIG = """[ca]
default_ca = d
[d]
new_certs_dir = .
database = index
serial = serial
policy = p
default_md = sha256
x509_extensions = v
unique_subject = no
[p]
commonName = supplied
[v]
subjectAltName = DNS:meet.example.org
"""


class FindCertificate(unittest.TestCase):
    """turn/find-certificate, which the images of nginx and the TURN server run at their start."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.made = made = pathlib.Path(folder.name)
        (made / "ca.cnf").write_text(CONFIG)
        (made / "index").touch()
        (made / "serial").write_text("01")
        cls.sign_self(EC, "meet.example.org", "own")
        cls.sign_self(("rsa:2048",), "meet.example.org", "rsa")
        cls.sign_self(("rsa:1024",), "meet.example.org", "weak")
        cls.sign_self(("rsa:2048",), "root", "root")
        cls.openssl("req", "-newkey", *EC, "-nodes", "-subj", "/CN=meet.example.org", "-keyout", "leaf.key", "-out", "leaf.csr")
        for name, first, last in [("leaf", "20200101", "20990101"), ("expired", "20200101", "20200201"), ("future", "20980101", "20990101")]:
            cls.openssl("ca", "-batch", "-config", "ca.cnf", "-cert", "root.crt", "-keyfile", "root.key", "-in", "leaf.csr", "-notext",
                        "-out", f"{name}.crt", "-startdate", f"{first}000000Z", "-enddate", f"{last}000000Z")
        cls.openssl("x509", "-in", "own.crt", "-outform", "der", "-out", "der.crt")
        cls.openssl("pkey", "-in", "own.key", "-aes128", "-passout", "pass:secret", "-out", "encrypted.key")

    @classmethod
    def openssl(cls, *args):
        subprocess.run(["openssl", *args], cwd=cls.made, check=True, capture_output=True)

    @classmethod
    def sign_self(cls, key, host, name):
        cls.openssl("req", "-x509", "-newkey", *key, "-nodes", "-days", "30", "-subj", f"/CN={host}",
                    "-addext", f"subjectAltName=DNS:{host}", "-keyout", f"{name}.key", "-out", f"{name}.crt")

    def find(self, files, *names):
        """Runs it on a folder with these files, each concatenated from some of those above."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for name, parts in files.items():
            text = b"".join((self.made / part).read_bytes() for part in parts.split())
            (pathlib.Path(folder.name) / name).write_bytes(text)
        done = subprocess.run([ROOT / "turn/find-certificate", folder.name, *names], capture_output=True, text=True, timeout=60)
        found = [pathlib.Path(line).name for line in done.stdout.splitlines()]
        return done.returncode, found, done.stderr.replace(folder.name, "/certs")

    def test_each_pair_of_names_is_accepted_without_a_word(self):
        for certificate, key in [("tls.crt", "tls.key"), ("fullchain.pem", "privkey.pem"), ("cert.crt", "private.key"),
                                 ("server.crt", "server.key"), ("cert.pem", "key.pem")]:
            with self.subTest(certificate=certificate):
                found = self.find({certificate: "own.crt", key: "own.key"}, "meet.example.org")
                self.assertEqual(found, (0, [certificate, key], ""))

    def test_a_folder_of_certbot_is_taken_by_its_full_chain(self):
        files = {"cert.pem": "leaf.crt", "chain.pem": "root.crt", "fullchain.pem": "leaf.crt root.crt", "privkey.pem": "leaf.key", "README": ""}
        self.assertEqual(self.find(files, "meet.example.org"), (0, ["fullchain.pem", "privkey.pem"], ""))

    def test_of_several_pairs_the_first_is_used_and_named(self):
        code, found, said = self.find({"server.crt": "rsa.crt", "server.key": "rsa.key", "cert.crt": "own.crt", "private.key": "own.key"})
        self.assertEqual((code, found), (0, ["cert.crt", "private.key"]))
        self.assertIn("using cert.crt with private.key, not server.crt with server.key", said)

    def test_a_folder_without_a_certificate_is_told_from_one_with_unknown_names(self):
        self.assertEqual(self.find({}), (3, [], ""))
        code, _, said = self.find({"my.pem": "own.crt", "my.key": "own.key"})
        self.assertEqual(code, 1)
        for words in ["my.key my.pem", "tls.crt with tls.key", "fullchain.pem with privkey.pem"]:
            self.assertIn(words, said)

    def test_what_cannot_work_is_refused_with_the_fix(self):
        for certificate, key, says in [
            ("rsa.crt", "own.key", "tls.key (EC prime256v1) is not the key of /certs/tls.crt (RSA 2048): use the key"),
            ("own.crt", "leaf.key", "tls.key (EC prime256v1) is not the key of /certs/tls.crt (EC prime256v1)"),
            ("own.key", "own.crt", "are swapped: rename each"),
            ("own.key", "own.key", "has a private key and no certificate"),
            ("own.crt", "own.crt", "has a certificate and no private key"),
            ("der.crt", "own.key", "openssl x509 -inform der"),
            ("own.crt", "encrypted.key", "openssl pkey -in OLD -out NEW"),
            ("ca.cnf", "own.key", "not a certificate in PEM format"),
            ("own.crt", "ca.cnf", "not a private key in PEM format"),
            ("root.crt leaf.crt", "leaf.key", "wrong order: the server's own certificate is number 2"),
            ("weak.crt", "weak.key", "1024 bits"),
        ]:
            with self.subTest(certificate=certificate, key=key):
                code, found, said = self.find({"tls.crt": certificate, "tls.key": key})
                self.assertEqual((code, found), (1, []), said)
                self.assertIn(says, said)
        code, _, said = self.find({"fullchain.pem": "own.crt"})
        self.assertEqual(code, 1)
        self.assertIn("/certs/privkey.pem is missing or not readable", said)

    def test_what_browsers_refuse_is_used_with_a_warning(self):
        for certificate, key, says in [
            ("expired.crt root.crt", "leaf.key", "has expired (notBefore=Jan  1 00:00:00 2020 GMT"),
            ("future.crt root.crt", "leaf.key", "not valid yet"),
            ("leaf.crt", "leaf.key", "no intermediate certificates"),
            ("leaf.crt own.crt", "leaf.key", "certificate 2 is not the issuer of certificate 1"),
        ]:
            with self.subTest(certificate=certificate):
                code, found, said = self.find({"tls.crt": certificate, "tls.key": key}, "meet.example.org")
                self.assertEqual((code, found), (0, ["tls.crt", "tls.key"]), said)
                self.assertIn(says, said)
                self.assertEqual(said.count("WARNING"), 1, said)

    def test_names_that_people_type_and_the_certificate_lacks_are_named(self):
        names = ["meet.example.org", "other.example.org", "192.0.2.7", "2001:db8::7"]
        code, _, said = self.find({"tls.crt": "own.crt", "tls.key": "own.key"}, *names)
        self.assertEqual(code, 0)
        for name in names[1:]:
            self.assertIn(f"does not cover {name}, but: DNS:meet.example.org", said)
        self.assertNotIn("cover meet.example.org", said)

    def test_links_that_lead_out_of_the_folder_are_named(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ["fullchain.pem", "privkey.pem"]:
                os.symlink(f"../../archive/{name}", pathlib.Path(folder) / name)
            done = subprocess.run([ROOT / "turn/find-certificate", folder], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("symbolic link to ../../archive/fullchain.pem", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
