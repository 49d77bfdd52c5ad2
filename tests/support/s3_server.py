"""A server with the protocol of S3, for tests: the requests that libibt sends, faults, and a count of the requests.

    python3 s3_server.py        prints its port, and ends when its standard input ends

It has one bucket, `bucket`, in the region `here`, and one user with the key `key`. Signatures are not checked, but the
hash of each body is. POST /-control replaces the settings by a JSON object, all of whose keys may be absent:

    faults  a list of {"op", "do", "times", "status", "code", "seconds"}: the next `times` requests of the kind `op` (or
            "*") get a fault. "status" answers with an error, "cut" closes the connection before the work, "cut_after"
            after it; "delay" waits; "short" sends less of an answer than its length says; "long" says too small a length
    deny    a list of kinds of requests that the user may not make
    page    the most keys in one answer to a list (default 1000)

GET /-control returns {"counts": requests by kind, "objects": sizes by key, "uploads": how many are unfinished,
"faults_left": the faults that requests will still get}.
The kinds: list, get, head, put, delete, begin, part, complete, abort.
"""

import hashlib
import http.server
import json
import os
import sys
import threading
import time
import urllib.parse
from xml.sax.saxutils import escape

BUCKET, REGION, KEY = "bucket", "here", "key"


class State:
    """The objects, the unfinished uploads and the settings. Each is used with the lock held."""

    def __init__(self):
        self.lock = threading.Lock()
        self.objects = {}
        self.uploads = {}
        self.counts = {}
        self.settings = {}
        self.next_upload = 1

    def fault_of(self, kind):
        """The fault of this request, which counts down, or None."""
        for fault in self.settings.get("faults", []):
            if fault["op"] in (kind, "*") and fault.get("times", 1) > 0:
                fault["times"] = fault.get("times", 1) - 1
                return fault
        return None


STATE = State()


