/** The events of a tracker against those that the kernel sent, packet by packet. */
import type { ConnectionEvent, Tracker } from 'conntrack-wasm'
import type { GoldenEvent } from './golden.js'

/** Listens to a tracker from its creation on. */
export class EventComparison {
  readonly #told: ConnectionEvent[] = []
  /** Our id of each connection by the recording's number, as NEW events pair them. */
  readonly #ids = new Map<number, number>()
  /** Ids of connections that were over because of their time. */
  readonly #expired = new Set<number>()

  constructor(tracker: Tracker) {
    for (const kind of ['new', 'update', 'destroy'] as const) tracker.on(kind, event => this.#told.push(event))
  }

  /**
   * Differences between what was told since the last call and the recording. Entries whose time was over are destroyed
   * when somebody notices; the kernel's collector and ours do so at different times, so those events are left out.
   */
  since(golden: readonly GoldenEvent[] = []): string[] {
    const told = this.#told.splice(0)
    for (const event of told.filter(isExpiry)) this.#expired.add(event.connection.id)
    const ours = told.filter(event => !isExpiry(event))
    const kernels = golden.filter(event => ['new', 'update', 'destroy'].includes(event.event) && !this.#isExpiry(event))
    ours.forEach(({ kind, connection }, i) => {
      const ct = kernels[i]?.ct
      if (kind === 'new' && ct !== undefined) this.#ids.set(ct, connection.id)
    })
    const [left, right] = [ours.map(event => this.#text(event)), kernels.map(event => this.#goldenText(event))]
    return left.join('; ') === right.join('; ') ? [] : [`events [${left.join('; ')}], kernel [${right.join('; ')}]`]
  }

  #isExpiry({ event, ct = 0 }: GoldenEvent): boolean {
    return event === 'destroy' && this.#expired.has(this.#ids.get(ct) ?? 0)
  }

  #text({ kind, changes, connection: { id, status, tcpState } }: ConnectionEvent): string {
    const told = kind === 'destroy' || changes.includes('PROTOINFO')
    return [kind, id, ...status, ...(told && tcpState !== null ? [tcpState] : [])].join(' ')
  }

  #goldenText({ event, ct = 0, status = [], tcp_state }: GoldenEvent): string {
    return [event, this.#ids.get(ct) ?? '?', ...status.filter(bit => bit !== 'HELPER'), ...(tcp_state ? [tcp_state] : [])].join(' ')
  }
}

function isExpiry({ kind, connection }: ConnectionEvent): boolean {
  return kind === 'destroy' && connection.timeoutMs === 0
}
