#!/bin/bash
# Two nodes, a switch on each, and two tenants whose hosts are on both: Geneve between the nodes carries whose frame it is. The tenants have
# the same addresses and never meet.
source "$(dirname "$0")/../lab.sh"

netns node1 node2 red1 red2 blue1 blue2
ip -n "${prefix}node1" link add under type veth peer name under netns "${prefix}node2"
for n in 1 2; do
  ip -n "${prefix}node$n" addr add "192.168.0.$n/24" dev under
  ip -n "${prefix}node$n" link set under up
  switch "node$n" "node$n.yaml"
  switches[n]=$switch
  for tenant in red blue; do up "$tenant$n" "$tenant" "10.1.0.$n/24"; done
done
data "$work/red" 20
data "$work/blue" 20
web red2 "$work/red"
web blue2 "$work/blue"

check "red pings red" reach red1 10.1.0.2
check "blue pings blue, at the same address" reach blue1 10.1.0.2
check "red fetches red's file" fetch red1 http://10.1.0.2/red "$work/red"
check "blue fetches blue's file" fetch blue1 http://10.1.0.2/blue "$work/blue"
refuse "there is no red file for blue" get blue1 http://10.1.0.2/red

for n in 1 2; do
  switch=${switches[n]}
  stop
  check "node $n's flows for both tenants were used" test \
    "$(grep -cE 'n_packets=[1-9][0-9]*,.*tun_metadata0=' "$lab/dumps/br$n/flows.txt")" -eq 2
done
done_checking
