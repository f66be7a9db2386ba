"""Drives headless Chromium through chromedriver with nothing but the standard library; for tests and screenshots.

usage: browser.py PAGE.html FOLDER     screenshots of the page's sections at 1400 and 400 px, light and dark, and its PDF
"""
import base64
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request


def missing():
    """Why no browser can be driven here; None when one can."""
    for program in ("chromedriver", "chromium"):
        if shutil.which(program) is None:
            return f"{program} is not installed (apt-get install chromium chromium-driver)"
    return None


class Browser:
    """One window. What it said and asked for since the last call is in console() and requests()."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="batchscope-browser-")
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
        for line in self.driver.stdout:
            found = re.search(r"started successfully on port (\d+)", line)
            if found:
                break
        else:
            raise RuntimeError("chromedriver did not start")
        self.session = f"http://127.0.0.1:{found.group(1)}/session"
        options = {
            "binary": shutil.which("chromium"),
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--hide-scrollbars", f"--user-data-dir={self.folder}/profile"],
        }
        always = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        answer = self._send("POST", "", {"capabilities": {"alwaysMatch": always}})
        self.session += "/" + answer["sessionId"]
        self._send("POST", "/timeouts", {"pageLoad": 120000, "script": 120000})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._send("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _send(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.session + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=180) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"].splitlines()[0]) from None

    def cdp(self, command, **parameters):
        return self._send("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, path):
        self._send("POST", "/url", {"url": "about:blank"})
        self._send("POST", "/url", {"url": pathlib.Path(path).resolve().as_uri()})

    def run(self, script, *arguments):
        """The value that the script returns; a promise is waited for."""
        return self._send("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def click(self, function, *arguments):
        """With the mouse, on the element that the function returns, once there is one."""
        for _ in range(100):
            if self.run(f"return Boolean(({function})(...arguments))", *arguments):
                break
            time.sleep(0.05)
        x, y = self.run(f"""const element = ({function})(...arguments);
                            element.scrollIntoView({{block: 'center', behavior: 'instant'}});
                            const box = element.getBoundingClientRect();
                            return [box.x + box.width / 2, box.y + box.height / 2]""", *arguments)
        for kind in ("mousePressed", "mouseReleased"):
            self.cdp("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def window(self, width, height, dark=False):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                 mobile=width < 600)
        self.cdp("Emulation.setEmulatedMedia", media="screen",
                 features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def download_to(self, folder):
        self.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def screenshot(self, path):
        image = self.cdp("Page.captureScreenshot", format="png", captureBeyondViewport=False)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(image))

    def pdf(self, path):
        self.cdp("Emulation.setEmulatedMedia", media="", features=[])
        data = self.cdp("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))

    def console(self):
        return [entry["message"] for entry in self._send("POST", "/se/log", {"type": "browser"})]

    def requests(self):
        """Addresses that the page asked for, itself apart."""
        found = []
        for entry in self._send("POST", "/se/log", {"type": "performance"}):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                if message["params"].get("type") != "Document":
                    found.append(url)
        return [url for url in found if not url.startswith(("data:", "blob:", "chrome:"))]  # chrome: the browser itself


def screenshots(page, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with Browser() as browser:
        for width, height in ((1400, 900), (400, 800)):
            for dark in (False, True):
                browser.window(width, height, dark)
                browser.open(page)
                name = f"{width}-{'dark' if dark else 'light'}"
                browser.screenshot(folder / f"{name}-top.png")
                for part in browser.run("return [...document.querySelectorAll('section.part')].map(part => part.id)"):
                    browser.run("document.getElementById(arguments[0]).scrollIntoView();"
                                "return new Promise(done => setTimeout(done, 400))", part)
                    browser.screenshot(folder / f"{name}-{part}.png")
        browser.open(page)
        print("load: {:.0f} ms".format(browser.run("return performance.getEntriesByType('navigation')[0].loadEventEnd")))
        for line in browser.console():
            print("console:", line)
        browser.pdf(folder / "page.pdf")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    if missing():
        sys.exit(f"browser.py: {missing()}")
    screenshots(sys.argv[1], sys.argv[2])
