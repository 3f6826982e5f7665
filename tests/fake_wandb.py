"""A W&B server on loopback: the few operations that logging and `wandb sync` ask for, kept in memory."""

import contextlib
import gzip
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class SeenRun:
    """What the server was told of one run."""

    fields: dict[str, Any] = field(default_factory=dict)  # groupName, displayName, jobType, tags, config ...
    lines: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # streamed files, by line
    exitcode: int | None = None

    @property
    def history(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines["wandb-history.jsonl"]]

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads(self.lines["wandb-summary.json"][0])

    @property
    def config(self) -> dict[str, Any]:
        return {key: entry["value"] for key, entry in json.loads(self.fields["config"]).items()}


class FakeWandb(ThreadingHTTPServer):
    """`runs`: by run id; `uploads`: contents by path; `views`: by name; `requests`: everything asked, in order.

    deaf: requests are taken and never answered, like those to a server that has died behind a load balancer.
    turned_away: operations that are answered by 403.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs: dict[str, SeenRun] = defaultdict(SeenRun)
        self.uploads: dict[str, bytes] = {}
        self.views: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.deaf = False
        self.turned_away: set[str] = set()
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: Any) -> None:
        pass  # wandb hangs up on keep-alive connections

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The `data` of a GraphQL answer."""
        project = {"id": "p", "name": variables.get("project"), "entity": {"id": "e", "name": "somebody"}}
        if operation == "RunResumeStatus":
            name = variables["name"]
            return {"model": {**project, "bucket": self._bucket(name, project) if name in self.runs else None}}
        if operation == "UpsertBucket":
            run = self.runs[variables["name"]]
            run.fields |= {key: value for key, value in variables.items() if value is not None}
            return {"upsertBucket": {"bucket": self._bucket(variables["name"], project), "inserted": True}}
        if operation == "CreateRunFiles":
            files = [
                {"name": name, "uploadUrl": f"{self.url}/{variables['run']}/{name}"} for name in variables["files"]
            ]
            return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": files}}
        if operation == "CreateArtifact":  # a table; "committed": its contents are known, none need be sent
            sequence = {"id": "s", "latestArtifact": None}
            return {"createArtifact": {"artifact": {"id": "a", "state": "COMMITTED", "artifactSequence": sequence}}}
        if operation == "ArtifactType":
            return {"project": {"artifact": None}}
        if operation == "UpsertView2":
            self.views[variables["name"]] = variables
            return {"upsertView": {"view": {"id": "v", "name": variables["name"]}, "inserted": True}}
        if operation in ("Viewer", "GetDefaultEntity"):
            return {"viewer": {"id": "u", "entity": "somebody", "username": "somebody", "flags": "{}"}}
        return {}

    def stream(self, run: SeenRun, message: dict[str, Any]) -> None:
        for name, chunk in message.get("files", {}).items():
            run.lines[name][chunk["offset"] :] = chunk["content"]
        if message.get("complete"):
            run.exitcode = message["exitcode"]

    def _bucket(self, name: str, project: dict[str, Any]) -> dict[str, Any]:
        run = self.runs[name]
        counts = {f"{kind}LineCount": len(run.lines[f"wandb-{kind}.jsonl"]) for kind in ("history", "events")}
        tails = {f"{kind}Tail": json.dumps(run.lines[f"wandb-{kind}.jsonl"][-1:]) for kind in ("history", "events")}
        summary = (run.lines["wandb-summary.json"] or ["{}"])[0]
        known = {"displayName": run.fields.get("displayName"), "config": run.fields.get("config"), "sweepName": None}
        return {
            "id": name, "name": name, "project": project, "summaryMetrics": summary, "logLineCount": 0,
            "tags": run.fields.get("tags"), "notes": None, "wandbConfig": '{"t": {}}', **known, **counts, **tails,
        }  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeWandb

    def do_POST(self) -> None:
        message = json.loads(self._body() or "{}")
        if self.path == "/graphql":
            operation = message.get("operationName") or message["query"].split("(")[0].split("{")[0].split()[1]
            self.server.requests.append(operation)
            if operation in self.server.turned_away:
                self._reply({"error": "not yours"}, 403)
            else:
                self._reply({"data": self.server.answer(operation, message.get("variables") or {})})
        else:  # /files/<entity>/<project>/<run>/file_stream
            self.server.requests.append(self.path)
            self.server.stream(self.server.runs[self.path.split("/")[4]], message)
            self._reply({})

    def do_PUT(self) -> None:
        self.server.uploads[self.path.lstrip("/")] = self._body()
        self._reply({})

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _reply(self, answer: dict[str, Any], status: int = 200) -> None:
        if self.server.deaf:
            self.server.closing.wait()
            return
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def fake_wandb() -> Iterator[FakeWandb]:
    with FakeWandb() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()
