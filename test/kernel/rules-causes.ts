/**
 * Why the kernel counts otherwise than we do, where it is not our doing. Each cause is put to the test with the ruleset and
 * packets of the difference, and holds only if the test says so.
 */
import { askLab, type LabAnswer } from '../support/rules-lab.js'
import { again, compare, ticksOf, withoutRefused, type Trial } from './rules-trial.js'

/** How often the kernel is asked again. */
const REPEATS = 5
/** Other networks that are tried: as many as keep all checksums. */
const NETWORKS = [1, 2, 3, 4, 5]
/** Of so many in which it is asked, it must agree with us in all but one. */
const AGREEING = NETWORKS.length - 1

export const CAUSES = {
  kernel: 'the kernel counts otherwise the next time, with every packet in the same clock tick',
  sent: 'the machine sends what none would receive, which Linux does not look at; without these packets it counts as we do',
  hash: 'connlimit: lists that share a bucket of the kernel\'s hash; in other networks it counts as we do',
} as const

export function causeOf(trial: Trial, answer: LabAnswer): keyof typeof CAUSES | null {
  if (answer.refused !== undefined) return null
  if (disagreesWithItself(trial, answer)) return 'kernel'
  if (agreesWithoutRefused(trial)) return 'sent'
  return trial.given.rules.includes('connlimit') && agreesElsewhere(trial) ? 'hash' : null
}

/** Of the same packets in the same clock ticks it does not count again whatever it counted otherwise than we do. */
function disagreesWithItself(trial: Trial, answer: LabAnswer): boolean {
  const same = again(trial, answer)
  const isTicking = trial.given.packets.some(({ ticks }) => ticks !== undefined)
  const answers = askLab(Array.from({ length: REPEATS }, () => same.given))
  const comparable = answers.filter(other => !isTicking || ticksOf(other) === ticksOf(answer)).map(other => compare(same, other))
  const remains = (difference: string) => comparable.every(differences => differences.includes(difference))
  return !compare(trial, answer).some(remains)
}

/** Lengths and options are read of packets that come in, not of those that a raw socket sends. */
function agreesWithoutRefused(trial: Trial): boolean {
  const received = withoutRefused(trial)
  return received !== null && compare(received, askLab([received.given])[0]).length === 0
}

/** All that a kernel sees otherwise when the hosts are renumbered is where its hash functions put them. */
function agreesElsewhere(trial: Trial): boolean {
  const trials = NETWORKS.map(by => renumbered(trial, by))
  const answers = askLab(trials.map(({ given }) => given))
  return answers.filter((answer, i) => compare(trials[i], answer).length === 0).length >= AGREEING
}

/**
 * Hosts 10.0.0.x become (10 - by).0.by.x, and 2001:db8:… become (2001 + by · 10):(db8 - by · 10):…, wherever they are in
 * packets and rules: the sum of each address's words stays, and with it every checksum.
 */
export function renumbered({ given, bytes }: Trial, by: number): Trial {
  const moved = bytes.map(packet => moveBytes(packet, by))
  const [high, low] = wordsOf(by)
  const text = (rules: string) => rules.replaceAll('10.0.0.', `${10 - by}.0.${by}.`)
    .replaceAll('2001:db8:', `${high.toString(16)}:${low.toString(16)}:`)
  const interfaces = Object.fromEntries(Object.entries(given.interfaces).map(([name, prefixes]) => [name, prefixes.map(text)]))
  return {
    bytes: moved,
    given: {
      ...given, interfaces, rules: text(given.rules), local: given.local.map(text),
      packets: given.packets.map((packet, i) => ({ ...packet, bytes: Buffer.from(moved[i]).toString('hex') })),
    },
  }
}

function wordsOf(by: number): [number, number] {
  return [0x2001 + by * 16, 0xdb8 - by * 16]
}

function moveBytes(packet: Uint8Array, by: number): Uint8Array {
  const prefix = wordsOf(by).flatMap(word => [word >> 8, word & 255])
  const moved = packet.slice()
  const isThere = (at: number, wanted: readonly number[]) => wanted.every((byte, i) => packet[at + i] === byte)
  for (let at = 0; at + 4 <= packet.length; at += 2) {
    if (isThere(at, [10, 0, 0])) moved.set([10 - by, 0, by], at)
    if (isThere(at, [0x20, 0x01, 0x0d, 0xb8])) moved.set(prefix, at)
  }
  return moved
}
