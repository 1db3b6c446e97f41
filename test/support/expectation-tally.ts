/** Agreement about expectations per capture, by helper and in total, printed at the end of a run. */
import type { LabAgreement } from './lab.js'

interface Row {
  readonly name: string
  readonly events: readonly string[]
  readonly differing: number
  readonly related: number
}

export class ExpectationTally {
  readonly #rows: Row[] = []
  readonly #left: { name: string; events: readonly string[]; reason: string }[] = []
  #without = 0
  #related = 0

  /** @param events what the kernel told */
  add(name: string, { related }: LabAgreement, events: readonly string[], differing: number): void {
    this.#related += related
    if (events.length === 0 && differing === 0) this.#without++
    else this.#rows.push({ name, events, differing, related })
  }

  leaveOut(name: string, { related }: LabAgreement, events: readonly string[], reason: string): void {
    this.#related += related
    this.#left.push({ name, events, reason })
  }

  print(): void {
    if (this.#rows.length === 0) return
    const all = this.#rows.flatMap(({ events }) => events)
    const differing = this.#rows.reduce((sum, row) => sum + row.differing, 0)
    const agreement = 100 * (1 - Math.min(differing, all.length) / Math.max(all.length, 1))
    // Rounded down: only full agreement reads 100.00 %.
    const percent = (Math.floor(agreement * 100) / 100).toFixed(2)
    process.stdout.write([
      ...this.#rows.map(row => this.#line(row)),
      ...this.#left.map(({ name, events, reason }) => `${name}: left out ${events.length} events: ${reason}`),
      `by helper: ${this.#byHelper(all)}`,
      `captures in which neither expects anything: ${this.#without}`,
      `packets that the kernel found RELATED in all captures: ${this.#related}`,
      `expectations of ${this.#rows.length} lab captures: ${counts(all)}, ${percent} % of ${all.length} events`,
    ].join('\n') + '\n')
  }

  #line({ name, events, differing, related }: Row): string {
    const width = Math.max(...this.#rows.map(row => row.name.length))
    const same = `${events.length - Math.min(differing, events.length)} of ${events.length} events the same`
    return `${name.padEnd(width)}  ${same} (${counts(events)}), ${related} packets RELATED`
  }

  #byHelper(events: readonly string[]): string {
    const helperOf = (line: string) => /helper=(\S+)/.exec(line)?.[1] ?? '?'
    const names = [...new Set(events.map(helperOf))].sort()
    return names.map(name => `${name} ${events.filter(line => helperOf(line) === name).length}`).join(', ')
  }
}

function counts(events: readonly string[]): string {
  const ended = events.filter(line => line.startsWith('[DESTROY]')).length
  return `${events.length - ended} announced, ${ended} ended`
}
