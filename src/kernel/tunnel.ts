// The tunnel in a flow key: what the host read from the outer header of a frame that arrived, and what a program gives a
// frame for the port that will send it.
import { B_TUN, B_TUN_METADATA, B_TUN_TP, BLOCK_SIZE, KEY_BLOCKS } from "../flow/layout.ts";
import { clearBlocks } from "./key.ts";
import { KEY, PKT, PKT_F_TUNNEL, PKT_FLAGS, PKT_KEY_MAP } from "./memory.ts";

const BLOCK: usize = BLOCK_SIZE;
/** Two blocks: a value and its mask. */
const PAIR: usize = 32;
const OPTIONS_MAP: u64 = (((<u64>1) << KEY_BLOCKS) - 1) & ~(((<u64>1) << B_TUN_METADATA) - 1);
const TUNNEL_MAP: u64 = (((<u64>1) << KEY_BLOCKS) - 1) & ~(((<u64>1) << B_TUN) - 1);

/** Puts the blocks at `at` (abi.ts, FRAME_TUNNEL) into KEY, whose tunnel blocks are zero. */
export function receiveTunnel(at: usize): void {
  const map = load<u64>(at) & TUNNEL_MAP;
  at += BLOCK;
  for (let m = map; m != 0; m &= m - 1) {
    v128.store(KEY + <usize>ctz<u64>(m) * BLOCK, v128.load(at));
    at += BLOCK;
  }
  store<u64>(PKT, load<u64>(PKT, PKT_KEY_MAP) | map, PKT_KEY_MAP);
}

/** SET_TUNNEL: blocks B_TUN to B_TUN_TP, each a value and a mask. Options that were there are gone. */
export function setTunnel(blocks: usize): void {
  const map = load<u64>(PKT, PKT_KEY_MAP);
  clearBlocks(map & OPTIONS_MAP);
  setBlocks(map & ~OPTIONS_MAP, B_TUN, B_TUN_TP + 1, blocks);
}

/** SET_TUNNEL_OPTIONS: blocks B_TUN_METADATA and those behind it. */
export function setTunnelOptions(blocks: usize): void {
  setBlocks(load<u64>(PKT, PKT_KEY_MAP), B_TUN_METADATA, KEY_BLOCKS, blocks);
}

function setBlocks(map: u64, first: u32, end: u32, blocks: usize): void {
  for (let block = first; block < end; block++) {
    const at = KEY + <usize>block * BLOCK;
    v128.store(at, v128.bitselect(v128.load(blocks), v128.load(at), v128.load(blocks + BLOCK)));
    map |= (<u64>1) << block;
    blocks += PAIR;
  }
  store<u64>(PKT, map, PKT_KEY_MAP);
  store<u32>(PKT, load<u32>(PKT, PKT_FLAGS) | PKT_F_TUNNEL, PKT_FLAGS);
}
