// A binary heap whose entries know their places, so that one can be taken out or moved when its rank has changed. Entries of
// equal rank come out in an order that follows from what was done to the heap alone: the same every time.

/** What lies in a heap. The place is the heap's business; -1 outside. */
export interface HeapEntry {
  heapIndex: number;
}

export class Heap<T extends HeapEntry> {
  private readonly entries: T[] = [];
  private readonly before: (a: T, b: T) => boolean;

  /** `before` is a strict order: which of two entries comes out first. */
  constructor(before: (a: T, b: T) => boolean) {
    this.before = before;
  }

  get size(): number {
    return this.entries.length;
  }

  /** The entry that none comes before; null when the heap is empty. */
  get first(): T | null {
    return this.entries[0] ?? null;
  }

  add(entry: T): void {
    entry.heapIndex = this.entries.length;
    this.entries.push(entry);
    this.rise(entry.heapIndex);
  }

  /** Takes an entry out that is in this heap. */
  remove(entry: T): void {
    const index = entry.heapIndex;
    const last = this.entries.pop()!;
    entry.heapIndex = -1;
    if (last === entry) return;
    this.put(last, index);
    this.moved(last);
  }

  /** Finds an entry's place anew, when its rank has changed. */
  moved(entry: T): void {
    if (!this.rise(entry.heapIndex)) this.sink(entry.heapIndex);
  }

  /** Brings all into order, when many ranks have changed. */
  rebuild(): void {
    for (let i = (this.entries.length >> 1) - 1; i >= 0; i--) this.sink(i);
  }

  private rise(index: number): boolean {
    const { entries } = this;
    const entry = entries[index]!;
    let at = index;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.before(entry, entries[parent]!)) break;
      this.put(entries[parent]!, at);
      at = parent;
    }
    this.put(entry, at);
    return at !== index;
  }

  private sink(index: number): void {
    const { entries } = this;
    const entry = entries[index]!;
    let at = index;
    for (let child = 2 * at + 1; child < entries.length; child = 2 * at + 1) {
      const right = child + 1;
      if (right < entries.length && this.before(entries[right]!, entries[child]!)) child = right;
      if (!this.before(entries[child]!, entry)) break;
      this.put(entries[child]!, at);
      at = child;
    }
    this.put(entry, at);
  }

  private put(entry: T, index: number): void {
    this.entries[index] = entry;
    entry.heapIndex = index;
  }
}
