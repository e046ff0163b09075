"""The carprice service."""

import os

# The service leaves nothing to OpenBLAS, whose threads numpy would start at its import.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
