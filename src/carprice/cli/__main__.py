"""``python -m carprice.cli``."""

from carprice.cli import main

main()
