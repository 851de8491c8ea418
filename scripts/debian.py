"""The Debian packages of an image: of one with dpkg, and of the server's, which has only a few files of Debian and says whose they are."""

import io
import subprocess
import tarfile

IMAGES = ["roundtable", "roundtable-nginx", "roundtable-turn"]


def inside(container, path):
    """The text of a file of a container, or of all files of a folder; None where there is neither."""
    copied = subprocess.run(["docker", "cp", "-L", f"{container}:{path}", "-"], capture_output=True)
    if copied.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(copied.stdout)) as tar:
        files = [tar.extractfile(one).read().decode() for one in tar.getmembers() if one.isfile()]
    # As paragraphs of dpkg's they may stand in one file.
    return "\n".join(files)


def paragraphs(status):
    """dpkg's status as one dictionary for each package that is installed; of fields with several lines the first."""
    for paragraph in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and not line.startswith(" "))
        if fields.get("Status", "").endswith(" installed"):
            yield fields


def look(image):
    """What /etc/os-release says in an image, and dpkg's status; None where there is no such image."""
    made = subprocess.run(["docker", "create", "--pull", "never", image], capture_output=True, text=True)
    if made.returncode:
        return None
    container = made.stdout.strip()
    try:
        release = inside(container, "/etc/os-release") or ""
        status = inside(container, "/var/lib/dpkg/status.d") or inside(container, "/var/lib/dpkg/status") or ""
    finally:
        subprocess.run(["docker", "rm", "-v", container], capture_output=True)
    said = dict(line.split("=", 1) for line in release.splitlines() if "=" in line)
    return {name: value.strip('"') for name, value in said.items()}, status
