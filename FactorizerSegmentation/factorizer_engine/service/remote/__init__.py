"""An engine on another machine, which ssh reaches.

`python -m factorizer_engine.service.remote USER@HOST` speaks the protocol as the engine of this
computer does, so whoever drives an engine drives this one, too. It is the near half: it starts
`ssh USER@HOST factorizer serve`, the far half, whose standard streams carry `frames` in both
directions. Files that a request names are sent ahead of it, compressed, and only what the far half
does not have; those of a result come back ahead of the reply.

A message never names a file of the other machine: `protocol.places` says which strings to change.
"""
