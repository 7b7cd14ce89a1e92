#!/bin/bash
# A node with Antrea's pipeline: pods in namespaces, a second node behind VXLAN (Linux's own device), and a NetworkPolicy that is
# applied under way: nginx may be reached from other nginx pods and from its own node alone.
source "$(dirname "$0")/../lab.sh"

recorded=$here/../../pcap-fixtures/antrea
cp "$recorded/antrea-v0.6-node1-before-policy.flows" "$lab/node.flows"

netns node1 host busybox nginx node2
# The network between the nodes: Antrea's flows name their addresses.
ip -n "${prefix}node1" link add under type veth peer name under netns "${prefix}node2"
ip -n "${prefix}node1" addr add 192.168.100.11/24 dev under
ip -n "${prefix}node2" addr add 192.168.100.12/24 dev under
ip -n "${prefix}node1" link set under up
ip -n "${prefix}node2" link set under up

switch node1 lab.yaml
mac=0e:5a:10:60:01
gateway=aa:bb:cc:dd:ee:ff # how pods see the gateways of other nodes
up host gw0 100.96.1.1/24 $mac:01
up busybox busybox--52b29c 100.96.1.3/24 $mac:03
up nginx nginx-85-804507 100.96.1.5/24 $mac:05
for pod in busybox nginx; do ip -n "$prefix$pod" route add default via 100.96.1.1; done
# Antrea's agent sets these on a node: other nodes' pods are reached by their gateways, which the pipeline answers for.
ip -n "${prefix}host" route add 100.96.2.0/24 via 100.96.2.1 dev gw0 onlink
in_ns host sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.gw0.send_redirects=0

other=no
if ip -n "${prefix}node2" link add tun0 type vxlan id 0 dstport 4789 local 192.168.100.12 remote 192.168.100.11 2>/dev/null; then
  other=yes
  # A pod of the other node; the gateway there is left out, so it has that one's address, and one more whose like the policy lets in.
  up node2 tun0 100.96.2.3/24 $gateway
  ip -n "${prefix}node2" addr add 100.96.2.5/24 dev tun0
  ip -n "${prefix}node2" route add 100.96.1.0/24 dev tun0
  ip -n "${prefix}node2" neigh add 100.96.1.5 lladdr $gateway dev tun0
  ip -n "${prefix}node2" neigh add 100.96.1.3 lladdr $gateway dev tun0
fi

data "$work/file" 5
web nginx "$work/file"
web busybox "$work/file"

check "a pod pings another" reach busybox 100.96.1.5
check "a pod pings the gateway" reach busybox 100.96.1.1
check "a pod fetches from nginx" fetch busybox http://100.96.1.5/file "$work/file"
check "the node itself does (kubelet's probes)" fetch host http://100.96.1.5/file "$work/file"
if [ $other = yes ]; then
  check "a pod of another node does, over VXLAN" fetch node2 http://100.96.1.5/file "$work/file"
  check "a pod pings one of the other node" reach busybox 100.96.2.3
fi
refuse "no pod sends with another's address" in_ns busybox busybox timeout 3 sh -c \
  'ip addr add 100.96.1.9/24 dev busybox--52b29c && ping -c 2 -i 0.2 -W 1 -I 100.96.1.9 100.96.1.5'

# A transfer that takes four seconds; after one the policy comes.
server nginx busybox nc -ll -p 7777 -e /bin/sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do echo $i; sleep 0.2; done'
sleep 0.3
in_ns busybox busybox nc 100.96.1.5 7777 >"$work/lines" </dev/null &
transfer=$!
await "$work/lines" 3
cat "$recorded/antrea-v0.6-node1-policy-only.flows" >>"$lab/node.flows"
reload
refuse "with the policy a new wget times out" get busybox http://100.96.1.5/file
wait $transfer || true
check "the transfer that was under way has come to its end" grep -qx 20 "$work/lines"
check "the node's own probes still pass" get host http://100.96.1.5/file
check "other pods are reached as before" get nginx http://100.96.1.3/file
if [ $other = yes ]; then
  refuse "a pod of the other node is kept out too" in_ns node2 busybox timeout 3 ping -c 2 -i 0.2 -W 1 -I 100.96.2.3 100.96.1.5
  check "one that is an nginx is let in" in_ns node2 ping -c 2 -i 0.2 -W 2 -I 100.96.2.5 100.96.1.5
fi

stop
check "table SpoofGuard counted what was sent with another's address" grep -qE 'table=10, n_packets=[1-9][0-9]*, .*priority=0 ' "$lab/dumps/br-int/flows.txt"
check "table IngressDefaultRule counted what was dropped" grep -qE 'table=100, n_packets=[1-9][0-9]*, .*reg1=0x6' "$lab/dumps/br-int/flows.txt"
done_checking
