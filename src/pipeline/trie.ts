// A prefix trie over 32-bit values: which prefix lengths in use cover a value, and how many of its leading bits had to be
// looked at to know. The classifier keeps one per address field and one per subtable for the transport ports, so that a
// miss un-wildcards a few leading bits instead of the whole field.
//
// A node stands for a run of up to 32 bits below its parent (runs without branches are one node). It is four words of one
// array, so that a step of a lookup touches one cache line, and is named by where it starts; 0 is "none":
//
//   +0 the run's bits, left-aligned, zero beyond its length
//   +1 count << 6 | length         count: how many times the prefix that ends here was inserted
//   +2 the child for a next bit 0  +3 for a next bit 1

const NODE_WORDS = 4;
const COUNT_ONE = 64;
const LENGTH_MASK = 63;
const INITIAL_NODES = 4;

export class Trie {
  /** After `lookup`: bit n-1 is set when a prefix of n bits in the trie covers the value. */
  plens = 0;
  private root = 0;
  private nodes = new Int32Array(INITIAL_NODES * NODE_WORDS);
  private end = NODE_WORDS;
  private free = 0; // a list of free nodes, linked through their first child

  /**
   * Looks `value` up. Returns how many of its leading bits tell it from every prefix that does not cover it (0 to 32),
   * and leaves in `plens` the lengths of those that do.
   */
  lookup(value: number): number {
    const { nodes } = this;
    let plens = 0;
    let matched = 0;
    let previous = 0;
    for (let node = this.root; node !== 0; ) {
      const info = nodes[node + 1]!;
      const bits = info & LENGTH_MASK;
      const equal = Math.clz32(nodes[node]! ^ (value << matched));
      if (equal < bits) {
        this.plens = plens;
        return matched + equal + 1; // up to the bit that differs
      }
      matched += bits;
      if (info >= COUNT_ONE) plens |= 1 << (matched - 1);
      if (matched >= 32) {
        this.plens = plens;
        return 32;
      }
      previous = node;
      node = nodes[node + 2 + bitAt(value, matched)]!;
    }
    this.plens = plens;
    // No branch where the value goes; when there is one on the other side, the bit that avoids it counts.
    const leaf = previous === 0 || (nodes[previous + 2] === 0 && nodes[previous + 3] === 0);
    return leaf ? matched : matched + 1;
  }

  /** Adds the prefix of `plen` bits (1 to 32) of `value`; one more each time. */
  insert(value: number, plen: number): void {
    let edge = -1; // where the pointer to `node` stands in `nodes`; -1 for the root
    let node = this.root;
    let matched = 0;
    while (node !== 0) {
      const bits = this.nodes[node + 1]! & LENGTH_MASK;
      const equal = Math.min(bits, plen - matched, Math.clz32(this.nodes[node]! ^ (value << matched)));
      if (equal < bits) {
        this.split(edge, node, equal, value, matched, plen);
        return;
      }
      matched += bits;
      if (matched === plen) {
        this.nodes[node + 1] = this.nodes[node + 1]! + COUNT_ONE;
        return;
      }
      edge = node + 2 + bitAt(value, matched);
      node = this.nodes[edge]!;
    }
    this.link(edge, this.make(value, matched, plen - matched, 1));
  }

  /** Takes one insertion of the prefix back; it must be there. */
  remove(value: number, plen: number): void {
    const path = [-1]; // the edges to follow, the last one to `node`
    let node = this.root;
    let matched = 0;
    for (;;) {
      if (node === 0) return;
      matched += this.nodes[node + 1]! & LENGTH_MASK;
      if (matched >= plen) break;
      const edge = node + 2 + bitAt(value, matched);
      path.push(edge);
      node = this.nodes[edge]!;
    }
    const { nodes } = this;
    if (matched !== plen || nodes[node + 1]! < COUNT_ONE) return;
    nodes[node + 1] = nodes[node + 1]! - COUNT_ONE;
    // Takes out nodes that no longer serve: no prefix ends there and there is at most one branch.
    while (path.length > 0) {
      const edge = path.pop()!;
      node = edge < 0 ? this.root : nodes[edge]!;
      const low = nodes[node + 2]!;
      const high = nodes[node + 3]!;
      if (nodes[node + 1]! >= COUNT_ONE || (low !== 0 && high !== 0)) return;
      const child = low !== 0 ? low : high;
      if (child !== 0) {
        // The child takes over the run; 32 bits in all at most, since a value has no more.
        const bits = nodes[node + 1]! & LENGTH_MASK;
        nodes[child] = nodes[node]! | (nodes[child]! >>> bits);
        nodes[child + 1] = nodes[child + 1]! + bits;
      }
      this.link(edge, child);
      nodes[node + 2] = this.free;
      this.free = node;
    }
  }

  /** Puts a node with the first `equal` bits of a node's run above it, for a prefix that ends or branches off there. */
  private split(edge: number, node: number, equal: number, value: number, from: number, plen: number): void {
    const ends = from + equal === plen;
    const above = this.make(value, from, equal, ends ? 1 : 0);
    const branch = bitAt(this.nodes[node]!, equal);
    this.nodes[node] = this.nodes[node]! << equal;
    this.nodes[node + 1] = this.nodes[node + 1]! - equal;
    this.nodes[above + 2 + branch] = node;
    if (!ends) {
      const leaf = this.make(value, from + equal, plen - from - equal, 1);
      this.nodes[above + 3 - branch] = leaf;
    }
    this.link(edge, above);
  }

  private link(edge: number, node: number): void {
    if (edge < 0) this.root = node;
    else this.nodes[edge] = node;
  }

  private make(value: number, from: number, bits: number, count: number): number {
    let node = this.free;
    if (node !== 0) this.free = this.nodes[node + 2]!;
    else {
      node = this.end;
      this.end += NODE_WORDS;
      if (this.end > this.nodes.length) {
        const nodes = new Int32Array(2 * this.nodes.length);
        nodes.set(this.nodes);
        this.nodes = nodes;
      }
    }
    const { nodes } = this;
    nodes[node] = bits === 0 ? 0 : (value << from) & (-1 << (32 - bits));
    nodes[node + 1] = count * COUNT_ONE + bits;
    nodes[node + 2] = 0;
    nodes[node + 3] = 0;
    return node;
  }
}

function bitAt(value: number, index: number): number {
  return (value >>> (31 - index)) & 1;
}
