// pcapng counts time in 64-bit units that each interface chooses (if_tsresol, if_tsoffset). This turns them into seconds and
// nanoseconds without losing any: today's time in nanoseconds needs 61 bits, a double holds 53, and a BigInt division for every
// frame would cost more than all the rest of reading it. So the whole second that the last frame fell into is kept as 64-bit
// words, exactly, and only a frame of another second takes the BigInt way.

const NANOSECONDS = 1_000_000_000n;

export class TimestampUnit {
  /** The result of the last convert(). */
  sec = 0;
  nsec = 0;
  readonly #perSecond: bigint;
  readonly #offsetSec: bigint;
  /** Nanoseconds per unit when that is a whole number, else 0 and every frame takes the slow way. */
  readonly #scale: number;
  readonly #perSecondNumber: number;
  #baseHigh = 0;
  #baseLow = 0;
  #baseSec = 0;
  #baseSet = false;

  /** `resolution` as in if_tsresol: 10^-n of a second, or 2^-n with the high bit set. `offsetSec` as in if_tsoffset. */
  constructor(resolution: number, offsetSec: bigint) {
    const exponent = BigInt(resolution & 0x7f);
    this.#perSecond = (resolution & 0x80 ? 2n : 10n) ** exponent;
    this.#offsetSec = offsetSec;
    this.#scale = NANOSECONDS % this.#perSecond === 0n ? Number(NANOSECONDS / this.#perSecond) : 0;
    this.#perSecondNumber = Number(this.#perSecond);
  }

  /** Sets `sec` and `nsec` from the two words of a time stamp. A part of a nanosecond is cut off. */
  convert(high: number, low: number): void {
    if (this.#scale !== 0 && this.#baseSet) {
      const delta = (high - this.#baseHigh) * 4294967296 + (low - this.#baseLow);
      if (delta >= 0 && delta < this.#perSecondNumber) {
        this.sec = this.#baseSec;
        this.nsec = delta * this.#scale;
        return;
      }
    }
    this.#convertSlowly(high, low);
  }

  #convertSlowly(high: number, low: number): void {
    const units = (BigInt(high) << 32n) | BigInt(low);
    const whole = units / this.#perSecond;
    const part = units % this.#perSecond;
    this.sec = Number(whole + this.#offsetSec);
    this.nsec = Number((part * NANOSECONDS) / this.#perSecond);
    const base = whole * this.#perSecond;
    this.#baseHigh = Number(base >> 32n);
    this.#baseLow = Number(base & 0xffff_ffffn);
    this.#baseSec = this.sec;
    this.#baseSet = true;
  }
}
