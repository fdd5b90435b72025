"""See the package."""

from factorizer_engine.service.remote.near import main

main()
