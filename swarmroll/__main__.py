"""``python -m swarmroll``: the command line."""

from swarmroll.cli import main

main()
