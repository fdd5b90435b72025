"""Undoing and redoing, without a window."""

from __future__ import annotations

from types import SimpleNamespace

from FactorizerSegmentationLib.scene.history import History, Step


def step(done: list, name: str, node=None) -> Step:
    """A step that has been done already."""
    done.append(name)
    nodes = (node,) if node is not None else ()
    return Step(name, lambda: done.remove(name), lambda: done.append(name), nodes)


def test_steps_are_undone_from_the_last_and_redone_from_the_first():
    done: list[str] = []
    history = History()
    for name in "abc":
        history.add(step(done, name))

    history.undo()
    history.undo()
    assert done == ["a"]
    assert (history.last.title, history.next.title) == ("a", "b")

    history.redo()
    assert done == ["a", "b"]


def test_a_new_step_drops_what_was_undone():
    done: list[str] = []
    history = History()
    history.add(step(done, "a"))
    history.undo()
    history.add(step(done, "b"))

    assert history.next is None
    history.redo()
    assert done == ["b"]


def test_nothing_happens_where_there_is_nothing_to_do():
    history = History()
    history.undo()
    history.redo()
    assert history.last is history.next is None


def test_steps_of_nodes_that_are_gone_are_dropped():
    done: list[str] = []
    there = SimpleNamespace(GetScene=lambda: "scene", IsA=lambda name: False)
    gone = SimpleNamespace(GetScene=lambda: None, IsA=lambda name: False)
    history = History()
    for name, node in (("a", there), ("b", gone)):
        history.add(step(done, name, node))

    history.forgetImpossible()

    assert history.last.title == "a"
