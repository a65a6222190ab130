#!/usr/bin/env python3
"""Makes a picture by a Cuckoo coordinator. Python 3.9 and its standard library are all it needs.

    examples/picture.py "a red apple" --out apple.png
    CUCKOO_API_KEY=ck_... examples/picture.py "a red apple" --url https://coordinator.example
"""

import argparse
import itertools
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

FINAL = ("done", "failed", "cancelled", "expired")


class Refused(Exception):
    """The coordinator says no: a stable code, its name, and a sentence for people."""

    def __init__(self, error):
        name = (error.get("data") or {}).get("name", "?")
        super().__init__(f"{error['message']} (error {error['code']}, {name})")


class Coordinator:
    """JSON-RPC 2.0 over HTTP."""

    def __init__(self, url, api_key=None):
        self.url = url.rstrip("/")
        self.headers = {"content-type": "application/json"}
        if api_key:
            self.headers["authorization"] = f"Bearer {api_key}"
        self.ids = itertools.count(1)

    def call(self, method, **params):
        request = {"jsonrpc": "2.0", "id": next(self.ids), "method": method, "params": params}
        body = json.dumps(request).encode()
        with urllib.request.urlopen(
            urllib.request.Request(self.url, body, self.headers), timeout=60
        ) as reply:
            reply = json.load(reply)
        if "error" in reply:
            raise Refused(reply["error"])
        return reply["result"]

    def submit(self, spec, attempts=5):
        """Submits once, however often it has to ask: the same key gives the same task."""
        options = {"idempotency_key": str(uuid.uuid4())}
        for attempt in range(attempts):
            try:
                return self.call("task_submit", spec=spec, options=options)
            except urllib.error.URLError:
                if attempt + 1 == attempts:
                    raise
                time.sleep(2**attempt)

    def wait(self, task, show=lambda status: None):
        """Waits until the task has ended and returns its last status."""
        while True:
            status = self.call("task_status", id=task)
            show(status)
            if status["state"] in FINAL:
                return status
            time.sleep(0.5)

    def picture(self, task):
        """The PNG of a task that is done."""
        path = self.call("task_result", id=task)["path"]
        with urllib.request.urlopen(self.url + path, timeout=60) as png:
            return png.read()


def show(status):
    text = status["state"]
    if status["state"] == "queued":
        text += f", {status['position']} before it"
    if status["state"] == "running":
        text += f", step {status['steps_done']} of {status['spec']['steps']}"
    if status["eta_ms"] is not None:
        text += f", about {status['eta_ms'] / 1000:.0f} s to go"
    print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prompt")
    parser.add_argument("--out", default="picture.png", help="where the PNG goes [%(default)s]")
    parser.add_argument("--url", default="http://127.0.0.1:8645", help="[%(default)s]")
    parser.add_argument("--seed", type=int, help="the same seed gives the same picture")
    arguments = parser.parse_args()

    coordinator = Coordinator(arguments.url, os.environ.get("CUCKOO_API_KEY"))
    spec = {"prompt": arguments.prompt}
    if arguments.seed is not None:
        spec["seed"] = arguments.seed
    task = coordinator.submit(spec)["id"]
    status = coordinator.wait(task, show)
    print(file=sys.stderr)
    if status["state"] != "done":
        sys.exit(f"task {task} is {status['state']}: {status['reason']}")
    with open(arguments.out, "wb") as file:
        file.write(coordinator.picture(task))
    print(arguments.out)


if __name__ == "__main__":
    try:
        main()
    except (Refused, urllib.error.URLError) as error:
        sys.exit(f"error: {error}")
