"""Side by side with peers, one command each."""

import os

os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # as the command line has it, for us and for peers: see regulars.main
