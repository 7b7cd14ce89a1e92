#!/bin/bash
# Records the captures of this folder again: real programs in network namespaces, a real Open vSwitch between them.
#
#   sudo pcap-fixtures/record.sh [antrea|vlan|plain|sessions]...      all of them by default; about two minutes
#
# Needs (Debian): openvswitch-switch tcpdump tshark iproute2 ethtool nftables nginx-light busybox curl dnsmasq-base bind9-dnsutils
# iputils-ping; for the sessions vsftpd, nmap and wireshark-common (mergecap); a kernel with veth, TAP and nftables, and root.
# Touches nothing outside the namespaces it makes, its temporary folder and this folder; on the way out it ends the processes it
# started and removes the namespaces.
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD
work=$(mktemp -d /tmp/megaflow-record.XXXXXX)
chmod 755 "$work"
tag=mf$$
pids=()
namespaces=()
PATH=$PATH:/usr/sbin:/sbin:/usr/share/openvswitch/scripts

cleanup() {
  local pid ns
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "$work"/ovs*.pid "$work"/vswitchd.pid; do [ ! -e "$pid" ] || kill "$(cat "$pid")" 2>/dev/null || true; done
  wait 2>/dev/null || true
  for ns in "${namespaces[@]}"; do
    ip netns del "$ns" 2>/dev/null || true
    rm -rf "/etc/netns/$ns"
  done
  rmdir /etc/netns 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'say "record.sh: line $LINENO: $BASH_COMMAND failed"' ERR
set -E

say() { printf '%s\n' "$*" >&2; }

# space NAME: a namespace with its loopback up and no IPv6 (its router solicitations would be in every capture)
space() {
  ip netns add "$tag-$1"
  namespaces+=("$tag-$1")
  ip -n "$tag-$1" link set lo up
  inside "$1" sh -c 'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6'
}

# inside NAME COMMAND...
inside() {
  local ns=$1
  shift
  ip netns exec "$tag-$ns" "$@"
}

# background NAME COMMAND...: the process is ended at the end
background() {
  local ns=$1
  shift
  ip netns exec "$tag-$ns" "$@" </dev/null >>"$work/log" 2>&1 &
  pids+=($!)
}

# cable NS1 DEV1 NS2 DEV2: a veth pair. Checksums and segments are made by the sender, as on a wire.
cable() {
  ip link add "$tag.a" type veth peer name "$tag.b"
  ip link set "$tag.a" netns "$tag-$1" name "$2"
  ip link set "$tag.b" netns "$tag-$3" name "$4"
  local end
  for end in "$1 $2" "$3 $4"; do
    # shellcheck disable=SC2086
    set -- $end
    inside "$1" ethtool -K "$2" tx off rx off sg off tso off gso off gro off >/dev/null 2>&1
    ip -n "$tag-$1" link set "$2" up
  done
}

# switch NAME: ovs-vswitchd with the userspace datapath and real conntrack in namespace NAME; then vsctl and ofctl speak to it
switch() {
  export OVS_RUNDIR=$work OVS_LOGDIR=$work OVS_DBDIR=$work OVS_SYSCONFDIR=$work
  ovsdb-tool create "$work/conf.db" /usr/share/openvswitch/vswitch.ovsschema
  inside "$1" ovsdb-server "$work/conf.db" --remote="punix:$work/db.sock" --unixctl="$work/ovsdb.ctl" \
    --pidfile="$work/ovsdb.pid" --detach --log-file="$work/ovsdb.log" 2>/dev/null
  vsctl --no-wait init
  inside "$1" ovs-vswitchd "unix:$work/db.sock" --disable-system --unixctl="$work/vswitchd.ctl" \
    --pidfile="$work/vswitchd.pid" --detach --log-file="$work/vswitchd.log" 2>/dev/null
}
switch_off() {
  kill "$(cat "$work/vswitchd.pid")" "$(cat "$work/ovsdb.pid")"
  while [ -e "$work/vswitchd.pid" ] || [ -e "$work/ovsdb.pid" ]; do sleep 0.1; done
  rm -f "$work/conf.db"
}
vsctl() { ovs-vsctl --db="unix:$work/db.sock" "$@"; }

# capture NS DEV DIRECTION FILE [FILTER]: nanoseconds, from now on until stop_captures; direction in, out or inout as tcpdump's -Q
captures=()
capture() {
  local ns=$1 dev=$2 direction=$3 file=$4
  shift 4
  : > "$work/tcpdump.$file.log"
  ip netns exec "$tag-$ns" tcpdump -i "$dev" -Q "$direction" -s 0 -U --immediate-mode -Z root --nano -w "$work/$file" "$@" </dev/null 2>"$work/tcpdump.$file.log" &
  captures+=($!)
  pids+=($!)
  while ! grep -qs listening "$work/tcpdump.$file.log"; do sleep 0.05; done
}
stop_captures() {
  sleep 1.5
  kill -INT "${captures[@]}"
  wait "${captures[@]}" || true
  captures=()
}

# web NS: nginx in the namespace: a short page, and a long one at 2,000 bytes a second
web() {
  mkdir -p "$work/www"
  # The size of nginx's own welcome page.
  printf '%s\n' '<!DOCTYPE html><html><head><title>Welcome to nginx!</title></head><body>' > "$work/www/index.html"
  head -c 530 /dev/zero | tr '\0' ' ' >> "$work/www/index.html"
  printf '%s\n' '</body></html>' >> "$work/www/index.html"
  seq -w 0 3999 > "$work/www/slow.txt"
  cat > "$work/nginx.$1.conf" <<CONF
worker_processes 1;
pid $work/nginx.$1.pid;
error_log $work/nginx.$1.log;
user root;
events { worker_connections 64; }
http {
  access_log off;
  sendfile off;
  server {
    listen 80;
    listen [::]:80;
    root $work/www;
    location /slow.txt { limit_rate 2000; }
  }
}
CONF
  background "$1" nginx -c "$work/nginx.$1.conf" -e "$work/nginx.$1.log" -g 'daemon off;'
  while ! inside "$1" curl -s -o /dev/null http://127.0.0.1/; do sleep 0.1; done
}

# --- antrea: one worker node, its pods on the Antrea v0.6 pipeline in real Open vSwitch --------------------------------

SERVICE=100.70.238.176 # nginx, port 80
KUBE_DNS=100.64.0.10

pod() { # NUMBER NAME: OpenFlow port NUMBER
  local no=$1 name=$2 host
  host=$((no - 1))
  space "$name"
  cable node "veth$no" "$name" eth0
  ip -n "$tag-$name" link set eth0 address "0e:5a:10:60:01:0$host"
  ip -n "$tag-$name" addr add "100.96.1.$host/24" dev eth0
  ip -n "$tag-$name" route add default via 100.96.1.1
  # SYNs again after 1 s, 3 s, 7 s, as Linux did until 6.5, which begins with four 1 s apart.
  inside "$name" sh -c 'f=/proc/sys/net/ipv4/tcp_syn_linear_timeouts; [ ! -e $f ] || echo 0 > $f'
  # The node's own stack must not see what belongs to the switch; packet sockets, which the switch reads, come before this.
  inside node nft "table netdev switch { chain veth$no { type filter hook ingress device veth$no priority 0; policy drop; }; }"
  vsctl add-port br-int "veth$no" -- set interface "veth$no" ofport_request="$no"
  mkdir -p "/etc/netns/$tag-$name"
  printf 'nameserver %s\nsearch default.svc.cluster.local\noptions timeout:2\n' "$KUBE_DNS" > "/etc/netns/$tag-$name/resolv.conf"
}

record_antrea() {
  say "antrea: a node, its switch and four pods"
  space node
  switch node
  vsctl add-br br-int -- set bridge br-int datapath_type=netdev fail_mode=secure protocols=OpenFlow10,OpenFlow13
  vsctl add-port br-int tun0 -- set interface tun0 type=vxlan options:key=flow options:remote_ip=flow ofport_request=1
  vsctl add-port br-int gw0 -- set interface gw0 type=internal ofport_request=2 'mac="0e:5a:10:60:01:01"'
  ip -n "$tag-node" addr add 100.96.1.1/24 dev gw0
  ip -n "$tag-node" link set gw0 up
  # Antrea's agent turns redirects off on gw0; kube-proxy rewrites Services to their pods and leaves the source alone.
  inside node sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward
    for c in all gw0; do echo 0 > /proc/sys/net/ipv4/conf/$c/send_redirects; done'
  inside node nft -f - <<NFT
table ip kube-proxy {
  chain services {
    type nat hook prerouting priority dstnat;
    ip daddr $SERVICE tcp dport 80 dnat to 100.96.1.5:80
    ip daddr $KUBE_DNS udp dport 53 dnat to 100.96.1.2:53
  }
}
NFT
  pod 3 coredns
  pod 4 busybox
  pod 6 nginx
  web nginx
  background coredns dnsmasq --no-daemon --no-hosts --no-resolv --conf-file=/dev/null --pid-file= --user=root \
    --bind-interfaces --interface=eth0 --log-facility="$work/dnsmasq.log" \
    --address=/nginx.default.svc.cluster.local/$SERVICE --local=/cluster.local/
  sleep 0.5

  antrea_fresh
  antrea_before
  antrea_fresh
  antrea_policy
  switch_off
}

# The switch and its hosts as a replay finds them: flows without the policy, their counters at zero, nothing learned or tracked.
antrea_fresh() {
  local ns
  ovs-ofctl -O OpenFlow13 del-flows br-int
  ovs-ofctl -O OpenFlow13 add-flows br-int "$here/antrea/antrea-v0.6-node1-before-policy.flows"
  ovs-appctl -t "$work/vswitchd.ctl" dpctl/flush-conntrack
  ovs-appctl -t "$work/vswitchd.ctl" fdb/flush br-int > /dev/null
  for ns in node coredns busybox nginx; do inside "$ns" ip neigh flush all; done
}

# Both directions of every port: what the endpoint sends into the switch, and what the switch gave it.
antrea_capture() {
  local no ns dev
  for no in 2:node:gw0 3:coredns:eth0 4:busybox:eth0 6:nginx:eth0; do
    IFS=: read -r no ns dev <<<"$no"
    capture "$ns" "$dev" out "port-$no.pcap"
    capture "$ns" "$dev" in "switched-$no.pcap"
  done
}
antrea_keep() {
  mkdir -p "$here/antrea/$1"
  mv "$work"/port-?.pcap "$work"/switched-?.pcap "$here/antrea/$1/"
  ovs-appctl -t "$work/vswitchd.ctl" revalidator/purge
  ovs-ofctl -O OpenFlow13 dump-flows br-int | sed -E 's/ (duration|idle_age|hard_age)=[^,]*,//g' > "$here/antrea/$1/flows.txt"
  ovs-appctl -t "$work/vswitchd.ctl" dpctl/dump-conntrack > "$here/antrea/$1/conntrack.txt"
}

antrea_before() {
  say "antrea: before the policy"
  antrea_capture
  inside busybox busybox ping -c 2 100.96.1.1 > /dev/null          # the gateway
  inside busybox busybox ping -c 2 100.96.1.5 > /dev/null          # pod to pod
  inside node curl -s -o /dev/null http://100.96.1.5/              # a kubelet probe
  inside busybox busybox nslookup nginx.default.svc.cluster.local > /dev/null || true
  inside busybox busybox wget -q -O /dev/null http://nginx.default.svc.cluster.local/
  inside busybox curl -s -o /dev/null "http://$SERVICE/"
  inside busybox curl -s -o /dev/null http://100.96.1.5/           # pod to pod, not through the Service
  inside busybox dig +short +tries=1 nginx.default.svc.cluster.local > /dev/null
  # An address that is not the pod's: SpoofGuard's business.
  ip -n "$tag-busybox" addr add 100.96.1.99/24 dev eth0
  inside busybox ping -q -c 1 -W 1 -I 100.96.1.99 100.96.1.5 > /dev/null || true
  ip -n "$tag-busybox" addr del 100.96.1.99/24 dev eth0
  stop_captures
  antrea_keep before-policy
}

antrea_policy() {
  say "antrea: a policy comes while a download runs"
  antrea_capture
  inside busybox busybox wget -q -O /dev/null http://nginx.default.svc.cluster.local/   # completes
  inside busybox curl -s -o "$work/slow.out" "http://$SERVICE/slow.txt" &
  local slow=$!
  sleep 2.5
  local at
  at=$(date +%s.%N)
  ovs-ofctl -O OpenFlow13 add-flows br-int "$here/antrea/antrea-v0.6-node1-policy-only.flows"
  sleep 0.5
  # SYNs at 0, 1 and 3 s; none of them gets to nginx.
  ! inside busybox timeout 5 busybox wget -q -O /dev/null "http://$SERVICE/" || { say "the policy let a new connection through"; exit 1; }
  inside busybox busybox ping -c 1 -W 1 100.96.1.5 > /dev/null && { say "the policy let a ping through"; exit 1; }
  inside node curl -s -o /dev/null http://100.96.1.5/                                   # the kubelet still may
  wait "$slow"
  cmp "$work/slow.out" "$work/www/slow.txt"
  stop_captures
  local first
  first=$(for f in "$work"/port-?.pcap; do tcpdump --nano -tt -n -c 1 -r "$f" 2>/dev/null | cut -d' ' -f1; done | sort | head -1)
  antrea_keep policy
  awk -v at="$at" -v first="$first" 'BEGIN { split(at, a, "."); split(first, f, "."); printf "%.3f\n", a[1] - f[1] + ("0." a[2]) - ("0." f[2]) }' \
    > "$here/antrea/policy/policy-at.txt"
  say "antrea: the policy came $(cat "$here/antrea/policy/policy-at.txt") s after the first frame"
}

# --- vlan: the same HTTP transfer with one tag and with two ------------------------------------------------------------
#
#   left ── br-a ══ veth, 802.1Q 10 ══ br-b ══ veth, 802.1ad 200 + 802.1Q 10 ══ br-c ══ 802.1Q 10 ══ br-d ── right

record_vlan() {
  say "vlan: two hosts over a trunk and a provider's trunk"
  space lan
  switch lan
  vsctl set open_vswitch . other_config:vlan-limit=2
  local br
  for br in br-a br-b br-c br-d; do vsctl add-br "$br" -- set bridge "$br" datapath_type=netdev; done
  cable lan ab lan ba
  cable lan bc lan cb
  cable lan cd lan dc
  space left
  space right
  cable lan vleft left eth0
  cable lan vright right eth0
  vsctl add-port br-a vleft tag=10 -- add-port br-a ab trunks=10
  vsctl add-port br-b ba vlan_mode=dot1q-tunnel tag=200 cvlans=10 -- add-port br-b bc trunks=200
  vsctl add-port br-c cb trunks=200 -- add-port br-c cd vlan_mode=dot1q-tunnel tag=200 cvlans=10
  vsctl add-port br-d dc trunks=10 -- add-port br-d vright tag=10
  ip -n "$tag-left" addr add 192.0.2.1/24 dev eth0
  ip -n "$tag-right" addr add 192.0.2.2/24 dev eth0
  web right
  sleep 0.5
  capture lan ab inout vlan.pcap
  capture lan bc inout qinq.pcap
  inside left ping -q -c 2 -s 100 192.0.2.2 > /dev/null
  inside left curl -s -o /dev/null http://192.0.2.2/
  stop_captures
  mv "$work/vlan.pcap" "$work/qinq.pcap" "$here/"
  switch_off
}

# --- plain: two hosts and a cable; IPv6, fragments, and the other file formats ------------------------------------------

record_plain() {
  say "plain: two hosts on a cable"
  space one
  space two
  inside one sh -c 'echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 0 > /proc/sys/net/ipv6/conf/default/disable_ipv6'
  inside two sh -c 'echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 0 > /proc/sys/net/ipv6/conf/default/disable_ipv6'
  cable one eth0 two eth0
  ip -n "$tag-one" addr add 198.51.100.1/24 dev eth0
  ip -n "$tag-two" addr add 198.51.100.2/24 dev eth0
  ip -n "$tag-one" addr add 2001:db8::1/64 dev eth0 nodad
  ip -n "$tag-two" addr add 2001:db8::2/64 dev eth0 nodad
  web two
  capture one eth0 inout ipv6.pcap ip6
  inside one ping -6 -q -c 2 2001:db8::2 > /dev/null
  inside one ping -6 -q -c 1 -s 2000 2001:db8::2 > /dev/null
  inside one curl -s -o /dev/null 'http://[2001:db8::2]/'
  ! inside one curl -s -o /dev/null --max-time 2 'http://[2001:db8::2]:81/'
  stop_captures
  capture one eth0 inout fragments.pcap 'arp or ip'
  ip -n "$tag-one" neigh flush all
  inside one ping -q -c 2 -s 4000 198.51.100.2 > /dev/null
  inside one busybox nslookup -type=a example.org 198.51.100.2 > /dev/null 2>&1 || true   # nobody answers: ICMP unreachable
  stop_captures

  # The same kind of traffic as tshark writes it (pcapng with its own blocks), cut by a snaplen, and compressed.
  ip netns exec "$tag-one" tshark -Q -i eth0 -s 96 -f 'arp or ip' -F pcapng -w "$work/http.pcapng" </dev/null 2>"$work/tshark.log" &
  captures=($!)
  pids+=($!)
  sleep 2
  inside one curl -s -o /dev/null http://198.51.100.2/
  inside one curl -s -o /dev/null -I http://198.51.100.2/none
  stop_captures
  mv "$work/ipv6.pcap" "$work/fragments.pcap" "$work/http.pcapng" "$here/"
  gzip -9 -n -c "$here/http.pcapng" > "$here/http.pcapng.gz"
  editcap -F pcap "$here/fragments.pcap" "$work/micro.pcap"
  gzip -9 -n -c "$work/micro.pcap" > "$here/fragments-micro.pcap.gz"
}

# --- sessions: a client, a server, and a switch that tracks what they say; plainly, and with either address translated -----

CLIENT_MAC=02:09:00:00:00:01
SERVER_MAC=02:09:00:00:00:02

record_sessions() {
  say "sessions: FTP, TFTP, HTTP, DNS, a transfer with losses, a scan"
  space tracker
  switch tracker
  vsctl add-br br-ct -- set bridge br-ct datapath_type=netdev fail_mode=secure
  endpoint client 1 10.9.0.1 "$CLIENT_MAC" "$SERVER_MAC" 10.9.0.2 192.0.2.80
  endpoint server 2 10.9.0.2 "$SERVER_MAC" "$CLIENT_MAC" 10.9.0.1 192.0.2.77
  web server
  head -c 40000 /dev/urandom > "$work/www/long.bin"
  head -c 3000 /dev/urandom > "$work/www/some.bin"
  mkdir "$work/empty"
  cat > "$work/vsftpd.conf" <<CONF
listen=YES
background=NO
anonymous_enable=YES
anon_root=$work/www
ftp_username=bin
nopriv_user=nobody
secure_chroot_dir=$work/empty
connect_from_port_20=YES
seccomp_sandbox=NO
xferlog_enable=NO
CONF
  background server vsftpd "$work/vsftpd.conf"
  background server dnsmasq --no-daemon --no-hosts --no-resolv --conf-file=/dev/null --pid-file= --user=root \
    --log-facility="$work/dnsmasq.log" --address=/example.test/203.0.113.5 --local=/test/ \
    --enable-tftp --tftp-root="$work/www" --tftp-no-blocksize
  sleep 1
  local way
  for way in plain:10.9.0.2 snat:10.9.0.2 dnat:192.0.2.80; do
    ovs-ofctl del-flows br-ct
    ovs-ofctl add-flows br-ct "$here/sessions/${way%:*}.flows"
    session "${way%:*}" http http "${way#*:}"
    session "${way%:*}" ftp-active ftp_active "${way#*:}"
    session "${way%:*}" ftp-passive ftp_passive "${way#*:}"
    session "${way%:*}" tftp tftp "${way#*:}"
    session "${way%:*}" dns dns "${way#*:}"
    session "${way%:*}" loss loss "${way#*:}"
    session "${way%:*}" scan scan "${way#*:}"
  done
  switch_off
}

# endpoint NAME PORT ADDRESS MAC ITS-PEER'S-MAC PEER-ADDRESS...: one end, with no ARP and no way but to its peer
endpoint() {
  local name=$1 no=$2 address=$3 mac=$4 peer=$5 other
  shift 5
  space "$name"
  cable tracker "v$no" "$name" eth0
  ip -n "$tag-$name" link set eth0 address "$mac"
  ip -n "$tag-$name" addr add "$address/32" dev eth0
  for other; do
    ip -n "$tag-$name" route add "$other" dev eth0
    ip -n "$tag-$name" neigh add "$other" lladdr "$peer" dev eth0 nud permanent
  done
  inside tracker nft "table netdev switch { chain v$no { type filter hook ingress device v$no priority 0; policy drop; }; }"
  vsctl add-port br-ct "v$no" -- set interface "v$no" ofport_request="$no"
}

# session WAY NAME COMMAND SERVER: sessions/WAY/NAME.pcap holds what both ends sent into the switch, in the order of time
session() {
  local way=$1 name=$2
  shift 2
  ovs-appctl -t "$work/vswitchd.ctl" dpctl/flush-conntrack
  capture client eth0 out from-client.pcap ip
  capture server eth0 out from-server.pcap ip
  "$@"
  stop_captures
  mkdir -p "$here/sessions/$way"
  mergecap -F nsecpcap -w "$here/sessions/$way/$name.pcap" "$work/from-client.pcap" "$work/from-server.pcap"
}

http() {
  inside client busybox wget -q -O /dev/null "http://$1/"
  inside client curl -s -o /dev/null "http://$1/index.html" -o /dev/null "http://$1/none"    # one connection, two requests
  ! inside client curl -s -o /dev/null "http://$1:8080/"                                     # refused
}
ftp_active() {
  inside client curl -s -o "$work/got" --ftp-port - --disable-eprt "ftp://$1/some.bin"
  cmp "$work/got" "$work/www/some.bin"
  inside client curl -s -o /dev/null --max-time 2 --ftp-port - "ftp://$1/" || true     # EPRT: not over IPv4 in OVS
}
ftp_passive() {
  inside client busybox ftpget "$1" "$work/got" some.bin
  cmp "$work/got" "$work/www/some.bin"
  inside client curl -s -o /dev/null --max-time 2 "ftp://$1/" || true                  # EPSV
}
tftp() {
  (cd "$work" && inside client busybox tftp -g -r some.bin -l got "$1")
  cmp "$work/got" "$work/www/some.bin"
  ! inside client busybox tftp -g -r none -l "$work/none" "$1" 2> /dev/null
}
dns() {
  inside client dig +short +tries=1 "@$1" example.test > /dev/null
  inside client busybox nslookup example.test "$1" > /dev/null || true
  inside client dig +tcp +short "@$1" example.test > /dev/null
  ! inside client dig +tries=1 +timeout=1 -p 5353 "@$1" example.test > /dev/null        # port unreachable
  inside client ping -q -c 2 -i 0.2 "$1" > /dev/null
}
# Some segments are lost before they come to the switch, some behind it.
loss() {
  local end
  for end in client server; do
    inside "$end" nft "table inet loss {
      chain before { type filter hook output priority 0; tcp dport 80 numgen inc mod 9 5 drop; tcp sport 80 numgen inc mod 8 4 drop; }
      chain behind { type filter hook input priority 0; tcp dport 80 numgen inc mod 7 5 drop; tcp sport 80 numgen inc mod 6 4 drop; }
    }"
  done
  inside client curl -s -o "$work/got" "http://$1/long.bin"
  cmp "$work/got" "$work/www/long.bin"
  sleep 0.5
  for end in client server; do inside "$end" nft delete table inet loss; done
}
scan() {
  inside client nmap -sS -n -Pn --disable-arp-ping --max-retries 1 -p 20-25,53,69,79-81,443 "$1" > "$work/nmap.log"
}

[ $# -gt 0 ] || set -- antrea vlan plain sessions
for part; do
  "record_$part"
done
