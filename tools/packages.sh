# Debian's packages, for the scripts at the project's root to source: need PACKAGE… installs those that are missing.
say() { echo "$(basename "$0"): $*" >&2; }

# Runs a command, shows what it said only when it fails.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if [ "$status" -ne 0 ]; then
    cat "$log" >&2
    say "'$*' failed"
  fi
  rm -f "$log"
  return "$status"
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    quietly env DEBIAN_FRONTEND=noninteractive "$@"
  else
    quietly sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
  fi
}

# Installs those of the packages named that are not there; needs no network when all are.
need() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null || ! sudo -v; then
      say "these packages are missing, and neither root nor sudo is at hand to install them:"
      say "  apt-get install ${missing[*]}"
      exit 2
    fi
  fi
  say "installing ${missing[*]}"
  as_root apt-get update -qq
  as_root apt-get install -y -qq --no-install-recommends "${missing[@]}"
}
