/** What is said to a helper, drawn from a seed, played, and made shorter where it shows something. */
import type { HelpedConnection } from '../../../src/helpers/helper.js'
import { ExpectationTable } from '../expectation-table.js'
import type { Random } from '../random.js'
import { minimise } from '../reduce.js'
import { mutate, type Stock } from './mutate.js'
import { checkState, momentOf, Violation, WatchedTable } from './rules.js'
import type { Said, Seed } from './seeds.js'
import type { Variant } from './variants.js'

/** One payload for the helper. */
export interface Step extends Said {
  /** Index of the connection. */
  readonly connection: number
  readonly established: boolean
  readonly seq: number
}

export interface Script {
  readonly connections: readonly HelpedConnection[]
  /** How many expectations the table has room for. */
  readonly room: number
  readonly steps: readonly Step[]
}

/** How far a play got. */
export interface Played {
  readonly payloads: number
  readonly added: number
  readonly dropped: number
}

const MOST_STEPS = 14
const ROOM = 4096

// Drawing

/** Connections of one seed's parties: the seed's own, and mostly a second one that gets in its way. */
function connectionsOf(random: Random, { family, protocol, client, server, sport, dport }: Seed): HelpedConnection[] {
  const nat = random.chance(12) ? server : client
  return Array.from({ length: 1 + random.below(3) }, (_, i) => {
    const other = i > 0 && random.chance(3)
    const [src, dst, seen] = other ? [server, client, server] : [client, server, nat]
    return {
      id: i + 1, family, protocol, expected: random.chance(8),
      original: { family, protocol, src, dst, sport: sport + i & 0xffff, dport },
      reply: { family, protocol, src: dst, dst: seen, sport: dport, dport: sport + i & 0xffff },
    }
  })
}

/** What a seed says, from a random place on, damaged here and there. */
function damaged(random: Random, { said }: Seed, stock: Stock): Said[] {
  const from = random.chance(2) ? 0 : random.below(said.length)
  const chosen = said.slice(from, from + MOST_STEPS)
  const oneIn = random.pick([2, 3, 8])
  return chosen.flatMap(({ direction, payload }, i): Said[] => {
    const turned = random.chance(40) ? 'reply' : direction
    const bytes = random.chance(oneIn) ? mutate(random, payload, stock) : payload
    switch (random.below(16)) {
      case 0: return split(random, { direction: turned, payload: bytes })
      case 1: return [{ direction: turned, payload: Buffer.concat([bytes, chosen[i + 1]?.payload ?? bytes]) }]
      case 2: return [{ direction: turned, payload: bytes }, { direction: turned, payload: bytes }]
      case 3: return random.chance(3) ? [] : [{ direction: turned, payload: random.pick(stock.others) }]
      default: return [{ direction: turned, payload: bytes }]
    }
  })
}

function split(random: Random, { direction, payload }: Said): Said[] {
  const at = random.below(payload.length + 1)
  return [payload.subarray(0, at), payload.subarray(at)].map(part => ({ direction, payload: part }))
}

/** Puts what is said into the streams of its connections. */
function placed(random: Random, said: readonly Said[], connections: readonly HelpedConnection[]): Step[] {
  const tcp = connections[0].protocol === 6
  const start = random.chance(4) ? 2 ** 32 - random.below(300) - 1 : 1001
  const next = connections.map(() => ({ original: start, reply: start }))
  return said.map(({ direction, payload }, i) => {
    const connection = random.chance(5) ? random.below(connections.length) : 0
    const seq = next[connection][direction] + (random.chance(20) ? random.below(200) - 100 : 0) >>> 0
    next[connection][direction] = seq + payload.length >>> 0
    const established = tcp ? !random.chance(30) : i > 0 && !random.chance(4)
    return { direction, payload, connection, established, seq: tcp ? seq : 0 }
  })
}

