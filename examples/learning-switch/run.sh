#!/bin/bash
# Two hosts and a switch that learns their addresses by the `learn` action.
source "$(dirname "$0")/../lab.sh"

netns red blue
switch "" lab.yaml
up red red0 10.1.0.1/24
up blue blue0 10.1.0.2/24
data "$work/file" 20
web blue "$work/file"

check "red pings blue" reach red 10.1.0.2
check "blue pings red" reach blue 10.1.0.1
check "20 MB from blue arrive in red" fetch red http://10.1.0.2/file "$work/file"

stop
check "both addresses were learned" test "$(grep -c 'table=10,' "$lab/dumps/br0/flows.txt")" -ge 2
done_checking
