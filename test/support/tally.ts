/** Agreement per scenario or capture and in total, printed at the end of a run. */
export class Tally {
  readonly #rows: { name: string; packets: number; left: number; differing: number }[] = []

  /** @param of what is compared */
  constructor(readonly title: string, readonly of = 'packets') {}

  /** @param left what was not compared, because what announced it was not captured */
  add(name: string, packets: number, differing: number, left = 0): void {
    this.#rows.push({ name, packets, left, differing })
  }

  print(): void {
    if (this.#rows.length === 0) return
    const width = Math.max(...this.#rows.map(row => row.name.length))
    const lines = this.#rows.map(row => this.#line(row.name.padEnd(width), row.packets, row.differing, row.left))
    const sum = (field: 'packets' | 'left' | 'differing') => this.#rows.reduce((total, row) => total + row[field], 0)
    const total = this.#line(`${this.title}: ${this.#rows.length} in total`, sum('packets'), sum('differing'), sum('left'))
    process.stdout.write(`${lines.join('\n')}\n${total}\n`)
  }

  #line(name: string, packets: number, differing: number, left: number): string {
    const agreement = packets === 0 ? 100 : 100 * (1 - Math.min(differing, packets) / packets)
    const note = left > 0 ? `, ${left} left out` : ''
    // Rounded down: only full agreement reads 100.00 %.
    return `${name}  ${(Math.floor(agreement * 100) / 100).toFixed(2).padStart(6)} % of ${packets} ${this.of}${note}`
  }
}
