"""Training, evaluation and export of networks.

Dependencies between the rooms point one way:
`export -> run | evaluation -> records -> data -> description -> config`.
"""
