# The project's tasks: `just` lists them. What stands behind a task goes to its program:
# `just test tests/api -k health`. Hooks of git, .ci/run and the workflows call the same.

compile := "uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate"

[private]
default:
    @just --list --unsorted

# Install the project with all that developers need, and git's hooks
install:
    pip install -e '.[dev]'
    pre-commit install

# The whole suite, on all cores
test *options:
    pytest -n auto {{options}}

# The quick tests: all but those marked slow
test-fast *options:
    pytest -n auto -m 'not slow' {{options}}

# The fast tests with the lowest versions that pyproject.toml allows; what those warn of is ignored
test-lowest *options:
    uv venv --quiet --clear build/lowest
    uv pip install --quiet --python build/lowest --resolution lowest-direct -e '.[dev]'
    build/lowest/bin/python -m pytest -n auto -m 'not slow' -W ignore {{options}}

# Put the code into its style, and mend what ruff can mend
format:
    ruff format .
    ruff check --fix .

# Style, types, workflows, scripts and image
lint:
    ruff check .
    ruff format --check .
    mypy
    yamllint --strict .
    cfn-lint --include-checks I -- $(grep --recursive --files-with-matches '^AWSTemplateFormatVersion' deploy)
    zizmor --offline --pedantic .github
    shellcheck --external-sources deploy/*.sh deploy/scripts/*.sh deploy/rehearsal/*.sh deploy/aws deploy/rehearse deploy/host/carprice-host deploy/compose/up .ci/run
    if command -v hadolint >/dev/null; then hadolint Dockerfile deploy/lambda/Dockerfile; fi

# The site of the documentation, from docs/ into site/; a link that leads nowhere is an error
docs:
    mkdocs build --strict

# The service beside its peers, under load (see benchmarks/README.md)
bench *options:
    python benchmarks/serving.py {{options}}

# The delivery, on this machine: as root on Debian or Ubuntu (see docs/rehearsal.md)
rehearse *options:
    deploy/rehearse {{options}}

# New locks of the image and of the jobs with secrets, after a change of the dependencies: --upgrade
lock *options:
    python -m carprice.model_tests.serving_requirements | {{compile}} - --output-file deploy/locks/serving.txt {{options}}
    (python -m carprice.model_tests.serving_requirements pyarrow sqlalchemy; echo 'psycopg[binary]>=3.2') | {{compile}} - --output-file deploy/locks/log.txt {{options}}
    echo 'hatchling>=1.27' | {{compile}} - --output-file deploy/locks/build.txt {{options}}
    {{compile}} deploy/training/build.in --output-file deploy/training/build.txt {{options}}
    {{compile}} pyproject.toml deploy/training/training.in --output-file deploy/training/training.txt {{options}}

# The base image's digest of today, kept for the next releases; needs podman and the image's registry
lock-base:
    deploy/base_image.sh --now >deploy/base_image.new
    mv deploy/base_image.new deploy/base_image.txt
