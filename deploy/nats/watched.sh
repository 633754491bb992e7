#!/bin/sh
# Runs nats-server with the given arguments, and ends it when it cannot write any more: after one failed write (a full
# disk) its streams refuse every message until it starts anew. Docker and systemd start what has ended.
# CCM_NATS_CHECK: a command that succeeds while the server is well. CCM_NATS_DATA: where the streams live.
set -u
check="${CCM_NATS_CHECK:-wget -q -O /dev/null http://127.0.0.1:8222/healthz}"
every_s="${CCM_NATS_CHECK_S:-5}"
most_failures=3
most_reading=12
room_kib=4096

"${CCM_NATS_SERVER:-nats-server}" "$@" &
server=$!
stop() { kill -TERM "$server"; wait "$server"; exit; }
trap stop TERM INT

free_kib() { df -Pk "$CCM_NATS_DATA" | awk 'NR == 2 { print $4 }'; }

failures=0
was_well=no
unwell=0
while kill -0 "$server" 2>/dev/null; do
  sleep "$every_s" &
  wait $!
  if $check 2>/dev/null; then
    failures=0 was_well=yes
  else
    unwell=$((unwell + 1))
    # A server that still reads its streams is not well yet, and has a minute for it.
    if [ $was_well = yes ] || [ $unwell -gt $most_reading ]; then failures=$((failures + 1)); fi
  fi
  if [ $failures -ge $most_failures ] && [ "$(free_kib)" -ge $room_kib ]; then
    echo "nats-server is not well: it starts anew" >&2
    kill -KILL "$server" # what it acknowledged is on disk
    wait "$server"
    exit 1
  fi
done
wait "$server"
