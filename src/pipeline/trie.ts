// A prefix trie over 32-bit values: which prefix lengths in use cover a value, and how many of its leading bits had to be
// looked at to know. The classifier keeps one per address field and one per subtable for the transport ports, so that a
// miss un-wildcards a few leading bits instead of the whole field.
//
// Nodes live in typed arrays, five numbers each; node 0 is "none". A node stands for a run of up to 32 bits below its
// parent (runs without branches are one node); `count` is how many times the prefix that ends in it was inserted.

const INITIAL_NODES = 4;

export class Trie {
  /** After `lookup`: bit n-1 is set when a prefix of n bits in the trie covers the value. */
  plens = 0;
  private root = 0;
  private prefix = new Int32Array(INITIAL_NODES); // the run's bits, left-aligned, zero beyond `length`
  private length = new Uint8Array(INITIAL_NODES);
  private count = new Int32Array(INITIAL_NODES);
  private edges = new Int32Array(2 * INITIAL_NODES); // the child for the next bit 0, for the next bit 1
  private used = 1;
  private free = 0; // a list of free nodes, linked through their first edge

  /**
   * Looks `value` up. Returns how many of its leading bits tell it from every prefix that does not cover it (0 to 32),
   * and leaves in `plens` the lengths of those that do.
   */
  lookup(value: number): number {
    const { prefix, length, edges } = this;
    let plens = 0;
    let matched = 0;
    let previous = 0;
    for (let node = this.root; node !== 0; ) {
      const rest = value << matched;
      const bits = length[node]!;
      const equal = Math.clz32(prefix[node]! ^ rest);
      if (equal < bits) {
        this.plens = plens;
        return matched + equal + 1; // up to the bit that differs
      }
      matched += bits;
      if (this.count[node]! > 0) plens |= 1 << (matched - 1);
      if (matched >= 32) {
        this.plens = plens;
        return 32;
      }
      previous = node;
      node = edges[2 * node + bitAt(value, matched)]!;
    }
    this.plens = plens;
    // No branch where the value goes; when there is one on the other side, the bit that avoids it counts.
    const leaf = previous === 0 || (edges[2 * previous] === 0 && edges[2 * previous + 1] === 0);
    return leaf ? matched : matched + 1;
  }

  /** Adds the prefix of `plen` bits (1 to 32) of `value`; one more each time. */
  insert(value: number, plen: number): void {
    let parent = 0;
    let side = 0;
    let node = this.root;
    let matched = 0;
    while (node !== 0) {
      const bits = this.length[node]!;
      const equal = Math.min(bits, plen - matched, Math.clz32(this.prefix[node]! ^ (value << matched)));
      matched += equal;
      if (equal < bits) {
        // Splits the run: a new node with its first part goes above.
        const above = this.make(value, matched - equal, equal, matched === plen ? 1 : 0);
        const branch = bitAt(this.prefix[node]!, equal);
        this.prefix[node] = this.prefix[node]! << equal;
        this.length[node] = bits - equal;
        this.edges[2 * above + branch] = node;
        if (matched < plen) {
          const leaf = this.make(value, matched, plen - matched, 1);
          this.edges[2 * above + 1 - branch] = leaf;
        }
        this.link(parent, side, above);
        return;
      }
      if (matched === plen) {
        this.count[node] = this.count[node]! + 1;
        return;
      }
      parent = node;
      side = bitAt(value, matched);
      node = this.edges[2 * node + side]!;
    }
    this.link(parent, side, this.make(value, matched, plen - matched, 1));
  }

  /** Takes one insertion of the prefix back. */
  remove(value: number, plen: number): void {
    const path: number[] = [];
    let node = this.root;
    let matched = 0;
    while (node !== 0) {
      path.push(node);
      matched += this.length[node]!;
      if (matched >= plen) break;
      node = this.edges[2 * node + bitAt(value, matched)]!;
    }
    if (node === 0 || matched !== plen || this.count[node] === 0) return;
    this.count[node] = this.count[node]! - 1;
    // Takes out nodes that no longer serve: no prefix ends there and there is at most one branch.
    while (path.length > 0) {
      node = path.pop()!;
      const low = this.edges[2 * node]!;
      const high = this.edges[2 * node + 1]!;
      if (this.count[node]! > 0 || (low !== 0 && high !== 0)) return;
      const child = low !== 0 ? low : high;
      if (child !== 0) {
        const bits = this.length[node]!;
        // The child keeps its place and takes over the run; 32 bits in all at most, since a value has no more.
        this.prefix[child] = this.prefix[node]! | (bits >= 32 ? 0 : this.prefix[child]! >>> bits);
        this.length[child] = this.length[child]! + bits;
      }
      const parent = path.length > 0 ? path[path.length - 1]! : 0;
      this.link(parent, parent !== 0 && this.edges[2 * parent + 1] === node ? 1 : 0, child);
      this.edges[2 * node] = this.free;
      this.free = node;
    }
  }

  private link(parent: number, side: number, node: number): void {
    if (parent === 0) this.root = node;
    else this.edges[2 * parent + side] = node;
  }

  private make(value: number, from: number, bits: number, count: number): number {
    let node = this.free;
    if (node !== 0) this.free = this.edges[2 * node]!;
    else {
      if (this.used === this.prefix.length) this.grow();
      node = this.used++;
    }
    const run = from >= 32 ? 0 : value << from;
    this.prefix[node] = bits === 0 ? 0 : run & (-1 << (32 - bits));
    this.length[node] = bits;
    this.count[node] = count;
    this.edges[2 * node] = 0;
    this.edges[2 * node + 1] = 0;
    return node;
  }

  private grow(): void {
    const size = 2 * this.prefix.length;
    this.prefix = grown(this.prefix, new Int32Array(size));
    this.length = grown(this.length, new Uint8Array(size));
    this.count = grown(this.count, new Int32Array(size));
    this.edges = grown(this.edges, new Int32Array(2 * size));
  }
}

function bitAt(value: number, index: number): number {
  return (value >>> (31 - index)) & 1;
}

function grown<T extends Int32Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
