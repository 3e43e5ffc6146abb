"""`python -m rca_lib` is `rca`."""

from rca_lib.cli import main

main()
