"""A headless Chromium for tests, controlled by the DevTools protocol over two pipes."""

import base64
import contextlib
import json
import os
import pathlib
import shutil
import subprocess

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser(contextlib.AbstractContextManager):
    """A browser with one page.

    Attributes:
        requests: addresses that the page asked for since it was opened, its own first.
        messages: what the page wrote to the console since then.
    """

    def __init__(self, profile: pathlib.Path):
        to_browser, self._commands = os.pipe()
        self._replies, from_browser = os.pipe()
        flags = (
            "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --remote-debugging-pipe"
        )
        # Chromium reads from file descriptor 3 and writes to 4.
        script = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, str(CHROMIUM), *flags.split(), f"--user-data-dir={profile}"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._unread, self._number, self._session = b"", 0, None
        self.requests, self.messages = [], []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self._call(f"{domain}.enable")

    def open(self, page: pathlib.Path, *, width: int, dark: bool) -> None:
        """Loads a page in a window of this width, in the dark or the light colour scheme."""
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        self.requests, self.messages, self._loaded = [], [], False
        self._call("Page.navigate", url=page.as_uri())
        while not self._loaded:
            self._heed(self._read())

    def evaluate(self, expression: str):
        """Returns the value of a JavaScript expression in the page."""
        reply = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in reply, reply
        return reply["result"].get("value")

    def screenshot(self, path: pathlib.Path, **clip: float) -> None:
        """Writes a PNG of the whole page, or of the part given by x, y, width and height."""
        part = {"clip": {**clip, "scale": 1}} if clip else {}
        reply = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True, **part)
        path.write_bytes(base64.b64decode(reply["data"]))

    def __exit__(self, *unused) -> None:
        os.close(self._commands)
        os.close(self._replies)
        self._process.terminate()
        self._process.wait(timeout=30)

    def _call(self, method: str, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._read()
            if reply.get("id") == self._number:
                assert "error" not in reply, reply
                return reply["result"]
            self._heed(reply)

    def _read(self) -> dict:
        while b"\0" not in self._unread:
            received = os.read(self._replies, 1 << 20)
            assert received, "the browser has ended"
            self._unread += received
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)

    def _heed(self, event: dict) -> None:
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(event["params"]["request"]["url"])
        elif event.get("method") in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.messages.append(event["params"])
        elif event.get("method") == "Page.loadEventFired":
            self._loaded = True
