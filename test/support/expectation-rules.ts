/**
 * How wide each helper's expectations may be: one rule a helper. Everything that a rule does not allow is forbidden, so a
 * payload that makes a helper expect more than its protocol announces is found, whatever is in it.
 */
import type { HelpedConnection, Helper, HelperPacket, NewExpectation } from '../../src/helpers/helper.js'

/** The two ends as a packet sees them. */
interface Ends {
  readonly speaker: string
  readonly listener: string
  readonly client: string
  readonly server: string
}

/** What is allowed; an address that is left out may be any of the connection's IP version. */
interface Rule {
  /** `null`: anybody may open it. */
  readonly src: (ends: Ends, expectation: NewExpectation) => string | null | undefined
  readonly dst: (ends: Ends, expectation: NewExpectation) => string | undefined
  readonly protocols: readonly number[]
  /** Source netmask and source port are given, which otherwise they are not. */
  readonly pinned?: readonly ('srcMask' | 'sport')[]
  readonly flags?: readonly ('permanent' | 'inactive' | 'skipMaster')[]
  /** Helpers that it may assign. */
  readonly assigns?: readonly string[]
}

const TCP = 6
const UDP = 17
const GRE = 47

/** To the side that speaks, from the other one. */
const TO_SPEAKER = { src: ({ listener }: Ends) => listener, dst: ({ speaker }: Ends) => speaker }
const TO_SERVER = { src: ({ client }: Ends) => client, dst: ({ server }: Ends) => server }

const RULES: Readonly<Record<string, Rule>> = {
  ftp: { ...TO_SPEAKER, protocols: [TCP] },
  // The offer does not tell who will take it up.
  irc: { src: () => null, dst: ({ speaker }) => speaker, protocols: [TCP] },
  tftp: { src: ({ server }) => server, dst: ({ client }) => client, protocols: [UDP] },
  amanda: { ...TO_SERVER, protocols: [TCP] },
  sane: { ...TO_SERVER, protocols: [TCP] },
  sip: {
    ...TO_SPEAKER, protocols: [TCP, UDP], flags: ['permanent', 'inactive', 'skipMaster'], assigns: ['sip'],
  },
  pptp: {
    src: ({ client, server }, { dst }) => dst === client ? server : client,
    dst: ({ client, server }, { dst }) => dst === client ? client : server, protocols: [GRE], pinned: ['sport'],
  },
  'netbios-ns': {
    src: ({ server }) => server, dst: ({ client }) => client, protocols: [UDP], pinned: ['srcMask', 'sport'], flags: ['permanent'],
  },
  snmp: {
    src: ({ server }) => server, dst: ({ client }) => client, protocols: [UDP], pinned: ['srcMask', 'sport'], flags: ['permanent'],
  },
  // A gatekeeper names whom to turn to, which may be any host; who turns there is the side that asked.
  RAS: {
    src: ({ listener }) => listener, dst: () => undefined, protocols: [TCP, UDP], flags: ['permanent'], assigns: ['Q.931', 'RAS'],
  },
  // A forwarded call goes to any host; everything else to the speaker.
  'Q.931': {
    src: ({ listener }) => listener, dst: ({ speaker }, { helper }) => helper === 'Q.931' ? undefined : speaker,
    protocols: [TCP, UDP], flags: ['permanent'], assigns: ['Q.931', 'H.245'],
  },
  'H.245': { ...TO_SPEAKER, protocols: [TCP, UDP], flags: ['permanent'] },
}

/** Options that allow more, by what they are called here. */
const WIDER: Readonly<Record<string, Partial<Rule>>> = {
  'ftp loose': { dst: () => undefined },
  'sip indirect': { src: (_, { src }) => src === null ? null : undefined, dst: () => undefined },
  'RAS anybody': { src: (_, { src }) => src === null ? null : undefined },
}

/**
 * What is too wide about an expectation; `null` where nothing is.
 *
 * @param variant options that the helper was made with, as `WIDER` calls them, or nothing
 */
export function tooWide(
  expectation: NewExpectation, helper: Helper, packet: Pick<HelperPacket, 'connection' | 'direction'>, variant = '',
): string | null {
  const rule = { ...RULES[helper.name], ...WIDER[`${helper.name} ${variant}`] }
  const ends = endsOf(packet)
  const { src, dst, dport, protocol } = expectation
  const [wantedSrc, wantedDst] = [rule.src(ends, expectation), rule.dst(ends, expectation)]
  if (wantedSrc !== undefined ? src !== wantedSrc : src === null) return `src ${src}, not ${wantedSrc}`
  if (wantedDst !== undefined && dst !== wantedDst) return `dst ${dst}, not ${wantedDst}`
  if (!isOfFamily(dst, packet.connection) || src !== null && !isOfFamily(src, packet.connection)) return 'of the other IP version'
  if (!Number.isInteger(dport) || dport < 0 || dport > 65535) return `dport ${dport}`
  if (!rule.protocols.includes(protocol)) return `protocol ${protocol}`
  return flagsTooWide(expectation, rule) ?? limitsTooWide(expectation, helper)
}

function flagsTooWide(expectation: NewExpectation, { pinned = [], flags = [], assigns = [] }: Rule): string | null {
  for (const field of ['srcMask', 'sport'] as const) {
    if ((expectation[field] !== undefined) !== pinned.includes(field)) return `${field} ${expectation[field]}`
  }
  for (const flag of ['permanent', 'inactive', 'skipMaster'] as const) {
    if (expectation[flag] && !flags.includes(flag)) return flag
  }
  return expectation.helper !== undefined && !assigns.includes(expectation.helper) ? `assigns ${expectation.helper}` : null
}

function limitsTooWide({ class: number = 0, timeout }: NewExpectation, { classes }: Helper): string | null {
  if (!classes[number]) return `class ${number}`
  return timeout !== undefined && !(timeout >= 0 && timeout <= 17_179_869) ? `timeout ${timeout}` : null
}

function endsOf({ connection: { original }, direction }: Pick<HelperPacket, 'connection' | 'direction'>): Ends {
  const { src: client, dst: server } = original
  const [speaker, listener] = direction === 'original' ? [client, server] : [server, client]
  return { speaker, listener, client, server }
}

function isOfFamily(address: string, { family }: HelpedConnection): boolean {
  return address.includes(':') === (family === 6)
}
