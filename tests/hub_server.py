"""A server on loopback that answers what `huggingface_hub` asks the Hugging Face Hub for a file."""

import contextlib
import hashlib
import http.server
import re
import threading
import urllib.parse

REPOSITORY = "owner/name"
_FILE = re.compile(r"/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>[^/]+)")


class Hub:
    """One repository, with a folder for each commit.

    Attributes:
        commits: The folder of each commit.
        branches: The commit of each branch and tag.
        requests: The requests so far: method, revision and file.
    """

    def __init__(self, commits):
        self.commits = commits
        self.branches = {}
        self.requests = []
        self.url = ""

    def answer(self, method, path):
        """Return status, headers and content for a request."""
        match = _FILE.fullmatch(urllib.parse.unquote(path))
        if match is None or match["repository"] != REPOSITORY:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        self.requests.append((method, match["revision"], match["file"]))
        commit = self.branches.get(match["revision"], match["revision"])
        if commit not in self.commits:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        file = self.commits[commit] / match["file"]
        if not file.is_file():
            return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, b""
        content = file.read_bytes()
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        return 200, {"X-Repo-Commit": commit, "ETag": etag}, content


@contextlib.contextmanager
def serve(commits):
    """Serve a repository whose branch main is the last of `commits`."""
    hub = Hub(commits)
    hub.branches["main"] = list(commits)[-1]

    class Handler(http.server.BaseHTTPRequestHandler):
        def respond(self):
            status, headers, content = hub.answer(self.command, self.path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_GET = do_HEAD = respond

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
