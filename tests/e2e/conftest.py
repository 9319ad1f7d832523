"""Everything in this folder runs `runtara serve` as a child process; most of it is slow."""