export function drawScript(random: Random, seed: Seed, stock: Stock): Script {
  const connections = connectionsOf(random, seed)
  const room = random.chance(6) ? 1 + random.below(4) : ROOM
  return { connections, room, steps: placed(random, damaged(random, seed, stock), connections) }
}

/** A seed up to its message `at`, which is cut in two. */
export function cutScript(seed: Seed, at: number, cut: number): Script {
  const { direction, payload } = seed.said[at]
  const parts = [payload.subarray(0, cut), payload.subarray(cut)].map(part => ({ direction, payload: part }))
  return straightScript({ ...seed, said: [...seed.said.slice(0, at), ...parts] })
}

/** A seed as it is. */
export function straightScript({ family, protocol, client, server, sport, dport, said }: Seed): Script {
  const original = { family, protocol, src: client, dst: server, sport, dport }
  const reply = { family, protocol, src: server, dst: client, sport: dport, dport: sport }
  const next = { original: 1001, reply: 5001 }
  const steps = said.map(({ direction, payload }, i) => {
    const seq = next[direction]
    next[direction] += payload.length
    return { direction, payload, connection: 0, established: protocol === 6 || i > 0, seq: protocol === 6 ? seq : 0 }
  })
  return { connections: [{ id: 1, family, protocol, expected: false, original, reply }], room: ROOM, steps }
}

// Playing

/** Plays a script; throws what the helper throws, or a `Violation`. */
export function play({ helper, loosened }: Variant, { connections, room, steps }: Script): Played {
  const table = new ExpectationTable(room)
  const states = connections.map(() => helper.state?.())
  const tables = connections.map(connection => table.for(connection, helper))
  let added = 0, dropped = 0
  for (const { connection: i, direction, payload, established, seq } of steps) {
    const packet = { payload, direction, established, seq, connection: connections[i], state: states[i] }
    const watched = new WatchedTable(tables[i], helper, momentOf(packet, loosened), payload.length)
    const verdict = helper.inspect(packet, watched)
    if (verdict !== 'accept' && verdict !== 'drop') throw new Violation(`its verdict is ${String(verdict)}`)
    checkState(states[i])
    added += watched.added
    if (verdict === 'drop') dropped++
  }
  return { payloads: steps.length, added, dropped }
}

/** What something throws; `null`: nothing. */
export function failure(action: () => unknown): Error | null {
  try {
    action()
    return null
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

// Making shorter

/** A shortest script that still fails: fewer steps, then fewer bytes in each. As it is where it does not fail again. */
export async function reduced(script: Script, playing: (script: Script) => unknown): Promise<Script> {
  const fails = (steps: readonly Step[]) => failure(() => playing({ ...script, steps })) !== null
  if (!fails(script.steps)) return script
  let steps = await minimise(script.steps, async left => fails(left))
  for (let i = 0; i < steps.length; i++) {
    const withBytes = (bytes: readonly number[]) =>
      steps.map((step, at) => at === i ? { ...step, payload: Uint8Array.from(bytes) } : step)
    if (steps[i].payload.length === 0) continue
    steps = withBytes(await minimise([...steps[i].payload], async bytes => fails(withBytes(bytes))))
  }
  return { ...script, steps }
}

/** A script as text: connections, then a line for each payload, in hex. */
export function scriptText({ connections, room, steps }: Script): string {
  const ends = connections.map(({ original, reply, expected }, i) =>
    `connection ${i}: ${original.src}:${original.sport} > ${original.dst}:${original.dport}`
    + `, protocol ${original.protocol}, seen as ${reply.dst}${expected ? ', expected' : ''}`)
  const hex = (bytes: Uint8Array) => Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')
  const lines = steps.map(({ connection, direction, established, seq, payload }) =>
    `${connection} ${direction} ${established ? 'established' : 'new'} seq ${seq}: ${hex(payload)}`)
  return [...ends, `room for ${room} expectations`, ...lines].join('\n')
}
