"""Prints the body of every request as a line: who hears of alerts in the tests of the stack."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()
        print(json.dumps(json.loads(body)))

    def log_message(self, *_: object) -> None:
        """Nothing but the bodies."""


if __name__ == "__main__":
    HTTPServer(("", 8080), Receiver).serve_forever()
