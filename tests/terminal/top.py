"""`tollgate top` in a terminal of its own.

    top.py PROGRAM URL END       END is `q` or `term`

The address has calls of an organisation `acme`. Presses keys, changes the size of the terminal, and
ends the program by a key or by SIGTERM; the terminal has to be as it was. Exits with 1 and the last
output if something is not seen in time.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

PATIENCE = 45


class Terminal:
    def __init__(self, arguments):
        self.seen = b""
        leader, follower = pty.openpty()
        self.resize(leader, 30, 100)
        self.before = termios.tcgetattr(follower)
        self.child = os.fork()
        if self.child == 0:
            os.setsid()
            fcntl.ioctl(follower, termios.TIOCSCTTY, 0)
            for number in (0, 1, 2):
                os.dup2(follower, number)
            environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color"}
            os.execve(arguments[0], arguments, environment)
        self.leader, self.follower = leader, follower

    @staticmethod
    def resize(leader, rows, columns):
        fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        ready, _, _ = select.select([self.leader], [], [], 0.1)
        if ready:
            self.seen += os.read(self.leader, 65536)

    def until(self, text):
        """Reads until `text` comes after what was seen before."""
        end = time.monotonic() + PATIENCE
        while text.encode() not in self.seen:
            if time.monotonic() > end:
                sys.exit(f"waited for {text!r}, seen:\n{self.seen[-4000:].decode(errors='replace')}")
            self.read()
        self.seen = self.seen[self.seen.index(text.encode()) + len(text):]

    def press(self, keys):
        os.write(self.leader, keys.encode())

    def ended(self, key=""):
        """The exit code; what it still writes is kept. A key that comes together with a new size is read only with the
        next one (crossterm leaves it after the size), so it is pressed again, as a person does."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.press(key)
            self.read()
            pid, status = os.waitpid(self.child, os.WNOHANG)
            if pid:
                while select.select([self.leader], [], [], 0)[0]:
                    self.seen += os.read(self.leader, 65536)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.child, signal.SIGKILL)
        sys.exit("it does not end")


def main():
    program, url, end = sys.argv[1:]
    terminal = Terminal([program, "top", "--url", url, "--interval", "200ms"])
    terminal.until("\x1b[?1049h")
    terminal.until("by cost")
    terminal.until("acme")
    terminal.press("s")
    terminal.until("by calls")
    terminal.press("/zzz")
    terminal.until("filter: ")
    terminal.until("no organisation with `zzz`")
    terminal.press("\x1b")
    terminal.until("acme")
    terminal.press("?")
    terminal.until("Ctrl-C")
    terminal.press("?")
    terminal.until("acme")
    # The last line moves with the size.
    terminal.resize(terminal.leader, 12, 60)
    terminal.until("\x1b[12;1H")
    terminal.until("q quit")
    if end == "term":
        os.kill(terminal.child, signal.SIGTERM)
    code = terminal.ended("q" if end == "q" else "")
    assert code == 0, code
    assert b"\x1b[?1049l" in terminal.seen and b"\x1b[?25h" in terminal.seen, terminal.seen[-300:]
    assert termios.tcgetattr(terminal.follower) == terminal.before, "the terminal stays raw"


if __name__ == "__main__":
    main()
