"""MLflow's own check of logins, asked once for each: the hashing alone takes 0.3 s a request."""

from flask import Response, request
from mlflow.server.auth import authenticate_request_basic_auth
from werkzeug.datastructures import Authorization

_right: set[str] = set()


def authenticate() -> Authorization | Response:
    """Return the login of a request, or the answer that refuses it."""
    given = request.headers.get("Authorization", "")
    if given in _right and request.authorization is not None:
        return request.authorization
    answer = authenticate_request_basic_auth()
    if isinstance(answer, Authorization):
        _right.add(given)
    return answer
