// controller(pause), asked of both switches. No controller is connected to either, so what is paused never goes on.
import type { EncapCase } from "./encap-cases.ts";

const TCP =
  "0200000000020200000000010800450000280000000040060000010101010202020200050050000000010000000050020100fafb0000";

const one = (...flows: string[]): EncapCase => ({ flows, frame: TCP });

export const PAUSE_CASES: readonly EncapCase[] = [
  one("actions=controller(pause),output:2"),
  one("actions=output:2,controller(pause)"),
  one("ip,actions=dec_ttl,controller(pause,max_len=100,id=5),output:2"),
  one("ip,actions=dec_ttl,clone(controller(pause),output:2),output:3"),
  one("priority=0,actions=controller(pause),output:2"),
  one("ip,actions=output:2,dec_ttl,controller(pause,userdata=01.02.03),output:3"),
  one(
    "table=0,cookie=0x7,ip,actions=output:3,resubmit(,1),output:4",
    "table=1,cookie=0x8,ip,actions=set_field:5->reg0,controller(pause,reason=no_match),output:2,dec_ttl",
  ),
  one("table=0,actions=resubmit(,1),output:4", "table=1,ip,actions=controller(pause)"),
  one("actions=controller(pause),controller,output:2"),
  one("actions=controller,controller(pause),output:2"),
  one("actions=encap(nsh),controller(pause),encap(ethernet),output:2"),
];
