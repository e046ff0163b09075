"""How the certificates of servers are checked: as MLflow's client checks them."""

import os
import ssl
from pathlib import Path


def tls_context() -> ssl.SSLContext:
    """Return a context with the authorities, and the leave, that MLflow's variables give.

    Raises
    ------
    OSError
        If the file or folder of authorities cannot be read.
    """
    path = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or os.environ.get(
        "REQUESTS_CA_BUNDLE"
    )
    is_folder = path is not None and Path(path).is_dir()
    context = ssl.create_default_context(
        cafile=None if is_folder else path, capath=path if is_folder else None
    )
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
