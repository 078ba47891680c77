"""Make sure that a Chromium is there for the browser tests; install it where that can be done.

Looks for a browser on the PATH. Without one it asks apt for `chromium` and the fonts that the figures name, as
root or through sudo; elsewhere it says what to install. Does nothing else.
"""

import os
import shutil
import subprocess
import sys

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PACKAGES = ("chromium", "fonts-dejavu-core")


def find_browser() -> str | None:
    """Path of the first browser found."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def apt_prefix() -> list[str] | None:
    """How apt-get can be called here; None if it cannot."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    return ["sudo", "-n"] if shutil.which("sudo") else None


def install() -> bool:
    """Install browser and fonts with apt; False if that is not possible here."""
    prefix = apt_prefix()
    if prefix is None:
        return False
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run([*prefix, "apt-get", *arguments], env=environment, stdout=subprocess.DEVNULL)
        if done.returncode:
            return False
    return find_browser() is not None


def main() -> int:
    """Exit code 0 with a browser, 1 without."""
    if find_browser() or install():
        return 0
    sys.stderr.write(
        "The browser tests need Chromium: install it so that `chromium` or `google-chrome` is on the PATH.\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
