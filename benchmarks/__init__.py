"""Side by side with peers, one command each."""

import os

# As regulars.main has it, for us and for peers.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
