"""That the product runs on Windows and macOS, too, as far as that shows on Linux."""

from __future__ import annotations

import ast
import ntpath
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PRODUCT = REPOSITORY / "FactorizerSegmentation"
SOURCES = sorted([*PRODUCT.rglob("*.py"), REPOSITORY / "run.py"])

POSIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
POSIX_NAMES = {
    "os": {
        "chown", "fork", "forkpty", "getegid", "geteuid", "getgid", "getloadavg", "getpgid",
        "getuid", "killpg", "lchown", "mkfifo", "nice", "openpty", "pipe2", "register_at_fork",
        "sched_getaffinity", "sched_setaffinity", "setgid", "setpgid", "setsid", "setuid",
        "statvfs", "sysconf", "uname", "wait3", "wait4", "waitid",
    },
    "signal": {
        "SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP",
        "SIGUSR1", "SIGUSR2", "alarm", "pause", "pthread_kill", "setitimer", "sigwait",
    },
}  # fmt: skip
"""What the standard library has on POSIX systems only ("Availability: Unix" in its manual)."""

GUARDS = {"name", "platform", "system", "hasattr", "getattr"}
"""Names by which code asks on what system it runs: `os.name`, `sys.platform`, ..."""

LONGEST = 260
"""Characters of a path that Windows takes everywhere, the terminating one included."""

INSTALLED = r"C:\Users\Maximiliane.Mustermann\AppData\Local\slicer.org\Slicer 5.12.4\slicer.org" + (
    r"\Extensions-34567\FactorizerExtension\lib\Slicer-5.12\qt-scripted-modules"
)
"""Where Slicer puts the module of somebody with a long name."""


def parents_of(tree: ast.AST) -> dict[ast.AST, ast.AST]:
    return {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}


def posix_only(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in {alias.name.partition(".")[0] for alias in node.names} & POSIX_MODULES:
                yield node, name
        elif isinstance(node, ast.ImportFrom) and node.module in POSIX_MODULES:
            yield node, node.module
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in POSIX_NAMES.get(node.value.id, ()):
                yield node, f"{node.value.id}.{node.attr}"


def asks_for_the_system(condition: ast.AST) -> bool:
    found = {getattr(n, "attr", None) or getattr(n, "id", None) for n in ast.walk(condition)}
    return bool(found & GUARDS)


def is_guarded(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    """Whether an `if` for the system or a `try` for a missing name is around a node or before it.

    Before it counts an `if` in the same block that leaves it, by `return`, `continue` or `raise`.
    """
    while node in parents:
        child, node = node, parents[node]
        if isinstance(node, ast.If | ast.IfExp) and asks_for_the_system(node.test):
            return True
        if isinstance(node, ast.Try) and child in node.body:
            caught = {n.id for h in node.handlers for n in ast.walk(h) if isinstance(n, ast.Name)}
            if caught & {"ImportError", "AttributeError"}:
                return True
        for block in (getattr(node, "body", None), getattr(node, "orelse", None)):
            if not isinstance(block, list) or child not in block:
                continue
            for earlier in block[: block.index(child)]:
                leaves = isinstance(earlier, ast.If) and isinstance(
                    earlier.body[-1], ast.Return | ast.Continue | ast.Raise
                )
                if leaves and asks_for_the_system(earlier.test):
                    return True
    return False


def unguarded(source: str) -> list[str]:
    tree = ast.parse(source)
    parents = parents_of(tree)
    return [name for node, name in posix_only(tree) if not is_guarded(node, parents)]


def test_calls_that_only_posix_has_are_guarded():
    found = {
        str(path.relative_to(REPOSITORY)): names
        for path in SOURCES
        if (names := unguarded(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import os\nos.fork()", ["os.fork"]),
        ("import fcntl", ["fcntl"]),
        ("try:\n    import fcntl\nexcept ImportError:\n    fcntl = None", []),
        ("import os\nif os.name != 'nt':\n    os.nice(5)", []),
        ("import os\ndef f():\n    if os.name == 'nt':\n        return\n    os.nice(5)", []),
        ("import os\nif x:\n    os.nice(5)", ["os.nice"]),
        ("import os\ntry:\n    os.nice(5)\nexcept OSError:\n    pass", ["os.nice"]),
    ],
)
def test_the_search_for_such_calls_finds_them(source, found):
    assert unguarded(source) == found


def test_every_file_of_the_product_can_lie_on_windows_and_macos():
    names = [p.relative_to(PRODUCT).as_posix() for p in PRODUCT.rglob("*") if _is_shipped(p)]
    assert len(names) > 300
    folded = [name.casefold() for name in names]
    assert {name for name in folded if folded.count(name) > 1} == set()
    bad = re.compile(r'[<>:"\\|?*\x00-\x1f]|[. ](?:/|$)')
    assert [name for name in names if bad.search(name)] == []
    reserved = re.compile(r"(?:^|/)(?:con|prn|aux|nul|com\d|lpt\d)(?:\.[^/]*)?(?:/|$)", re.I)
    assert [name for name in names if reserved.search(name)] == []
    compiled = ".cpython-312.opt-1.pyc"
    lengths = {
        name: len(ntpath.join(INSTALLED, *name.split("/"))) + len("__pycache__/" + compiled)
        for name in names
    }
    assert [name for name, length in lengths.items() if length >= LONGEST] == []


def _is_shipped(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def test_text_is_read_and_written_in_a_stated_encoding():
    """Since Windows has another one than the rest; the rule is one of ruff's preview ones."""
    command = [sys.executable, "-m", "ruff", "check", "--preview", "--select", "PLW1514"]
    done = subprocess.run([*command, REPOSITORY], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def unstated(source: str) -> list[int]:
    """Lines with text from processes or numbered files whose encoding is the system's."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        mode = ast.unparse(node.args[1]) if len(node.args) > 1 else given.get("mode", "'r'")
        of_text = "True" in (given.get("text"), given.get("universal_newlines"))
        of_text |= ast.unparse(node.func) == "os.fdopen" and "b" not in mode
        if of_text and not {"encoding", None} & set(given):
            found.append(node.lineno)
    return found


def test_text_from_other_processes_is_read_in_a_stated_encoding():
    found = {
        str(path.relative_to(REPOSITORY)): lines
        for path in SOURCES
        if (lines := unstated(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("run(x, text=True)", [1]),
        ("run(x, text=True, encoding='utf-8')", []),
        ("run(x, stdout=PIPE)", []),
        ("os.fdopen(1, 'w')", [1]),
        ("os.fdopen(1)", [1]),
        ("os.fdopen(1, 'wb')", []),
    ],
)
def test_the_search_for_unstated_encodings_finds_them(source, found):
    assert unstated(source) == found


def test_a_temporary_folder_that_windows_does_not_let_go_of_makes_no_failure_of_a_success():
    """A search for viruses, or a map that is still in memory, keeps a file there for a while."""
    calls = (
        (path.relative_to(REPOSITORY).as_posix(), node)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("TemporaryDirectory")
    )
    strict = [
        f"{name}:{node.lineno}"
        for name, node in calls
        if not any(keyword.arg == "ignore_cleanup_errors" for keyword in node.keywords)
    ]
    assert strict == []
