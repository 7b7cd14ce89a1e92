# What the examples' scripts share; sourced by them. Namespaces are called as in lab.yaml with a prefix of this run's own, so that several runs
# do not meet. All that was started ends with the script.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
main=${MEGAFLOW:-$here/../../dist/src/cli/main.js}
prefix=mf$$-
work=$(mktemp -d)
pids=()
failures=0

finish() {
  local status=$?
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  for netns in $(ip netns list | awk '{print $1}' | grep "^$prefix" || true); do
    # Whatever still runs in them is ours.
    ip netns pids "$netns" | xargs -r kill -KILL 2>/dev/null || true
    ip netns del "$netns"
  done
  if [ "$status" -ne 0 ] && [ -e "$work/switch.log" ]; then cat "$work/switch.log" >&2; fi
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

need() {
  for program in "$@"; do
    command -v "$program" >/dev/null || { echo "skipped: $program is not installed"; exit 77; }
  done
}
need ip node ping busybox

# netns NAME...: makes namespaces.
netns() {
  local name
  for name in "$@"; do
    ip netns add "$prefix$name"
    ip -n "$prefix$name" link set lo up
  done
}

# in_ns NAME COMMAND...: runs a command in a namespace.
in_ns() {
  local name=$1
  shift
  ip netns exec "$prefix$name" "$@"
}

# server NAME COMMAND...: runs a command in a namespace until the example ends.
server() {
  in_ns "$@" >/dev/null 2>&1 &
  pids+=($!)
}

# up NAME DEVICE ADDRESS/LENGTH [MAC]: an address for a device, which is turned on. 1400 bytes leave room for a tunnel's headers.
up() {
  [ -z "${4:-}" ] || ip -n "$prefix$1" link set "$2" address "$4"
  ip -n "$prefix$1" addr add "$3" dev "$2"
  ip -n "$prefix$1" link set "$2" mtu 1400 up
}

# switch NAME FILE: runs a configuration of the example in a namespace, "" for ours, and waits until it is ready. Its process: $switch.
switch() {
  local config=$lab/run-$2 log=$work/switch.log
  local command=(node "$main" run "$config" --out-dir "$lab/dumps")
  [ -z "$1" ] || command=(ip netns exec "$prefix$1" "${command[@]}")
  : >"$log"
  sed -E "s/netns: /netns: $prefix/" "$lab/$2" >"$config"
  "${command[@]}" 2>>"$log" &
  switch=$!
  pids+=("$switch")
  await "$log" 'megaflow: ready'
}

# await FILE WORDS: until a line of the file has the words.
await() {
  local i
  for ((i = 0; i < 200; i++)); do
    if grep -q -- "$2" "$1"; then return; fi
    sleep 0.05
  done
  echo "no \"$2\" in $1" >&2
  exit 1
}

# reload: has the switch read its files again.
reload() {
  kill -HUP "$switch"
  await "$work/switch.log" ' kept$'
  tail -n 1 "$work/switch.log"
}

# stop: ends the switch, which writes its dumps.
stop() {
  kill "$switch"
  wait "$switch" || { echo "the switch ended with $?" >&2; exit 1; }
}

# check WHAT COMMAND...: the command must succeed.
check() {
  local what=$1
  shift
  if "$@" >"$work/check.log" 2>&1; then echo "ok      $what"
  else
    echo "FAILED  $what"
    sed 's/^/        /' "$work/check.log"
    failures=$((failures + 1))
  fi
}

# refuse WHAT COMMAND...: the command must fail.
refuse() {
  local what=$1
  shift
  if "$@" >"$work/check.log" 2>&1; then
    echo "FAILED  $what"
    failures=$((failures + 1))
  else echo "ok      $what"
  fi
}

# reach NAME ADDRESS: three pings.
reach() {
  in_ns "$1" ping -c 3 -i 0.2 -W 2 "$2"
}

# web NAME FILE...: an HTTP server with these files, on port 80: nginx where it is installed, else busybox.
web() {
  local name=$1 root=$work/web-$1
  shift
  mkdir -p "$root/logs"
  cp "$@" "$root/"
  echo "$name" >"$root/index.html"
  chmod -R a+rX "$work"
  if command -v nginx >/dev/null; then
    cat >"$root/nginx.conf" <<NGINX
daemon off; pid $root/pid; error_log $root/logs/error.log; worker_processes 1;
events {}
http { access_log off; client_body_temp_path $root/t1; proxy_temp_path $root/t2; fastcgi_temp_path $root/t3;
  uwsgi_temp_path $root/t4; scgi_temp_path $root/t5; server { listen 80; root $root; } }
NGINX
    server "$name" nginx -p "$root" -e "$root/logs/error.log" -c "$root/nginx.conf"
  else server "$name" busybox httpd -f -p 80 -h "$root"
  fi
  local i
  for ((i = 0; i < 100; i++)); do
    if in_ns "$name" busybox wget -q -O /dev/null http://127.0.0.1/ 2>/dev/null; then return; fi
    sleep 0.05
  done
  echo "no HTTP server in $name" >&2
  exit 1
}

# fetch NAME URL FILE: the URL's content must be the file's.
fetch() {
  in_ns "$1" busybox timeout 20 busybox wget -q -O "$work/fetched" "$2" && cmp "$work/fetched" "$3"
}

# get NAME URL: something must come within three seconds.
get() {
  in_ns "$1" busybox timeout 3 busybox wget -q -O /dev/null "$2"
}

# data FILE MEGABYTES: random bytes.
data() {
  head -c "$(($2 * 1000000))" /dev/urandom >"$1"
}

done_checking() {
  if [ "$failures" -gt 0 ]; then
    echo "$failures checks failed"
    exit 1
  fi
  echo "all is well"
}

# The example's files, to be changed at will.
cp -r "$here" "$work/lab"
lab=$work/lab
