"""``python -m runtara.cli`` is the runtara command."""

from runtara.cli.app import main

main()
