"""scripts/certificate, in a folder of its own. certbot and Docker are stand-ins that note how they were called: Let's Encrypt is not here."""

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
        shutil.copy(ROOT / "scripts/certificate", self.folder / "scripts")
        shutil.copy(ROOT / "Makefile", self.folder)
        self.program("certbot", CERTBOT)
        self.program("docker", '#!/bin/sh\necho "$*" >>docker.called\n')

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
        for words in ["no certs/tls.crt", "./certs:/certs:ro", "DOMAIN="]:
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
        self.assertIn("exec -T nginx nginx -s reload", (self.folder / "docker.called").read_text())

    def test_what_certbot_has_already_is_taken_too(self):
        wish = ("DOMAIN=meet.example.org", "EMAIL=a@example.org")
        self.assertEqual(self.make(*wish)[0], 0)
        # It was lost here, and is not due there.
        (self.folder / "certs/tls.crt").unlink()
        code, said = self.make(*wish)
        self.assertEqual(code, 0, said)
        self.assertIn("DNS:meet.example.org", said)
        # Somebody else got it, who does not bring it here.
        (self.folder / "letsencrypt/renewal/meet.example.org.conf").write_text("renew_hook = true\n")
        self.assertEqual(self.make(*wish)[0], 0)
        self.assertIn("--force-renewal", (self.folder / "certbot.called").read_text())


if __name__ == "__main__":
    unittest.main(verbosity=2)
