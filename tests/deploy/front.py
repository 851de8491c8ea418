"""Tests nginx's limits per address, as set by the image and by deploy/host-nginx, in a real nginx with few connections.
The client address comes from the PROXY protocol, so that the test needs no network of its own."""

import contextlib
import os
import pathlib
import re
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODULE = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")
PATH = f"{os.environ['PATH']}:/usr/sbin"
# Connections per address; a /56 has 4 times, a /48 16 times as many.
SLOTS = 8
PROXY = "2001:db8:ffff::1"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def slots(connections):
    """Returns the limits that the image's start script derives from a setting."""
    names = [f"ROUNDTABLE_ADDRESS_SLOTS{prefix}" for prefix in ["", "_56", "_48"]]
    script = '. ./nginx/start/16-connections.envsh; for name; do eval "echo \\"\\$$name\\""; done'
    environment = {"PATH": PATH, "ROUNDTABLE_ADDRESS_CONNECTIONS": connections}
    ran = subprocess.run(["sh", "-ec", script, "sh", *names], cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=20)
    return dict(zip(names, ran.stdout.split("\n")))


class Greeter(socketserver.BaseRequestHandler):
    """The backend of nginx: greets each connection, and waits until it is closed."""

    def handle(self):
        self.request.sendall(b"hello")
        while self.request.recv(1024):
            pass


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 1024


class Front(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.folder = pathlib.Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        backend = self.stack.enter_context(Server(("127.0.0.1", 0), Greeter))
        threading.Thread(target=backend.serve_forever, daemon=True).start()
        self.stack.callback(backend.shutdown)
        self.backend = backend.server_address[1]

    def image(self):
        """Returns the image's front configuration, filled in by its start scripts."""
        environment = {"PATH": PATH, "NGINX_ENVSUBST_OUTPUT_DIR": str(self.folder), "ROUNDTABLE_TRUSTED_PROXIES": PROXY}
        subprocess.run(["sh", "nginx/start/13-proxies.sh"], cwd=ROOT, env=environment, check=True, timeout=20)
        filled = slots(str(SLOTS // 2))
        text = (ROOT / "nginx/templates/front.stream.template").read_text()
        text = re.sub(r"\$\{(\w+)\}", lambda found: filled[found[1]], text)
        return f"stream {{ include {self.folder}/proxies.stream; {text} }}"

    def host(self):
        """Returns the front configuration of deploy/host-nginx, with its limits scaled down."""
        text = (ROOT / "deploy/host-nginx/front.conf").read_text()
        return re.sub(r"(limit_conn \w+) (\d+);", lambda found: f"{found[1]} {int(found[2]) * SLOTS // 2048};", text)

    def start(self, text):
        """Starts nginx with a front configuration, whose first listener takes client addresses from the PROXY protocol.
        """
        self.port = free_port()
        text = re.sub(r"(?m)^ *listen \[::\].*\n", "", text)
        listeners = iter([self.port, free_port()])
        text = re.sub(r"listen \d+ ", lambda _: f"listen 127.0.0.1:{next(listeners)} proxy_protocol ", text)
        text = re.sub(r"proxy_pass [^;]+;", f"proxy_pass 127.0.0.1:{self.backend};", text)
        text = text.replace("proxy_protocol on;", "set_real_ip_from 127.0.0.1; proxy_protocol on;")
        load = f"load_module {MODULE};" if MODULE.exists() else ""
        conf = f"{load} daemon off; pid {self.folder}/pid; error_log {self.folder}/error.log; events {{ worker_connections 1024; }}\n{text}"
        (self.folder / "nginx.conf").write_text(conf)
        command = ["nginx", "-p", self.folder, "-e", self.folder / "error.log", "-c", self.folder / "nginx.conf"]
        process = subprocess.Popen(command, env={"PATH": PATH})
        self.stack.callback(process.wait)
        self.stack.callback(process.terminate)
        until = time.monotonic() + 10
        while not self.connect("192.0.2.9"):
            if process.poll() is not None or time.monotonic() > until:
                self.fail((self.folder / "error.log").read_text())
            time.sleep(0.05)

    def connect(self, address):
        """Opens a connection that stays open until the test ends. Returns whether nginx has accepted it."""
        client = self.stack.enter_context(socket.socket())
        client.settimeout(10)
        family, other = ("TCP6", "::1") if ":" in address else ("TCP4", "127.0.0.1")
        try:
            client.connect(("127.0.0.1", self.port))
            client.sendall(f"PROXY {family} {address} {other} 40000 443\r\n".encode())
            return client.recv(5) == b"hello"
        except ConnectionError:
            return False

    def accepted(self, addresses):
        return sum(self.connect(address) for address in addresses)

    def check_networks(self):
        def subnets(site, count):
            return [f"2001:db8:{site}:{subnet:x}::{host:x}" for subnet in range(count) for host in range(1, SLOTS + 1)]

        self.assertEqual(self.accepted(f"2001:db8:1::{host:x}" for host in range(1, 30)), SLOTS, "a /64")
        self.assertEqual(self.accepted(subnets(2, 16)), 4 * SLOTS, "the 16 networks of a /56")
        # One from each /56, so that the limit of none of them is reached.
        self.assertEqual(self.accepted(f"2001:db8:3:{subnet:x}00::1" for subnet in range(20 * SLOTS)), 16 * SLOTS, "a /48")
        self.assertEqual(self.accepted(["198.51.100.1"] * 30), SLOTS, "an IPv4 address")
        self.assertEqual(self.accepted(f"198.51.100.{host}" for host in range(2, 100)), 98, "other IPv4 addresses")
        self.assertEqual(self.accepted(["2001:db8:4::1"]), 1, "a newcomer")

    def test_many_ipv6_networks_of_one_customer_do_not_multiply_its_connections_to_the_image(self):
        self.start(self.image())
        self.check_networks()
        self.assertEqual(self.accepted([PROXY] * 17 * SLOTS), 17 * SLOTS, "a trusted proxy is not counted")

    def test_many_ipv6_networks_of_one_customer_do_not_multiply_its_connections_to_host_nginx(self):
        self.start(self.host())
        self.check_networks()

    def test_limits_follow_the_server_s_setting_and_stay_in_the_range_that_nginx_takes(self):
        for connections, expected in [("", [2048, 8192, 32768]), ("3", [6, 24, 96]), ("4000", [8000, 32000, 65535]),
                                      ("0", [65535] * 3), ("4294967295", [65535] * 3)]:
            self.assertEqual(list(map(int, slots(connections).values())), expected, connections)


if __name__ == "__main__":
    unittest.main(verbosity=2)
