// Counts how many times each 32-bit hash was added: a subtable's stage index, which asks only whether one is there.
// Open addressing over two typed arrays; a Map of a million numbers costs five times the memory.

const INITIAL_SLOTS = 8;

/**
 * Where a hash belongs in a table of 2^n slots; `shift` is slotShift of its size. Multiplied by the golden ratio and taken
 * from the top, because a flow's words are big endian: addresses that count up differ in the high bits of a word.
 */
export function homeSlot(hash: number, shift: number): number {
  return Math.imul(hash, 0x9e3779b1) >>> shift;
}

export function slotShift(slots: number): number {
  return Math.clz32(slots) + 1;
}

export class HashCounter {
  private hashes = new Int32Array(INITIAL_SLOTS);
  private counts = new Int32Array(INITIAL_SLOTS); // 0: the slot is empty
  private slotMask = INITIAL_SLOTS - 1;
  private shift = slotShift(INITIAL_SLOTS);
  private size = 0;

  has(hash: number): boolean {
    const { hashes, counts, slotMask } = this;
    for (let slot = homeSlot(hash, this.shift); counts[slot] !== 0; slot = (slot + 1) & slotMask) {
      if (hashes[slot] === hash) return true;
    }
    return false;
  }

  add(hash: number): void {
    const slot = this.slotOf(hash);
    if (this.counts[slot] === 0) {
      this.hashes[slot] = hash;
      this.size++;
    }
    this.counts[slot] = this.counts[slot]! + 1;
    if (2 * this.size > this.slotMask) this.grow();
  }

  /** Takes one addition back; the hash must be there. */
  remove(hash: number): void {
    const { hashes, counts, slotMask } = this;
    let hole = this.slotOf(hash);
    counts[hole] = counts[hole]! - 1;
    if (counts[hole] !== 0) return;
    this.size--;
    for (let slot = (hole + 1) & slotMask; counts[slot] !== 0; slot = (slot + 1) & slotMask) {
      const home = homeSlot(hashes[slot]!, this.shift);
      if (((slot - home) & slotMask) >= ((slot - hole) & slotMask)) {
        hashes[hole] = hashes[slot]!;
        counts[hole] = counts[slot]!;
        counts[slot] = 0;
        hole = slot;
      }
    }
  }

  private slotOf(hash: number): number {
    let slot = homeSlot(hash, this.shift);
    while (this.counts[slot] !== 0 && this.hashes[slot] !== hash) slot = (slot + 1) & this.slotMask;
    return slot;
  }

  private grow(): void {
    const { hashes, counts } = this;
    this.hashes = new Int32Array(2 * hashes.length);
    this.counts = new Int32Array(2 * hashes.length);
    this.slotMask = this.hashes.length - 1;
    this.shift = slotShift(this.hashes.length);
    for (let i = 0; i < hashes.length; i++) {
      if (counts[i] === 0) continue;
      const slot = this.slotOf(hashes[i]!);
      this.hashes[slot] = hashes[i]!;
      this.counts[slot] = counts[i]!;
    }
  }
}
