# What the scripts of this folder share: sourced, not run.
# shellcheck shell=bash

# shellcheck disable=SC2034 # used by those that source this
readonly container=carprice
bundle=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
image_env=${IMAGE_ENV:-$bundle/image.env}
readonly bundle image_env
PATH=$PATH:/snap/bin # where Ubuntu has the AWS command line, and the CodeDeploy agent does not look
# shellcheck source=deploy/scripts/options.sh
. "$bundle/deploy/scripts/options.sh"

# Prints the value of a key of image.env, else the default, which is an error where it is left out.
setting() { # KEY [DEFAULT]
  [ -r "$image_env" ] || fail "$image_env is missing; deploy/bundle.sh puts it into the bundle" 2
  local found
  found=$(sed -n "s/^$1=//p" "$image_env" | tail -n 1)
  if [ -n "$found" ]; then
    printf '%s\n' "$found"
  elif [ $# -gt 1 ]; then
    printf '%s\n' "$2"
  else
    fail "$image_env has no $1; make the bundle again with deploy/bundle.sh" 2
  fi
}

# Prints a whole number of image.env that is from 1 to the largest.
number() { # KEY DEFAULT LARGEST
  local found
  found=$(setting "$1" "$2") || exit
  case $found in
    '' | *[!0-9]* | ???????*) fail "$image_env: $1 must be a whole number from 1 to $3 (found '$found')" 2 ;;
  esac
  if [ "$found" -lt 1 ] || [ "$found" -gt "$3" ]; then
    fail "$image_env: $1 must be from 1 to $3 (found $found)" 2
  fi
  printf '%s\n' "$found"
}

# Prints an amount of money of image.env.
amount() { # KEY
  local found
  found=$(setting "$1") || exit
  [[ $found =~ ^[0-9]+(\.[0-9]+)?$ ]] ||
    fail "$image_env: $1 must be an amount such as 250000 (found '$found')" 2
  printf '%s\n' "$found"
}

port() {
  number PORT 8000 65535
}

# Asks AWS for half a minute at most, so that a hook tells what is wrong within its time limit.
ask_aws() { # ARGUMENT...
  AWS_MAX_ATTEMPTS=2 aws "$@" --cli-connect-timeout 5 --cli-read-timeout 10 </dev/null
}

# Prints a secret: ssm:PARAMETER of the Parameter Store, secretsmanager:ID, or, on a machine that is
# not in AWS, file:/PATH. No argument, environment or log holds it.
secret() { # WHERE
  local region found
  region=$(setting AWS_REGION '') || exit
  case $1 in
    file:/?*) found=$(cat "${1#file:}") || found='' ;;
    ssm:?*)
      found=$(
        ask_aws ssm get-parameter --region "$region" --name "${1#ssm:}" --with-decryption \
          --query Parameter.Value --output text
      ) || found=''
      ;;
    secretsmanager:?*)
      found=$(
        ask_aws secretsmanager get-secret-value --region "$region" \
          --secret-id "${1#secretsmanager:}" --query SecretString --output text
      ) || found=''
      ;;
    *) fail "$image_env: '$1' names no secret; write ssm:/name or secretsmanager:id" 2 ;;
  esac
  # None is what the AWS command line prints for a secret that has bytes and no text.
  case $found in
    '' | None) fail "the secret $1 has no text or cannot be read; may the instance's role, or this user, read it?" ;;
  esac
  printf '%s\n' "$found"
}

# Has the image on this machine: logs in to its registry where it is not here yet.
pull() (
  image=$(setting IMAGE) && region=$(setting AWS_REGION) || exit
  [[ $image =~ ^[a-z0-9][^/]*/.+@sha256:[0-9a-f]{64}$ ]] ||
    fail "$image_env: IMAGE must be REGISTRY/REPOSITORY@sha256:DIGEST (found '$image')" 2
  if docker image inspect "$image" >/dev/null 2>&1; then
    echo "$image is here"
    exit
  fi
  login=$(mktemp -d)
  trap 'rm -rf "$login"' EXIT
  ask_aws ecr get-login-password --region "$region" |
    DOCKER_CONFIG=$login timeout 30 docker login --username AWS --password-stdin "${image%%/*}" ||
    fail "no login to ${image%%/*}; the instance's role needs ecr:GetAuthorizationToken"
  DOCKER_CONFIG=$login timeout 240 docker pull "$image" ||
    fail "$image cannot be pulled in four minutes; is it in the registry, and may the instance's role read it?"
)
