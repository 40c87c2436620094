"""The signals that ask a process to save what it is at, and to end."""

import signal

# Ctrl-C, what most systems send before they kill, and what Slurm warns with.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
