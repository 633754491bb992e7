#!/usr/bin/env bash
# Makes what `docker compose up` needs once: the secret files (0600) and the directories of the state (0700).
# What exists stays as it is. Run as root, so that they belong to the containers' user:
#   sudo deploy/secrets.sh
# CCM_SECRETS_DIR, CCM_STATE_DIR: where (default: secrets/ and state/ beside this script).
# CCM_UID: whose (default 10001, the user of the images; set the same CCM_UID in .env to run as somebody else).
set -euo pipefail
umask 077
here=$(cd "$(dirname "$0")" && pwd)
secrets=${CCM_SECRETS_DIR:-$here/secrets}
state=${CCM_STATE_DIR:-$here/state}
owner=${CCM_UID:-10001}

if [ "$(id -u)" -ne 0 ] && [ "$(id -u)" -ne "$owner" ]; then
  echo "secrets.sh: run it as root, or with CCM_UID=$(id -u) here and in .env" >&2
  exit 1
fi

mkdir -p "$secrets"
made=()

keep() { # file; its content on standard input, unless the file is already there
  [ -s "$secrets/$1" ] && return
  cat >"$secrets/.$1"
  mv "$secrets/.$1" "$secrets/$1"
  made+=("$1")
}

# A letter first, or the server's configuration would take some passwords for numbers.
password() { printf 'p%s\n' "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"; }

users=(admin bus-reader solar uplink io api)
for user in "${users[@]}"; do keep "$user.password" < <(password); done

# A Fernet key: 32 bytes in URL-safe Base64.
keep secret.key < <(head -c 32 /dev/urandom | base64 -w 0 | tr '+/' '-_')

# The same passwords for the server, always written anew from their files.
for user in "${users[@]}"; do
  variable=CCM_NATS_PASSWORD_$(tr 'a-z-' 'A-Z_' <<<"$user")
  printf '%s: "%s"\n' "$variable" "$(cat "$secrets/$user.password")"
done >"$secrets/.passwords.conf"
mv "$secrets/.passwords.conf" "$secrets/passwords.conf"

for part in nats bus-reader uplink io api; do mkdir -p "$state/$part"; done
chmod 0700 "$secrets" "$state" "$state"/*
chmod 0600 "$secrets"/*
if [ "$(id -u)" -eq 0 ]; then chown -R "$owner:$owner" "$secrets" "$state"; fi
echo "secrets in $secrets: ${made[*]:-nothing new}"
