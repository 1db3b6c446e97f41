/**
 * One packet among rules: read, shown to the raw table, tracked, shown to the other tables while its connection is held, and
 * let go. In: a core from within, the packet, the hooks. The main entry does without this.
 *
 * It makes no objects for packets: the packet and its connection are the same two for all. Only looks into the table, which
 * `connlimit` asks for, do.
 */
import { answerType, ATTACHED_ACCOUNT, ENTRY_SIZE, ZONE_DIRECTIONS, type CoreInside } from '../border.js'
import { HELPED_SIZE } from '../helper-border.js'
import type { Assignment, HookConnection, HookPacket, PacketHooks, Zones } from '../hooks.js'
import { STATES, STATUS_BITS, TCP_STATES, VERDICT_DROPPED } from '../names.js'
import type { Classify, ClassifyRow } from '../tracker.js'

const EXPECTED = 1 << STATUS_BITS.indexOf('EXPECTED')
const CONFIRMED = 1 << STATUS_BITS.indexOf('CONFIRMED')
const SEEN_REPLY = 1 << STATUS_BITS.indexOf('SEEN_REPLY')
const RELATED = STATES.indexOf('RELATED')
const TCP = 6
/** What TCP's last packet was, as entries have it. */
const RESET = 4
const CLOSING_STATES: readonly number[] = [TCP_STATES.indexOf('TIME_WAIT'), TCP_STATES.indexOf('CLOSE')]

/** What rules may ask the table. */
type Table = Pick<HookPacket, 'find' | 'statusAt' | 'isClosing' | 'zoneAt'>

/** Classifies packets with rules around them, for `Tracker.trackInSteps` and `trackBatchInSteps`. */
export interface Among {
  readonly one: Classify
  readonly row: ClassifyRow
}

export function trackAmong(hooks: PacketHooks): Among {
  let among: Steps | null = null
  const within = (inside: object) => among ??= new Steps(inside as CoreInside, hooks)
  return {
    one: (inside, bytes, wireLength, linkType, time) => within(inside).one(bytes, wireLength, linkType, time),
    row: (inside, row, base) => within(inside).row(row, base),
  }
}

class Steps {
  readonly #inside: CoreInside
  readonly #hooks: PacketHooks
  readonly #connection: HeldConnection
  /** What `readForRules` leaves. */
  readonly #read: Uint32Array
  /** Of a packet that is no row of a batch. */
  #time = 0n
  #row = -1

  constructor(inside: CoreInside, hooks: PacketHooks) {
    this.#inside = inside
    this.#hooks = hooks
    this.#connection = new HeldConnection(inside)
    this.#read = new Uint32Array(inside.bytes.buffer, inside.regions.extras, 4)
    const { packet } = hooks
    packet.data = inside.bytes
    Object.assign(packet, tableOf(inside))
    packet.timeOf = () => this.#row < 0 ? this.#time : timeOfRow(inside.columns, this.#row)
  }

  one(bytes: Uint8Array, wireLength: number, linkType: number, time: bigint): void {
    this.#time = time
    this.#row = -1
    this.#track(this.#inside.exports.readForRules(this.#inside.bring(bytes), wireLength, linkType, time) !== 0, linkType)
  }

  row(row: number, base: number): void {
    this.#row = row
    this.#track(this.#inside.exports.readRowForRules(row, base) !== 0, this.#inside.columns.linkType[row])
  }

  #track(reaches: boolean, linkType: number): void {
    this.#inside.verdicts.count = 1
    const assigned = reaches ? this.#before(linkType) : null
    if (assigned === null) this.#inside.exports.dropBeforeRules()
    else this.#after(this.#trackAssigned(assigned))
    this.#inside.drain()
  }

  #before(linkType: number): Assignment | null {
    const { packet } = this.#hooks
    const network = this.#read[1]
    packet.frame = this.#read[0]
    packet.network = network
    packet.end = this.#read[2]
    packet.length = this.#read[3]
    packet.linkType = linkType
    packet.family = packet.data[network] >> 4 === 4 ? 4 : 6
    return this.#hooks.before()
  }

  #trackAssigned({ notrack, local, zone, zoneDirection, policy, helper }: Assignment): number {
    const { exports, core } = this.#inside
    const number = helper === null ? 0 : core.helperNames.findIndex(({ name }) => name === helper) + 1
    return exports.trackForRules(notrack ? 1 : 0, local ? 1 : 0, zone, ZONE_DIRECTIONS[zoneDirection], policy, number)
  }

  /** @param held what `trackForRules` said */
  #after(held: number): void {
    const { exports, verdicts, resume } = this.#inside
    if (held !== 0) {
      this.#connection.hold(held & 1)
      const passes = this.#hooks.after(held >> 8, this.#connection)
      if (exports.resumeHeldPacket(passes ? 0 : 1)) resume()
      return
    }
    const state = verdicts.state[0]
    const isSeen = state !== 0 && !(verdicts.flags[0] & VERDICT_DROPPED)
    if (isSeen) this.#hooks.after(state, null)
  }
}

/** As the core has it: times are kept within three hundred years of 1970. */
function timeOfRow({ seconds, nanoseconds }: CoreInside['columns'], row: number): bigint {
  const most = 9e9
  const second = Math.trunc(seconds[row])
  return BigInt(second > -most ? Math.min(second, most) : -most) * 1_000_000_000n + BigInt(nanoseconds[row])
}

/** What a tuple is looked up with: addresses and ports where a packet has them. */
const TUPLE_HEADERS = 48

