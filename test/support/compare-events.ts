/** The events of a tracker against those that the kernel sent, packet by packet. */
import type { ConnectionEvent, Expectation, ExpectationEvent, Tracker, Tuple } from 'conntrack-wasm'
import type { GoldenEvent, GoldenTuple } from './golden.js'

/** Listens to a tracker from its creation on. */
export class EventComparison {
  readonly #told: (ConnectionEvent | ExpectationEvent)[] = []
  /** Our id of each connection by the recording's number, as NEW events pair them. */
  readonly #ids = new Map<number, number>()
  /** Ids of connections that were over because of their time. */
  readonly #expired = new Set<number>()

  constructor(tracker: Tracker) {
    for (const kind of ['new', 'update', 'destroy'] as const) tracker.on(kind, event => this.#told.push(event))
    for (const kind of ['expectation-new', 'expectation-destroy'] as const) tracker.on(kind, event => this.#told.push(event))
  }

  /**
   * Differences between what was told since the last call and the recording. Entries whose time was over are destroyed
   * when somebody notices; the kernel's collector and ours do so at different times, so those events are left out.
   */
  since(golden: readonly GoldenEvent[] = []): string[] {
    const told = this.#told.splice(0)
    for (const event of told) if ('connection' in event && isExpiry(event)) this.#expired.add(event.connection.id)
    const ours = told.filter(event => !('connection' in event) || !isExpiry(event))
    const kernels = golden.filter(event => !this.#isExpiry(event))
    ours.forEach((event, i) => {
      const ct = kernels[i]?.ct
      if (event.kind === 'new' && ct !== undefined) this.#ids.set(ct, event.connection.id)
    })
    const [left, right] = [ours.map(event => this.#text(event)), kernels.map(event => this.#goldenText(event))]
    return left.join('; ') === right.join('; ') ? [] : [`events [${left.join('; ')}], kernel [${right.join('; ')}]`]
  }

  #isExpiry({ event, ct = 0 }: GoldenEvent): boolean {
    return event === 'destroy' && this.#expired.has(this.#ids.get(ct) ?? 0)
  }

  #text(event: ConnectionEvent | ExpectationEvent): string {
    if ('expectation' in event) return `${event.kind} ${expectationText(event.expectation)}`
    const { kind, changes, connection: { id, status, tcpState } } = event
    const told = kind === 'destroy' || changes.includes('PROTOINFO')
    return [kind, id, ...status, ...(told && tcpState !== null ? [tcpState] : [])].join(' ')
  }

  #goldenText(golden: GoldenEvent): string {
    const { event, ct = 0, status = [], tcp_state } = golden
    if (golden.tuple) return `${event.replace('expect-', 'expectation-')} ${goldenExpectationText(golden)}`
    return [event, this.#ids.get(ct) ?? '?', ...status, ...(tcp_state ? [tcp_state] : [])].join(' ')
  }
}

/** An expectation without its timeout. */
export function expectationText(expectation: Expectation): string {
  const { tuple, mask, masterTuple, class: number, helper, permanent, inactive } = expectation
  const flags = (permanent ? 1 : 0) | (inactive ? 2 : 0)
  return [endpoints(tuple), mask.src, mask.sport, mask.dport, 'of', endpoints(masterTuple), flags, number, helper].join(' ')
}

export function goldenExpectationText({ tuple, mask, master, flags, class: number, helper }: GoldenEvent): string {
  return [goldenEndpoints(tuple!), mask!.src, mask!.sport, mask!.dport, 'of', goldenEndpoints(master!), flags, number, helper].join(' ')
}

function endpoints({ src, dst, sport, dport, srcKey, dstKey }: Tuple): string {
  return `${src} ${sport ?? srcKey ?? 0} > ${dst} ${dport ?? dstKey ?? 0}`
}

function goldenEndpoints({ src, dst, sport = 0, dport = 0 }: GoldenTuple): string {
  return `${src} ${sport} > ${dst} ${dport}`
}

function isExpiry({ kind, connection }: ConnectionEvent): boolean {
  return kind === 'destroy' && connection.timeoutMs === 0
}