class Refused(Exception):
    """An answer with an error of S3."""

    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def etag(data):
    return '"%s"' % hashlib.md5(data).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer leaves at once, and not after a delayed acknowledgement of its first packet.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer()

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def answer(self):
        url = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if url.path == "/-control":
            return self.control(body)
        parts = urllib.parse.unquote(url.path).split("/", 2)
        self.bucket, self.key = parts[1], parts[2] if len(parts) > 2 else ""
        kind = self.kind()
        with STATE.lock:
            STATE.counts[kind] = STATE.counts.get(kind, 0) + 1
            fault = STATE.fault_of(kind)
        self.fault = fault
        try:
            if fault and fault["do"] == "delay":
                time.sleep(fault["seconds"])
            if fault and fault["do"] == "cut":
                return self.cut()
            if fault and fault["do"] == "status":
                raise Refused(fault["status"], fault.get("code", "Fault"), "A fault of the test")
            self.check_user(kind, body)
            with STATE.lock:
                status, headers, data = getattr(self, "do_" + kind)(body)
            if fault and fault["do"] == "cut_after":
                return self.cut()
            self.send(status, headers, data)
        except Refused as refused:
            text = "<Error><Code>%s</Code><Message>%s</Message></Error>" % (refused.code, escape(refused.message))
            self.fault = None
            self.send(refused.status, {"content-type": "application/xml"}, text.encode())

    def kind(self):
        method, upload = self.command, "uploadId" in self.query
        if not self.key:
            return "list"
        if method == "POST":
            return "complete" if upload else "begin"
        if upload:
            return {"PUT": "part", "DELETE": "abort"}[method]
        return method.lower()

    def control(self, body):
        with STATE.lock:
            if self.command == "POST":
                STATE.settings = json.loads(body)
                STATE.counts = {}
            sizes = {key: len(data) for key, (data, _) in STATE.objects.items()}
            left = [fault for fault in STATE.settings.get("faults", []) if fault.get("times", 1) > 0]
            answer = {"counts": STATE.counts, "objects": sizes, "uploads": len(STATE.uploads), "faults_left": left}
            text = json.dumps(answer)
        self.fault = None
        self.send(200, {}, text.encode())

    def check_user(self, kind, body):
        words = self.headers.get("authorization", "").partition("Credential=")[2].split(",")[0].split("/")
        if len(words) != 5:
            raise Refused(403, "AccessDenied", "There is no signature")
        if words[0] != KEY:
            raise Refused(403, "InvalidAccessKeyId", "The access key does not exist in our records.")
        if words[2] != REGION:
            message = "The region '%s' is wrong; expecting '%s'" % (words[2], REGION)
            raise Refused(400, "AuthorizationHeaderMalformed", message)
        said = self.headers.get("x-amz-content-sha256", "")
        if said != "UNSIGNED-PAYLOAD" and said != hashlib.sha256(body).hexdigest():
            raise Refused(400, "XAmzContentSHA256Mismatch", "The body is not the one that was signed")
        if self.bucket != BUCKET:
            raise Refused(404, "NoSuchBucket", "The specified bucket does not exist")
        if kind in STATE.settings.get("deny", []):
            raise Refused(403, "AccessDenied", "The user may not %s" % kind)

    def check_free(self):
        if self.headers.get("if-none-match") == "*" and self.key in STATE.objects:
            raise Refused(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")

    def metadata(self):
        return {name.lower(): value for name, value in self.headers.items() if name.lower().startswith("x-amz-meta-")}

    def found(self):
        if self.key not in STATE.objects:
            raise Refused(404, "NoSuchKey", "The specified key does not exist.")
        data, metadata = STATE.objects[self.key]
        stamp = "Thu, 01 Jan 2026 00:00:00 GMT"
        return data, {"etag": etag(data), "last-modified": stamp, "accept-ranges": "bytes", **metadata}

    def do_list(self, _):
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter", "")
        after = self.query.get("continuation-token") or self.query.get("start-after", "")
        most = min(int(self.query.get("max-keys", 1000)), STATE.settings.get("page", 1000))
        keys, folders, last, more = [], [], "", False
        for key in sorted(STATE.objects):
            if not key.startswith(prefix) or key <= after:
                continue
            folder = ""
            if delimiter and delimiter in key[len(prefix):]:
                folder = key[: key.index(delimiter, len(prefix)) + 1]
            if folder and (folder in folders or after.startswith(folder)):
                continue
            if len(keys) + len(folders) == most:
                more = True
                break
            (folders if folder else keys).append(folder or key)
            last = key
        text = "<ListBucketResult><IsTruncated>%s</IsTruncated>" % ("true" if more else "false")
        if more:
            text += "<NextContinuationToken>%s</NextContinuationToken>" % escape(last)
        for key in keys:
            data, _ = STATE.objects[key]
            text += "<Contents><Key>%s</Key><Size>%d</Size>" % (escape(key), len(data))
            text += "<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>%s</ETag></Contents>" % etag(data)
        for folder in folders:
            text += "<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>" % escape(folder)
        return 200, {"content-type": "application/xml"}, (text + "</ListBucketResult>").encode()

    def do_get(self, _):
        data, headers = self.found()
        asked = self.headers.get("range")
        if not asked:
            return 200, headers, data
        first, _, last = asked.partition("=")[2].partition("-")
        first, last = int(first), min(int(last or len(data) - 1), len(data) - 1)
        if first >= len(data):
            raise Refused(416, "InvalidRange", "The requested range is not satisfiable")
        headers["content-range"] = "bytes %d-%d/%d" % (first, last, len(data))
        return 206, headers, data[first : last + 1]

    def do_head(self, _):
        data, headers = self.found()
        return 200, headers, data

    def do_put(self, body):
        self.check_free()
        STATE.objects[self.key] = (body, self.metadata())
        return 200, {"etag": etag(body)}, b""

    def do_delete(self, _):
        STATE.objects.pop(self.key, None)
        return 204, {}, b""

    def do_begin(self, _):
        number, STATE.next_upload = str(STATE.next_upload), STATE.next_upload + 1
        STATE.uploads[number] = (self.key, self.metadata(), {})
        text = "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>" % number
        return 200, {"content-type": "application/xml"}, text.encode()

    def upload(self):
        number = self.query["uploadId"]
        if number not in STATE.uploads or STATE.uploads[number][0] != self.key:
            raise Refused(404, "NoSuchUpload", "The specified multipart upload does not exist.")
        return number

    def do_part(self, body):
        STATE.uploads[self.upload()][2][int(self.query["partNumber"])] = body
        return 200, {"etag": etag(body)}, b""

    def do_complete(self, body):
        number = self.upload()
        self.check_free()
        _, metadata, parts = STATE.uploads[number]
        named = body.decode().count("<PartNumber>")
        if sorted(parts) != list(range(1, named + 1)):
            raise Refused(400, "InvalidPart", "One or more of the specified parts could not be found")
        if any(len(parts[part]) < 5 << 20 for part in range(1, named)):
            raise Refused(400, "EntityTooSmall", "A part is smaller than the minimum")
        whole = b"".join(parts[part] for part in range(1, named + 1))
        STATE.objects[self.key] = (whole, metadata)
        del STATE.uploads[number]
        text = "<CompleteMultipartUploadResult><ETag>%s</ETag></CompleteMultipartUploadResult>" % etag(whole)
        return 200, {"content-type": "application/xml"}, text.encode()

    def do_abort(self, _):
        del STATE.uploads[self.upload()]
        return 204, {}, b""

    def cut(self):
        self.close_connection = True
        self.connection.close()

    def send(self, status, headers, data):
        said = len(data)
        if self.fault and self.fault["do"] == "long":
            said -= min(said, 10)
            data = data[:said] if self.command == "HEAD" else data
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(said))
        self.end_headers()
        if self.fault and self.fault["do"] == "short":
            data = data[: len(data) // 2]
        if self.command != "HEAD":
            self.wfile.write(data)
        self.wfile.flush()
        if self.fault and self.fault["do"] in ("short", "long"):
            self.cut()

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, ValueError, OSError):
            pass  # The client is gone, or a fault closed the connection.

    def finish(self):
        try:
            super().finish()
        except (ConnectionError, ValueError, OSError):
            pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def main():
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