/** Looks into the table while a packet is held. What the look leaves in the packet's own key nobody reads any more. */
function lookIn({ bytes, regions, core }: CoreInside): HookPacket['find'] {
  return ({ family, protocol, headers, zones: { original, reply } }) => {
    const width = family === 4 ? 4 : 16
    const [src, dst, values] = [headers.subarray(0, width), headers.subarray(width, 2 * width), headers.subarray(2 * width)]
    const direction = original === reply ? 'both' : original !== 0 ? 'original' : 'reply'
    const packet = bytes.slice(regions.input, regions.input + TUPLE_HEADERS)
    const slot = core.slotOfTuple(family, protocol, src, dst, values, original || reply, direction)
    bytes.set(packet, regions.input)
    return slot === 0 ? null : { slot, id: core.idIn(slot) }
  }
}

function tableOf(inside: CoreInside): Table {
  const { view, core, entry } = inside
  return {
    find: lookIn(inside),
    statusAt: ({ slot, id }) => {
      const at = entry(slot)
      const status = view.getUint16(at + 48, true)
      const isThere = (status & CONFIRMED) !== 0 && view.getUint32(at + 52, true) === id && view.getBigInt64(at + 40, true) > core.now
      return isThere ? status : 0
    },
    isClosing: ({ slot }) => view.getUint8(entry(slot) + 36) === TCP && CLOSING_STATES.includes(view.getUint8(entry(slot) + 50)),
    zoneAt: ({ slot }) => view.getUint8(entry(slot) + 75) & ZONE_DIRECTIONS.original ? view.getUint16(entry(slot) + 38, true) : 0,
  }
}

/** The connection of the packet that is held for rules: what they ask for is read when they do. */
class HeldConnection implements HookConnection {
  direction: 'original' | 'reply' = 'original'
  readonly #core: CoreInside['core']
  readonly #exports: CoreInside['exports']
  readonly #view: DataView
  readonly #regions: CoreInside['regions']
  /** 0 until it is asked for. */
  #slot = 0

  constructor({ core, exports, view, regions }: CoreInside) {
    this.#core = core
    this.#exports = exports
    this.#view = view
    this.#regions = regions
  }

  /** It is the one of the packet that is held now. */
  hold(direction: number): void {
    this.direction = direction === 0 ? 'original' : 'reply'
    this.#slot = 0
  }

  get slot(): number {
    return this.#slot ||= this.#exports.handedSlot() >>> 0
  }

  get #at(): number {
    return this.#regions.entries + this.slot * ENTRY_SIZE
  }

  get id(): number {
    return this.#core.idOf(this.slot)
  }

  get status(): number {
    return this.#view.getUint16(this.#at + 48, true)
  }

  get protocol(): number {
    return this.#view.getUint8(this.#at + 36)
  }

  get family(): 4 | 6 {
    return this.#view.getUint8(this.#at + 37) === 4 ? 4 : 6
  }

  get zone(): number {
    return this.#view.getUint16(this.#at + 38, true)
  }

  get zones(): Zones {
    const [directions, zone] = [this.#view.getUint8(this.#at + 75), this.zone]
    return { original: directions & ZONE_DIRECTIONS.original ? zone : 0, reply: directions & ZONE_DIRECTIONS.reply ? zone : 0 }
  }

  get mark(): number {
    return this.#view.getUint32(this.#at + 76, true)
  }

  setMark(mark: number): void {
    this.#exports.markHeld(mark)
  }

  close(): void {
    this.#exports.closeHeld()
  }

  /** Endpoint 0 or 1 of the key. */
  #side(direction: 'original' | 'reply', side: 'src' | 'dst'): number {
    const flipped = (direction === 'reply') !== (side === 'dst') ? 1 : 0
    return this.#view.getUint8(this.#at + 51) ^ flipped
  }

  addressAt(direction: 'original' | 'reply', side: 'src' | 'dst'): number {
    return this.#at + this.#side(direction, side) * 16 + (this.family === 4 ? 12 : 0)
  }

  port(direction: 'original' | 'reply', side: 'src' | 'dst'): number {
    const { protocol } = this
    if (protocol !== 1 && protocol !== 58) return this.#view.getUint16(this.#at + 32 + this.#side(direction, side) * 2, true)
    if (side === 'src') return this.#view.getUint16(this.#at + 32, true)
    const request = this.#view.getUint8(this.#at + 34)
    const type = direction === 'reply' ? answerType(protocol, request) : request
    return type << 8 | this.#view.getUint8(this.#at + 35)
  }

  get timeLeftNs(): bigint {
    if (!(this.status & CONFIRMED)) return 0n
    const left = this.#view.getBigInt64(this.#at + 40, true) - this.#core.now
    return left > 0n ? left : 0n
  }

  get account(): HookConnection['account'] {
    if (!(this.#view.getUint8(this.#at + 75) & ATTACHED_ACCOUNT)) return null
    const at = this.#regions.accounts + this.slot * 32
    const count = (offset: number) => Number(this.#view.getBigUint64(at + offset, true))
    return { packets: [count(0), count(16)], bytes: [count(8), count(24)] }
  }

  get masterHelper(): string | null {
    if (!this.#core.parts.helpers || !(this.status & EXPECTED)) return null
    const helper = this.#view.getUint8(this.#regions.helped + this.slot * HELPED_SIZE + 13)
    return this.#core.helperNames[helper - 1]?.name ?? null
  }

  /** A reset that is taken ends a connection without a reply, and only one that is held for rules can still be seen there. */
  get isDying(): boolean {
    if (this.protocol !== TCP || (this.status & (CONFIRMED | SEEN_REPLY)) !== CONFIRMED) return false
    return this.#view.getUint8(this.#at + 70) === RESET && this.#exports.handedFlags() >> 8 !== RELATED
  }
}
