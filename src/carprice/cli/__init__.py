"""The command line. Each command imports what it needs when it runs, so that --help is quick."""

import io
import sys

from carprice.cli import (
    challenge,
    experiments,
    monitor,
    outcomes,
    pipeline,
    quotes,
    registry,
    serve,
    setup,
    stock,
)
from carprice.cli.app import IN_USE, PIPELINE, REGISTRY, SERVE, app
from carprice.cli.terminal import console
from carprice.errors import CarpriceError, RefusedError
from carprice.files import refusal_in, told

__all__ = ["app", "main"]
__all__ += ["challenge", "experiments", "monitor", "outcomes", "pipeline", "quotes"]
__all__ += ["registry", "serve", "setup", "stock"]

_PANELS = (SERVE, PIPELINE, REGISTRY, IN_USE)
app.registered_commands.sort(key=lambda command: _PANELS.index(str(command.rich_help_panel)))


def main() -> None:
    """Run the command line: one clear line and an exit code for what a person can act on."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Files are UTF-8 everywhere; a terminal shows what it can.
        is_shown = sys.stdout.isatty()
        sys.stdout.reconfigure(encoding=None if is_shown else "utf-8", errors="backslashreplace")
    try:
        app()
    except CarpriceError as error:
        console.print(f"carprice: {error}", style="red", markup=False, soft_wrap=True)
        raise SystemExit(error.exit_code) from None
    except OSError as error:
        if (refusal := refusal_in(error)) is None:
            raise
        place = refusal.filename if isinstance(refusal.filename, str) else "a file"
        text = f"carprice: {place} cannot be read or written: {told(refusal)}"
        console.print(text, style="red", markup=False, soft_wrap=True)
        raise SystemExit(RefusedError.exit_code) from None
