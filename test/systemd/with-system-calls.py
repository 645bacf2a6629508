"""Runs a command with the system calls that a unit allows, and no new privileges, as systemd would: the others fail with EPERM.

    python3 with-system-calls.py UNIT COMMAND...      Linux on x64; `systemd-analyze` knows the groups
"""
import ctypes
import os
import re
import struct
import subprocess
import sys

HEADER = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL_WITH_EPERM = 0x7FFF0000, 0x00050001


def calls_of(group):
    out = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True).stdout
    words = [line.split()[0] for line in out.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return set().union(*(calls_of(word) if word.startswith("@") else {word} for word in words))


def allowed_by(unit):
    allowed = calls_of("@default")
    for line in re.findall(r"^SystemCallFilter=(.*)$", open(unit).read(), re.M):
        for group in line.lstrip("~").split():
            allowed = allowed - calls_of(group) if line.startswith("~") else allowed | calls_of(group)
    # A group that is taken away has some of the basic ones in it.
    return allowed | calls_of("@default")


def main():
    unit, *command = sys.argv[1:]
    numbers = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", open(HEADER).read())}
    program = [(LOAD, 0, 0, 0)]
    for name in sorted(allowed_by(unit) & numbers.keys()):
        program += [(JUMP_IF_EQUAL, 0, 1, numbers[name]), (RETURN, 0, 0, ALLOW)]
    program.append((RETURN, 0, 0, FAIL_WITH_EPERM))
    text = b"".join(struct.pack("HBBI", *line) for line in program)

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("lines", ctypes.c_char_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(Filter(len(program), text)), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    os.execvp(command[0], command)


main()
