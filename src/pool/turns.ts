/** So many batches and calls are under way at a time; whoever comes then waits for a turn. */
export class Turns {
  readonly #free: number[]
  readonly #waiting: ((turn: number) => void)[] = []
  readonly #total: number
  readonly #busy: (busy: boolean) => void

  /** @param busy told when there is something under way, and when there is nothing any more */
  constructor(total: number, busy: (busy: boolean) => void) {
    this.#free = Array.from({ length: total }, (_, i) => i)
    this.#total = total
    this.#busy = busy
  }

  /** So many would not have to wait. */
  has(count: number): boolean {
    return this.#free.length >= count
  }

  /** Does something when its turn comes, at once if it can be; in the order of calls. */
  take<T>(use: (turn: number) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const start = (turn: number) => { use(turn).then(resolve, reject).finally(() => this.#give(turn)) }
      const turn = this.#free.pop()
      if (turn === undefined) return void this.#waiting.push(start)
      if (this.#free.length === this.#total - 1) this.#busy(true)
      start(turn)
    })
  }

  #give(turn: number): void {
    const next = this.#waiting.shift()
    if (next) return next(turn)
    this.#free.push(turn)
    if (this.#free.length === this.#total) this.#busy(false)
  }
}
