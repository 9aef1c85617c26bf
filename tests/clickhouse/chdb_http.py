#!/usr/bin/env python3
"""chdb_http.py - a test double for ClickHouse's HTTP port, on the real (in-process) engine from PyPI `chdb-core`.
usage: chdb_http.py --path DIR [--port 0] [--port-file F] [--user U --password P] [--dsn-extra 'k=v&k=v'] [--until-eof]
--until-eof: end when standard input is closed, so that no engine outlives the tests that started it.
Enough for the Rust crate `clickhouse` 0.15: DDL, RowBinary / RowBinaryWithNamesAndTypes / JSONEachRow / Native inserts,
decompress=1 (ClickHouse blocks: none/LZ4/ZSTD), Accept-Encoding: lz4, multipart params, settings, database, errors, summary.
Faults (POST /_fault?...): mode=status&status=503&count=2 | mode=drop_before | mode=drop_after (commits, ack lost) | mode=delay&ms=500
One takes the place of those before; with then=1 it comes after them."""
import argparse, base64, gzip, json, os, re, signal, struct, sys, tempfile, threading, time, uuid, zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit, parse_qsl
import types
for _m in ("pyarrow", "pandas"):                          # chdb imports them, this server needs neither: allow `pip install --no-deps`
    try: __import__(_m)
    except ImportError: sys.modules[_m] = types.ModuleType(_m); sys.modules[_m].__getattr__ = lambda n: object
import lz4.block, lz4.frame
from chdb import session

A = argparse.ArgumentParser(); A.add_argument("--path", required=True); A.add_argument("--port", type=int, default=0)
A.add_argument("--port-file"); A.add_argument("--user", default="default"); A.add_argument("--password", default="")
A.add_argument("--dsn-extra", default=""); A.add_argument("--default-async-insert", action="store_true"); A.add_argument("--until-eof", action="store_true"); A = A.parse_args()
DSN = A.path + ("?" + A.dsn_extra if A.dsn_extra else "")
os.makedirs(A.path, exist_ok=True)
ROOT = session.Session(DSN)                               # keeps the engine alive for the whole process
VERSION = ROOT.query("select version()", "TSVRaw").bytes().decode().strip()
TZ = ROOT.query("select timezone()", "TSVRaw").bytes().decode().strip()
TAG = os.urandom(8).hex()
TMP = "/dev/shm" if os.access("/dev/shm", os.W_OK) else A.path
LOCAL, FAULTS, FLOCK = threading.local(), [], threading.Lock()
STATUS = {401: {194}, 403: {192, 193, 516, 497}, 404: {46, 47, 60, 81, 115, 63, 16, 50}, 501: {48}, 408: {159},   # else 500
          400: {62, 36, 6, 27, 38, 41, 53, 117, 33, 72, 26, 69, 70, 321, 457, 42, 43, 44, 20, 8, 467, 386}}
NOT_SETTINGS = {"query", "database", "default_format", "decompress", "compress", "query_id", "user", "password", "session_id",
                "session_timeout", "session_check", "role", "wait_end_of_query", "buffer_size", "quota_key", "stacktrace", "close_session"}
INSERT = re.compile(rb"^\s*(INSERT\s+INTO\s.*?)\s+FORMAT\s+(\w+)\s*;?\s*$", re.I | re.S)

def conn(db):                                             # one engine connection per (HTTP thread, database)
    pool = LOCAL.__dict__.setdefault("pool", {})
    if db not in pool:
        s = session.Session(DSN)
        if not A.default_async_insert: s.query("SET async_insert = 0")   # a server before 26.x; 26.9 has 1 as default
        if db: s.query("USE `%s`" % db.replace("`", ""))
        pool[db] = s
    return pool[db]

