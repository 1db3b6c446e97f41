/** Numbers that a seed decides: the same run again from the same seed. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** A 32-bit number (mulberry32). */
  next(): number {
    this.#state = this.#state + 0x6d2b79f5 >>> 0
    let t = this.#state
    t = Math.imul(t ^ t >>> 15, t | 1)
    t ^= t + Math.imul(t ^ t >>> 7, t | 61)
    return (t ^ t >>> 14) >>> 0
  }

  below(n: number): number {
    return this.next() % n
  }

  chance(oneIn: number): boolean {
    return this.below(oneIn) === 0
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]
  }
}
