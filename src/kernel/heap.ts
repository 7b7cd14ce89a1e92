// The kernel's heaps: one for megaflow records, one for subtables and their slot tables. Blocks are multiples of 64 bytes.
// Freed blocks wait in a list for their size; larger than CLASS_MAX lines they are rounded up to a power of two, which are
// few. Nothing is merged: sizes repeat (a record's size is its key's and its program's), so a freed block soon finds its
// next user, and a block of the record heap is always the start of a record, which is what makes a stale reference to a
// record safe to read.
//
//   heap: 0 next u32 | 4 end u32 | 8 bytes in use u32 | 12 reserved | 16 list heads, u32 each | blocks

const LINE: usize = 64;
const CLASS_MAX: u32 = 1024; // lists for 64 .. 65,536 bytes
const POWER_CLASSES: u32 = 32;
const HEAP_LISTS: usize = 16;
const HEAP_HEADER: usize = HEAP_LISTS + <usize>(CLASS_MAX + 1 + POWER_CLASSES) * 4;

/** Makes a heap of the memory from `base` to `limit`. */
export function heapInit(base: usize, limit: usize): void {
  memory.fill(base, 0, HEAP_HEADER);
  store<u32>(base, <u32>((base + HEAP_HEADER + LINE - 1) & ~(LINE - 1)));
  store<u32>(base, <u32>limit, 4);
}

function rounded(size: usize): usize {
  const lines = (size + LINE - 1) / LINE;
  if (lines <= <usize>CLASS_MAX) return lines * LINE;
  let power: usize = 1;
  while (power < size) power <<= 1;
  return power;
}

function listOf(heap: usize, bytes: usize): usize {
  const lines = bytes / LINE;
  if (lines <= <usize>CLASS_MAX) return heap + HEAP_LISTS + lines * 4;
  return heap + HEAP_LISTS + <usize>(CLASS_MAX + 1 + <u32>ctz<u64>(bytes)) * 4;
}

/** The address of `size` bytes, 64-byte aligned, not cleared; 0 when the heap is full. */
export function heapAlloc(heap: usize, size: usize): usize {
  const bytes = rounded(size);
  const list = listOf(heap, bytes);
  const head = <usize>load<u32>(list);
  if (head != 0) {
    store<u32>(list, load<u32>(head));
    store<u32>(heap, load<u32>(heap, 8) + <u32>bytes, 8);
    return head;
  }
  const next = <usize>load<u32>(heap);
  if (bytes > <usize>load<u32>(heap, 4) - next) return 0;
  store<u32>(heap, <u32>(next + bytes));
  store<u32>(heap, load<u32>(heap, 8) + <u32>bytes, 8);
  return next;
}

/** Gives back a block of `size` bytes; its first word is overwritten. */
export function heapFree(heap: usize, block: usize, size: usize): void {
  const bytes = rounded(size);
  const list = listOf(heap, bytes);
  store<u32>(block, load<u32>(list));
  store<u32>(list, <u32>block);
  store<u32>(heap, load<u32>(heap, 8) - <u32>bytes, 8);
}