def ch_blocks(b):                                         # ClickHouse compressed stream: cityhash128 | method u8 | csize u32 | usize u32 | data
    out, p = [], 0
    while p < len(b):
        if len(b) - p < 25: raise RuntimeError("Code: 271. DB::Exception: truncated compressed block (CANNOT_DECOMPRESS)")
        m, cs, us = b[p + 16], *struct.unpack_from("<II", b, p + 17); d = b[p + 25:p + 16 + cs]
        if len(d) != cs - 9: raise RuntimeError("Code: 271. DB::Exception: truncated compressed block (CANNOT_DECOMPRESS)")
        if m == 0x82: d = lz4.block.decompress(d, uncompressed_size=us)
        elif m == 0x90: import zstandard; d = zstandard.ZstdDecompressor().decompress(d, max_output_size=us)
        elif m != 0x02: raise RuntimeError("Code: 89. DB::Exception: unknown compression method %#x (UNKNOWN_COMPRESSION_METHOD)" % m)
        out.append(d); p += 16 + cs
    return b"".join(out)

class H(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"; server_version = "chdb-http"; wbufsize = 1 << 16; disable_nagle_algorithm = True
    def log_message(self, *a): pass
    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            out = []
            while True:
                n = int(self.rfile.readline().split(b";")[0] or b"x", 16)   # '' = client aborted -> ValueError -> nothing inserted
                d = self.rfile.read(n)
                if len(d) != n: raise ConnectionError("aborted body")
                self.rfile.readline()
                if n == 0: return b"".join(out)
                out.append(d)
        n = int(self.headers.get("Content-Length") or 0); d = self.rfile.read(n)
        if len(d) != n: raise ConnectionError("aborted body")
        return d
    def reply(self, status, data, extra=()):
        self.send_response(status)
        for k, v in (("X-ClickHouse-Server-Display-Name", "chdb"), ("X-ClickHouse-Query-Id", self.qid), ("X-ClickHouse-Timezone", TZ), *extra):
            self.send_header(k, v)
        if data and status == 200 and "lz4" in self.headers.get("Accept-Encoding", ""):
            data = lz4.frame.compress(data); self.send_header("Content-Encoding", "lz4")
        self.send_header("Content-Length", str(len(data))); self.end_headers(); self.wfile.write(data); self.wfile.flush()
    def fail(self, msg):
        msg = re.sub(r" ?\(in file/uri [^)]*\):?", "", msg)
        m = re.search(r"Code: (\d+)", msg); code = int(m[1]) if m else 1000
        if "(version" not in msg: msg = msg.rstrip() + " (version %s)" % VERSION
        st = next((s for s, c in STATUS.items() if code in c), 500)
        self.reply(st, (msg + "\n").encode(), [("X-ClickHouse-Exception-Code", str(code)), ("Content-Type", "text/plain; charset=UTF-8")])
    def do_GET(self): self.handle_any(b"")
    def do_POST(self):
        try: b = self.body()
        except (ConnectionError, ValueError): self.close_connection = True; return
        self.handle_any(b)
    def handle_any(self, body):
        u = urlsplit(self.path); q = dict(parse_qsl(u.query, keep_blank_values=True)); self.qid = q.get("query_id") or str(uuid.uuid4())
        if u.path == "/ping": return self.reply(200, b"Ok.\n")
        if u.path == "/_fault":
            with FLOCK: FAULTS[:] = (FAULTS if q.get("then") else []) + [dict(q, count=int(q.get("count", 1)))]
            return self.reply(200, b"Ok.\n")
        user, pw = self.headers.get("X-ClickHouse-User", q.get("user", "default")), self.headers.get("X-ClickHouse-Key", q.get("password", ""))
        if (a := self.headers.get("Authorization", "")).startswith("Basic "): user, pw = base64.b64decode(a[6:]).decode().split(":", 1)
        if A.password and (user, pw) != (A.user, A.password):
            return self.fail("Code: 516. DB::Exception: %s: Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)" % user)
        ct = self.headers.get("Content-Type", "")
        if ct.startswith("multipart/form-data"):          # the Rust client's .param(): query and param_* as form fields
            sep = b"--" + re.search(r'boundary="?([^";]+)', ct)[1].encode()
            for part in body.split(sep)[1:-1]:
                h, _, v = part.partition(b"\r\n\r\n"); q[re.search(rb'name="([^"]+)"', h)[1].decode()] = v[:-2].decode()
            body = b""
        try: self.run(q, body)
        except (BrokenPipeError, ConnectionError): self.close_connection = True
        except Exception as e: self.fail(str(e))
    def run(self, q, body):
        enc = self.headers.get("Content-Encoding", "")
        if enc == "gzip": body = gzip.decompress(body)
        elif enc == "deflate": body = zlib.decompress(body)
        elif enc == "lz4": body = lz4.frame.decompress(body)
        if q.get("decompress") == "1": body = ch_blocks(body)
        sql = q.get("query", "").encode(); is_write = sql.lstrip()[:6].upper() == b"INSERT"
        f = None
        with FLOCK:
            while FAULTS and FAULTS[0]["count"] <= 0: FAULTS.pop(0)
            if FAULTS and (is_write or FAULTS[0].get("all")): FAULTS[0]["count"] -= 1; f = dict(FAULTS[0])
        if f and f["mode"] == "status": return self.reply(int(f["status"]), b"fault injected\n")
        if f and f["mode"] == "drop_before": self.close_connection = True; return
        if f and f["mode"] == "delay": time.sleep(int(f["ms"]) / 1000)
        params = {k[6:]: v for k, v in q.items() if k.startswith("param_")}
        sets = {k: v for k, v in q.items() if k not in NOT_SETTINGS and not k.startswith("param_")}
        s = conn(q.get("database", "")); done = []; t0 = time.perf_counter(); fmt = q.get("default_format", "TabSeparated")
        try:
            for k, v in sets.items():
                if not re.fullmatch(r"\w+", k): raise RuntimeError("Code: 115. DB::Exception: Unknown setting '%s' (UNKNOWN_SETTING)" % k)
                s.query("SET %s = '%s'" % (k, v.replace("\\", "\\\\").replace("'", "\\'"))); done.append(k)
            m = INSERT.match(sql)
            if m and body:                                # FROM INFILE, not Session.send_insert(): in chdb 26.9 send_insert answers OK
                with tempfile.NamedTemporaryFile(dir=TMP, prefix="chdb-in-") as t:   # though the write failed (disk full, too many parts, MV or
                    t.write(body); t.flush()              # constraint error, memory limit): it reports parse errors only
                    r = s.query("%s FROM INFILE '%s' FORMAT %s" % (m[1].decode(), t.name, m[2].decode()), "TabSeparated", params=params)
                out = b""; n = str(r.rows_read()); summ = dict(read_rows=n, written_rows=n, written_bytes=len(body), result_rows=n)
            elif m: out, summ = b"", {}                   # an empty insert is fine
            else:
                text = (sql + b"\n" + body if sql else body).decode("utf-8", "surrogateescape")
                r = s.query(text, fmt, params=params); out = bytes(r.bytes() or b"")
                summ = dict(read_rows=r.storage_rows_read() or r.rows_read(), read_bytes=r.bytes_read(), written_rows=0, result_rows=r.rows_read())
        except Exception:                                 # chdb 26.9: after a failed query the session's next result starts with stale bytes
            LOCAL.pool.pop(q.get("database", "")).close(); done = []; raise
        finally:
            for k in done: s.query("SET %s = DEFAULT" % k) if k != "async_insert" else s.query("SET async_insert = 0")
        if f and f["mode"] == "drop_after": self.close_connection = True; return
        summ["elapsed_ns"] = int((time.perf_counter() - t0) * 1e9)
        self.reply(200, out, [("X-ClickHouse-Format", fmt), ("X-ClickHouse-Exception-Tag", TAG[:16]), ("Content-Type", "application/octet-stream"),
                              ("X-ClickHouse-Summary", json.dumps({k: str(v) for k, v in summ.items()}))])

class S(ThreadingHTTPServer): daemon_threads = True; request_queue_size = 128
srv = S(("127.0.0.1", A.port), H)
if A.port_file: open(A.port_file + ".tmp", "w").write(str(srv.server_port)); os.rename(A.port_file + ".tmp", A.port_file)
print("listening 127.0.0.1:%d engine %s" % (srv.server_port, VERSION), flush=True)
def stop(*_): threading.Thread(target=srv.shutdown, daemon=True).start()
signal.signal(signal.SIGTERM, stop); signal.signal(signal.SIGINT, stop)
if A.until_eof: threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
srv.serve_forever(poll_interval=0.05); srv.server_close(); ROOT.close()
os._exit(0)
