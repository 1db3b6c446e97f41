/**
 * One packet among rules: read, shown to the raw table, tracked, shown to the other tables while its connection is held, and
 * let go. In: a core from within, the packet, the hooks. The main entry does without this.
 */
import { answerType, ATTACHED_ACCOUNT, ENTRY_SIZE, HELPED_SIZE, MAX_PACKET, ZONE_DIRECTIONS, type CoreInside } from '../border.js'
import type { Assignment, HookConnection, HookPacket, PacketHooks, Tuple, Zones } from '../hooks.js'
import { STATES, STATUS_BITS, TCP_STATES, VERDICT_DROPPED, type State } from '../names.js'
import type { PacketInSteps } from '../tracker.js'

const EXPECTED = 1 << STATUS_BITS.indexOf('EXPECTED')
const CONFIRMED = 1 << STATUS_BITS.indexOf('CONFIRMED')
const SEEN_REPLY = 1 << STATUS_BITS.indexOf('SEEN_REPLY')
const ESTABLISHED = STATES.indexOf('ESTABLISHED')
const TCP = 6
const GRE = 47
const CLOSING_STATES: readonly number[] = [TCP_STATES.indexOf('TIME_WAIT'), TCP_STATES.indexOf('CLOSE')]

/** What rules may ask the table. */
type Table = Pick<HookPacket, 'find' | 'statusAt' | 'isClosing'>

/** Classifies a packet with rules around it, for `Tracker.trackInSteps`. */
export function trackAmong(hooks: PacketHooks): (inside: object, packet: PacketInSteps) => void {
  let table: Table | null = null
  return (opaque, { bytes, wireLength, linkType, time }) => {
    const inside = opaque as CoreInside
    const { exports } = inside
    table ??= tableOf(inside)
    const length = Math.min(bytes.length, MAX_PACKET)
    inside.bytes.set(length === bytes.length ? bytes : bytes.subarray(0, length), inside.regions.input)
    const reaches = exports.readForRules(length, wireLength, linkType, time) !== 0
    const packet = reaches ? hookPacket(inside, linkType, time, table) : null
    const assigned = packet && hooks.before(packet)
    inside.verdicts.count = 1
    if (!packet || !assigned) {
      exports.dropBeforeRules()
    } else {
      trackAssigned(inside, assigned)
      judge(inside, packet, hooks)
    }
    inside.drain()
  }
}

function hookPacket(
  { exports, bytes, regions }: CoreInside, linkType: number, time: bigint, table: Table,
): HookPacket {
  const network = exports.ruledNetwork() >>> 0
  return {
    data: bytes, frame: regions.input, network, end: exports.ruledEnd() >>> 0, length: exports.ruledLength() >>> 0,
    linkType, time, family: bytes[network] >> 4 === 4 ? 4 : 6, ...table,
  }
}

/** What a tuple is looked up with: addresses and ports where a packet has them. */
const TUPLE_HEADERS = 48

/** Looks into the table while a packet is held. What the look leaves in the packet's own key nobody reads any more. */
function lookIn(inside: CoreInside): HookPacket['find'] {
  const { bytes, regions, core } = inside
  return tuple => {
    const { original, reply } = tuple.zones
    const packet = bytes.slice(regions.input, regions.input + TUPLE_HEADERS)
    let slot = slotIn(inside, tuple, original)
    if (original !== reply && (slot === 0 || !isOriginal(inside, slot, tuple))) {
      slot = slotIn(inside, tuple, reply)
      if (slot !== 0 && isOriginal(inside, slot, tuple)) slot = 0
    }
    bytes.set(packet, regions.input)
    return slot === 0 ? null : { slot, id: core.idIn(slot) }
  }
}

function slotIn({ core }: CoreInside, { family, protocol, headers }: Tuple, zone: number): number {
  const width = family === 4 ? 4 : 16
  return core.slotOfTuple(
    family, protocol, headers.subarray(0, width), headers.subarray(width, 2 * width), headers.subarray(2 * width), zone)
}

/** The tuple is that of the connection's original direction: it comes from who sent the first packet. */
function isOriginal({ view, regions }: CoreInside, slot: number, { family, protocol, headers }: Tuple): boolean {
  const at = regions.entries + slot * ENTRY_SIZE
  const width = family === 4 ? 4 : 16
  const [from, transport] = [at + view.getUint8(at + 51) * 16 + 16 - width, 2 * width]
  if (protocol === 1 || protocol === 58) return headers[transport] === view.getUint8(at + 34)
  const port = view.getUint16(at + 32 + view.getUint8(at + 51) * 2, true)
  if (protocol !== GRE && port !== (headers[transport] << 8 | headers[transport + 1])) return false
  for (let i = 0; i < width; i++) if (view.getUint8(from + i) !== headers[i]) return false
  return true
}

function tableOf(inside: CoreInside): Table {
  const { view, regions, core } = inside
  const entry = (slot: number) => regions.entries + slot * ENTRY_SIZE
  return {
    find: lookIn(inside),
    statusAt: ({ slot, id }) => {
      const at = entry(slot)
      const status = view.getUint16(at + 48, true)
      const isThere = (status & CONFIRMED) !== 0 && view.getUint32(at + 52, true) === id && view.getBigInt64(at + 40, true) > core.now
      return isThere ? status : 0
    },
    isClosing: ({ slot }) => view.getUint8(entry(slot) + 36) === TCP && CLOSING_STATES.includes(view.getUint8(entry(slot) + 50)),
  }
}

function trackAssigned({ exports, core }: CoreInside, { notrack, local, zone, zoneDirection, policy, helper }: Assignment): void {
  const number = helper === null ? 0 : core.helperNames.findIndex(({ name }) => name === helper) + 1
  exports.trackForRules(notrack ? 1 : 0, local ? 1 : 0, zone, ZONE_DIRECTIONS[zoneDirection], policy, number)
}

function judge(inside: CoreInside, packet: HookPacket, hooks: PacketHooks): void {
  const { exports, verdicts, resume } = inside
  if (exports.isHeld()) {
    const passes = hooks.after(packet, STATES[exports.handedFlags() >> 8] as State, new HeldConnection(inside))
    exports.resumeHeldPacket(passes ? 0 : 1)
    if (exports.isHandedOver()) resume()
    return
  }
  const state = STATES[verdicts.state[0]]
  const isSeen = state !== null && !(verdicts.flags[0] & VERDICT_DROPPED)
  if (isSeen) hooks.after(packet, state, null)
}

/** The connection of the packet that is held for rules: what they ask for is read when they do. */
class HeldConnection implements HookConnection {
  readonly slot: number
  readonly direction: 'original' | 'reply'
  readonly #core: CoreInside['core']
  readonly #exports: CoreInside['exports']
  readonly #view: DataView
  readonly #regions: CoreInside['regions']
  readonly #at: number

  constructor({ core, exports, view, regions }: CoreInside) {
    this.#core = core
    this.#exports = exports
    this.#view = view
    this.#regions = regions
    this.slot = exports.handedSlot() >>> 0
    this.#at = regions.entries + this.slot * ENTRY_SIZE
    this.direction = exports.handedFlags() & 1 ? 'reply' : 'original'
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
    return this.#core.zoneOf(this.slot)
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

  /** Every reply but the reset that ends a connection without one is noted before rules see it. */
  get isDying(): boolean {
    const isReply = this.direction === 'reply' && this.#exports.handedFlags() >> 8 === ESTABLISHED
    return isReply && !(this.status & SEEN_REPLY)
  }
}
