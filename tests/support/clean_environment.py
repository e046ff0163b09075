"""Sets the environment of a test run, before anything reads it; imported first, for that alone."""

import os

# xdist's workers are as many as the cores: more threads than one each would only wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# On GitHub's runners typer paints its help, and the record of promotions names who pushed.
# pytest's readline leaves 80 columns to xdist's workers, which a console keeps from its import on.
for _name in ("GITHUB_ACTIONS", "GITHUB_ACTOR", "FORCE_COLOR", "COLUMNS", "LINES"):
    os.environ.pop(_name, None)
