"""The command line of ``deploy/aws``."""

import argparse
import sys

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ProfileNotFound

from infrastructure import commands
from infrastructure.account import Account
from infrastructure.problems import BadInputError, InfrastructureError

_HELP = """\
up      make what the service needs in AWS, or bring it up to date. What was set once stays, until
        it is set again: deploy/cloudformation/ tells the parameters
status  tell what there is, and whether it serves
down    remove it. Data (bucket, images, log, parameters) go only after a typed yes; refused while
        another target's stack is there

Exit codes: 0 done (status: all there, and serving; down: nothing left but data that were kept),
1 refused, or something is amiss, 2 what was given cannot be used. The login is that of AWS's own
tools."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    given = _parser().parse_args(arguments)
    try:
        return _run(given)
    except BadInputError as error:
        return _fail(str(error), 2)
    except (NoCredentialsError, ProfileNotFound) as error:
        return _fail(f"no login to AWS: {error}", 2)
    except (InfrastructureError, ClientError, BotoCoreError) as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted; run it again to go on", 130)


def _run(given: argparse.Namespace) -> int:
    account = Account(given.name, given.region)
    if given.command == "status":
        return 0 if commands.status(account, _say) else 1
    if given.command == "up":
        commands.up(account, dict(given.set), _say)
    else:
        commands.down(account, lambda what: given.delete_data or _yes(what), _say)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deploy/aws", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--name", default="carprice", help="of all resources (%(default)s)")
    common.add_argument("--region", help="else that of AWS_REGION or AWS's configuration")
    commands_of = parser.add_subparsers(dest="command", required=True, metavar="up|status|down")
    makes = commands_of.add_parser("up", parents=[common])
    makes.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="PARAMETER=VALUE",
        help="of a template; again for each",
    )
    commands_of.add_parser("status", parents=[common])
    removes = commands_of.add_parser("down", parents=[common])
    removes.add_argument("--delete-data", action="store_true", help="do not ask before data go")
    return parser


def _setting(text: str) -> tuple[str, str]:
    name, is_given, value = text.partition("=")
    if not is_given or not name:
        raise argparse.ArgumentTypeError(f"write PARAMETER=VALUE (found {text!r})")
    return name, value


def _yes(what: str) -> bool:
    _say(what)
    if not sys.stdin.isatty():
        _say("Nobody is here to be asked, and there is no --delete-data: data are kept")
        return False
    return input("Type yes to delete them: ").strip() == "yes"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"deploy/aws: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
