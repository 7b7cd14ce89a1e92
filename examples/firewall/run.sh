#!/bin/bash
# A firewall that tracks connections, between an inside and an outside; then its rules change while a connection goes on.
source "$(dirname "$0")/../lab.sh"

netns inside outside
switch "" lab.yaml
up inside inside 10.1.0.1/24
up outside outside 10.1.0.2/24
data "$work/file" 5
web inside "$work/file"
web outside "$work/file"
server inside busybox nc -ll -p 8080 -e /bin/true

check "the inside pings the outside" reach inside 10.1.0.2
refuse "the outside does not ping the inside" in_ns outside ping -c 2 -i 0.2 -W 1 10.1.0.1
check "the inside fetches from the outside" fetch inside http://10.1.0.2/file "$work/file"
check "the outside fetches from the inside's web server" fetch outside http://10.1.0.1/file "$work/file"
refuse "the outside reaches nothing else there" in_ns outside busybox timeout 2 busybox nc -w 1 10.1.0.1 8080

# One connection that stays, of which a line a tenth of a second comes through.
server outside busybox nc -ll -p 7777 -e /bin/sh -c 'while echo line; do sleep 0.1; done'
sleep 0.3
in_ns inside busybox nc 10.1.0.2 7777 >"$work/lines" </dev/null &
pids+=($!)
await "$work/lines" line
sed -i '/ct_state=+trk+new/d' "$lab/fw.flows"
reload
before=$(wc -l <"$work/lines")
refuse "after the change nobody opens a connection" get inside http://10.1.0.2/file
check "what was open goes on" test "$(wc -l <"$work/lines")" -gt "$((before + 10))"

stop
check "the connections are in the dump" grep -q 'tcp,orig=(src=10.1.0.1,dst=10.1.0.2' "$lab/dumps/fw/conntrack.txt"
done_checking
