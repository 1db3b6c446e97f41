/** Scripts as packets through a tracker with the helper, and what must be so of its expectations then. */
import { createTracker, packetBatch, type Connection, type Expectation, type Tracker } from 'conntrack-wasm'
import type { Helper, NewExpectation } from 'conntrack-wasm/helpers'
import { tcp, udpWith, type Endpoints } from '../build.js'
import { Random } from '../random.js'
import { reversed } from '../talk.js'
import { momentOf, Violation, violation } from './rules.js'
import type { Script, Step } from './script.js'
import type { Variant } from './variants.js'

/** Where all servers listen, so that the tracker knows the helper of each connection. */
const PORT = 4000
/** What an IPv4 packet can hold behind a TCP header. */
const LONGEST = 65_000
const MOST_EXPECTATIONS = 24
const LINK_RAW = 101
const TCP = 6
const UDP = 17
const SECOND = 1_000_000_000n

/** A tracker that lives through many scripts. */
export class TrackedPlay {
  readonly #tracker: Tracker
  #time = 1_700_000_000n * SECOND
  #thrown: unknown = null
  readonly #random: Random

  constructor(readonly variant: Variant, seed: number) {
    const { helper } = variant
    this.#random = new Random(seed)
    const protocols = [helper.protocol].flat()
    this.#tracker = createTracker({
      maxConnections: 256, hashSeed: 1, sysctl: { tcp_be_liberal: 1, expect_max: MOST_EXPECTATIONS },
      helpers: protocols.map(protocol => ({ helper, match: { protocol, dport: PORT } })),
      onHelperError: error => { this.#thrown = error },
    })
  }

  /** Plays a script, opens some of what was announced, checks, and ends its connections. @returns expectations seen */
  play(script: Script): number {
    const payload = script.steps.at(-1)?.payload ?? new Uint8Array(0)
    this.#track(frames(script))
    this.#check()
    const seen = this.#tracker.expectations()
    const chosen = seen.filter(() => this.#random.chance(3)).slice(0, 4)
    this.#track(chosen.flatMap(one => opening(this.#random, one, payload)))
    this.#check()
    this.#endMasters(script)
    return seen.length
  }

  #track(packets: readonly Uint8Array[]): void {
    const timed = packets.map(data => ({ data, linkType: LINK_RAW, time: this.#time += 1_000_000n }))
    const size = this.#random.pick([1, 64])
    for (let i = 0; i < timed.length; i += size) {
      if (size === 1) this.#tracker.track(timed[i].data, timed[i])
      else this.#tracker.trackBatch(packetBatch(timed.slice(i, i + size)))
    }
  }

  #check(): void {
    const { helperErrors } = this.#tracker.statistics()
    if (Object.keys(helperErrors).length > 0) throw this.#thrown
    const expectations = this.#tracker.expectations()
    if (expectations.length > MOST_EXPECTATIONS) throw new Violation(`${expectations.length} expectations`)
    for (const one of expectations) this.#checkOne(one, expectations)
  }

  #checkOne(one: Expectation, all: readonly Expectation[]): void {
    const master = this.#tracker.connection(one.master)
    if (!master) throw new Violation(`an expectation without a master: ${JSON.stringify(one)}`)
    const kind = helperNamed(this.variant.helper, one.helper).classes[one.class]
    const siblings = all.filter(other => other.master === one.master && other.class === one.class)
    if (siblings.length > kind.limit) throw new Violation(`${siblings.length} expectations of class ${kind.name}`)
    const mayBeActivated = one.helper === 'RAS' || one.helper === 'sip' && one.class === 0
    const tooLong = one.timeoutMs > kind.timeout * 1000 && !mayBeActivated
    if (tooLong) throw new Violation(`an expectation for ${one.timeoutMs} ms`)
    const packet = { connection: asHelped(master), established: true, state: undefined }
    const wrong = (['original', 'reply'] as const).map(direction =>
      violation(one.helper, asAnnounced(one), momentOf({ ...packet, direction }, this.variant.loosened)))
    if (!wrong.includes(null)) throw new Violation(wrong.join('\n'))
  }

  /** What announced is over: by a reset or by hand. Then all the rest. */
  #endMasters(script: Script): void {
    const masters = new Set(this.#tracker.expectations().map(({ master }) => master))
    if (script.connections[0].protocol === TCP && this.#random.chance(2)) {
      this.#track(script.connections.map(({ original }) => tcp(ends(original), { flags: 'R', seq: lastSeq(script) })))
      this.#tracker.advance(this.#time += 11n * SECOND)
    }
    for (const id of masters) this.#tracker.delete(id)
    const left = this.#tracker.expectations()
    if (left.length > 0) throw new Violation(`its master is gone: ${JSON.stringify(left[0])}`)
    for (const { id } of this.#tracker.connections()) this.#tracker.delete(id)
  }
}

function helperNamed(helper: Helper, name: string): Helper {
  const all = [helper, ...helper.assigns ?? []].flatMap(one => [one, ...one.assigns ?? []])
  const found = all.find(one => one.name === name)
  if (!found) throw new Violation(`an expectation of a helper ${name}`)
  return found
}

const ends = ({ src, dst, sport }: Endpoints): Endpoints => ({ src, dst, sport, dport: PORT })

function frames({ connections, steps }: Script): Uint8Array[] {
  const starts = connections.map((_, i) => steps.find(step => step.connection === i)?.seq ?? 1001)
  const handshakes = connections.flatMap(({ protocol, original }, i) => {
    const seq = starts[i] - 1 >>> 0
    return protocol === TCP ? handshake(ends(original), seq) : []
  })
  return [...handshakes, ...steps.map(step => frame(step, connections[step.connection]))]
}

function handshake(at: Endpoints, seq: number): Uint8Array[] {
  return [
    tcp(at, { flags: 'S', seq }), tcp(reversed(at), { flags: 'SA', seq, ack: seq + 1 }),
    tcp(at, { flags: 'A', seq: seq + 1, ack: seq + 1 }),
  ]
}

function frame({ direction, payload, seq }: Step, { protocol, original }: Script['connections'][number]): Uint8Array {
  const at = direction === 'original' ? ends(original) : reversed(ends(original))
  const bytes = payload.subarray(0, LONGEST)
  return protocol === TCP ? tcp(at, { flags: 'PA', seq, ack: seq, payload: bytes }) : udpWith(at, bytes)
}

function lastSeq({ steps }: Script): number {
  const last = steps.filter(({ direction }) => direction === 'original').at(-1)
  return last ? last.seq + last.payload.length >>> 0 : 1001
}

/** Packets that are what was announced; its helper, if it has one, is given the payload. */
function opening(random: Random, { tuple, mask }: Expectation, payload: Uint8Array): Uint8Array[] {
  const src = /^[0.:]+$/.test(mask.src) ? (tuple.family === 4 ? '192.0.2.7' : '2001:db8:c::3') : tuple.src
  const at = { src, sport: tuple.sport || 1024 + random.below(60_000), dst: tuple.dst, dport: tuple.dport }
  if (tuple.protocol === UDP) return [udpWith(at, payload.subarray(0, LONGEST))]
  if (tuple.protocol !== TCP) return []
  return [...handshake(at, 1000), tcp(at, { flags: 'PA', seq: 1001, ack: 1001, payload: payload.subarray(0, LONGEST) })]
}

/** As the helper announced it, so far as that can be told. */
function asAnnounced({ tuple, mask, class: kind, helper, permanent, inactive, assigns }: Expectation): NewExpectation {
  const anybody = /^[0.:]+$/.test(mask.src)
  const whole = /^(255|ffff)([.:](255|ffff))*$/.test(mask.src)
  const signalling = helper === 'sip' && kind === 0
  return {
    protocol: tuple.protocol, src: anybody ? null : tuple.src, ...(anybody || whole ? {} : { srcMask: mask.src }),
    ...(mask.sport === 0 ? {} : { sport: tuple.sport ?? tuple.srcKey }), dst: tuple.dst,
    dport: tuple.dport ?? tuple.dstKey ?? 0, class: kind, permanent,
    inactive: inactive || signalling, skipMaster: helper === 'sip' && kind > 0,
    ...(assigns === null ? {} : { helper: assigns }),
  }
}

function asHelped({ id, original, reply, status }: Connection) {
  const { family, protocol } = original
  return { id, family, protocol, original, reply, expected: status.includes('EXPECTED') }
}
