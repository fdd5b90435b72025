"""One file a task: from nodes in the scene to a request, from its result to nodes."""
