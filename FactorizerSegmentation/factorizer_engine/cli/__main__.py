"""`python -m factorizer_engine.cli` is the `factorizer` command."""

from factorizer_engine.cli.app import main

main()
