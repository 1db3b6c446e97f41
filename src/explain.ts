/**
 * Explanations: from a verdict and the numbers the core recorded to sentences a person can follow. Nothing is judged
 * here again; every number is one that the core compared.
 */
import type { PacketRecord, SideProvenance } from './border.js'
import { TCP_STATES } from './names.js'
import { REASON_SYSCTLS, REASON_TEXTS } from './reasons.js'
import type { Connection, Explanation, Tuple, Verdict } from './types.js'

const KINDS = ['a SYN', 'a SYN/ACK', 'a FIN', 'an ACK', 'a reset', 'a segment without SYN, FIN, ACK or RST']
const ACK = 3

/** What a rule says of a packet, and the packets that set the numbers it says. */
interface Finding {
  readonly text: string
  readonly setBy: readonly number[]
  readonly sysctl: string | null
}

type Rule = (facts: Facts) => Finding

/** What the rules look at. */
interface Facts {
  readonly verdict: Verdict
  readonly record: PacketRecord
  /** Setters of the sender's and of the receiver's values. */
  readonly sender: SideProvenance
  readonly receiver: SideProvenance
  readonly sysctl: Readonly<Record<string, number>>
}

/** Makes the explanation of one packet. */
export function explainPacket(
  verdict: Verdict, record: PacketRecord, sysctl: Readonly<Record<string, number>>,
): Explanation {
  const { original, reply } = record.provenance
  const [sender, receiver] = record.direction === 'original' ? [original, reply] : [reply, original]
  const facts = { verdict, record, sender, receiver, sysctl }
  const finding = findingOf(facts)
  const text = `${stateText(verdict)}: ${finding.text}.`
  return {
    packet: verdict.packet,
    verdict,
    text: `Packet ${verdict.packet} is ${text}`,
    steps: steps(facts, finding),
    setBy: [...new Set(finding.setBy.filter(packet => packet > 0))],
    sysctl: finding.sysctl,
  }
}

function findingOf(facts: Facts): Finding {
  const { record, verdict } = facts
  if (record.announced > 0 && !verdict.reason) return announced(facts)
  return record.entry === 'made' && verdict.state === 'NEW' ? opened(facts) : RULES[record.rule](facts)
}

function stateText({ state, direction, dropped }: Verdict): string {
  if (state === null) return 'never seen by the tracker'
  return `${state}${direction ? ` in the ${direction} direction` : ''}${dropped ? ' and dropped' : ''}`
}

/** A finding that needs no numbers. */
function say(text: string, sysctl: string | null = null, setBy: readonly number[] = []): Finding {
  return { text, sysctl, setBy }
}

/** ", set by packet 14", where it is known. */
function by(packet: number): string {
  return packet > 0 ? `, set by packet ${packet}` : ''
}

function byReason({ verdict }: Facts): Finding {
  const { reason } = verdict
  return reason ? say(REASON_TEXTS[reason], REASON_SYSCTLS[reason] ?? null) : say(plainText(verdict))
}

function plainText(verdict: Verdict): string {
  if (verdict.state === 'NEW') return 'no reply has been seen yet'
  if (verdict.state === 'RELATED') return 'another connection announced its connection, and no reply has been seen yet'
  if (verdict.state === 'ESTABLISHED' && verdict.direction === 'reply') return 'it answers a packet of its connection'
  return 'packets of both directions have been seen'
}

/** The first packet of a connection that another one announced. */
function announced({ record: { announced, after } }: Facts): Finding {
  const where = after ? `connection ${after.master} announced in packet ${announced}` : `packet ${announced} announced`
  return say(`it opens a connection that ${where}`, null, [announced])
}

/** The first packet of a connection. */
function opened({ record, verdict }: Facts): Finding {
  if (record.restarted === 'reopened') return say('its connection was over, and it opens a new one in its place')
  if (record.after?.tcp && record.kind === ACK) {
    return say('it belongs to no known connection, and its ACK picks one up in the middle; what is out of the window is accepted from now on', 'nf_conntrack_tcp_loose=0')
  }
  return say(record.after ? 'it opens a new connection' : plainText(verdict))
}

/** What an ignored packet still gets. */
const IGNORED = 'it keeps its state but moves nothing: neither window, timeout nor counters'

/** By the number of the core's rule (RULE_ in assembly/00-constants.ts). */
const RULES: readonly Rule[] = [
  byReason,
  ignored,
  () => say(`it answers a SYN that was ignored in LAST_ACK, as a challenge to it (RFC 5961); ${IGNORED}`),
  windowSkipped,
  inWindow,
  seqOver,
  seqOvershoot,
  ackOver,
  seqOld,
  ackOld,
  liberal,
  rstBelowAck,
  () => say('it repeats the SYN that opened the connection, and the timeout keeps running from the first one'),
  () => say('a reset ends a connection that no reply had been seen of, and its entry is gone'),
  transition,
  icmpError,
  () => say('a NOTRACK match exempts it'),
  () => say('neighbour and multicast listener discovery are always exempt'),
  facts => say(`${plainText(facts.verdict)}; a UDP connection gets the long timeout with the first packet more than two seconds after its first and after a reply`),
  () => say('packets of both directions have been seen for more than two seconds, so this is a stream with the long timeout, ASSURED'),
  byReason,
  () => say(`its heartbeat or INIT does not fit the association as it stands; ${IGNORED}`),
]

function ignored({ record }: Facts): Finding {
  return say(`${KINDS[record.kind]} changes nothing in state ${TCP_STATES[record.oldState]}; ${IGNORED}`)
}

function windowSkipped({ record }: Facts): Finding {
  const state = TCP_STATES[record.oldState]
  return say(`a reset is accepted with any sequence number in state ${state}, or because it answers the last packet of the other side`)
}

function inWindow({ record, verdict }: Facts): Finding {
  if (record.restarted === 'resynchronised') {
    return say('it answers a SYN that had been ignored, so the connection starts again from that SYN')
  }
  const { seq, sender } = record
  const text = record.checked
    ? `sequence ${seq} is within the window, which reaches to ${sender.maxEnd}; ${plainText(verdict)}`
    : plainText(verdict)
  return say(text)
}

/** The upper bound of the window, and where it comes from. */
function upperBound({ record, sender }: Facts): string {
  const { maxEnd } = record.sender
  if (sender.ack + sender.window >>> 0 !== maxEnd) return `${maxEnd}, the highest it may send${by(sender.maxEnd)}`
  return `${maxEnd}, the highest the other side has allowed: its last acknowledgement ${sender.ack} plus its largest window ${sender.window}${by(sender.maxEnd)}`
}

function seqOver(facts: Facts): Finding {
  const { record, sender } = facts
  return say(`sequence ${record.seq} is over ${upperBound(facts)}`, 'nf_conntrack_tcp_be_liberal=1', [sender.maxEnd])
}

function seqOvershoot(facts: Facts): Finding {
  return say(`it goes over ${upperBound(facts)}, but by no more than the other side's largest window; ${IGNORED}`, null, [facts.sender.maxEnd])
}

function ackOver({ record, receiver }: Facts): Finding {
  const sack = record.sack === record.ack ? `acknowledgement ${record.ack}` : `SACK edge ${record.sack}`
  return say(
    `its ${sack} is over ${record.receiver.end}, the end of all that the other side has sent${by(receiver.end)}`,
    'nf_conntrack_tcp_be_liberal=1', [receiver.end])
}

function seqOld({ record, sender, receiver }: Facts): Finding {
  const { end } = record.sender
  const { maxWindow } = record.receiver
  return say(
    `it ends at ${record.end}, before ${end - maxWindow >>> 0}: what it sent already reaches to ${end}${by(sender.end)}, less the other side's largest window ${maxWindow}${by(receiver.maxWindow)}; ${IGNORED}`,
    null, [sender.end, receiver.maxWindow])
}

function ackOld({ record, receiver }: Facts): Finding {
  const window = Math.max(record.sender.maxWindow, 66_000)
  return say(
    `its acknowledgement ${record.sack} is more than ${window} below ${record.receiver.end}, the end of all that the other side has sent${by(receiver.end)}; ${IGNORED}`,
    null, [receiver.end])
}

function liberal({ sysctl, record }: Facts): Finding {
  const why = sysctl.tcp_be_liberal ? 'nf_conntrack_tcp_be_liberal is 1' : 'the side that sent it was picked up in the middle, or the options of its SYN were not captured'
  return say(
    `sequence ${record.seq} to ${record.end} or acknowledgement ${record.ack} is out of the window, which is accepted because ${why}; the window does not move`,
    sysctl.tcp_be_liberal ? 'nf_conntrack_tcp_be_liberal=0' : null)
}

function rstBelowAck({ record, receiver }: Facts): Finding {
  const peer = record.direction === 'original' ? record.before?.tcp?.reply : record.before?.tcp?.original
  return say(
    `it is a reset below ${peer?.maxAck}, the highest acknowledgement of the other side${by(receiver.maxAck)}`,
    'nf_conntrack_tcp_ignore_invalid_rst=1', [receiver.maxAck])
}

function transition({ record }: Facts): Finding {
  return say(`${KINDS[record.kind]} of the ${record.direction} direction may not come in state ${TCP_STATES[record.oldState]}`)
}

function icmpError(facts: Facts): Finding {
  return facts.verdict.reason ? byReason(facts) : say('it is an ICMP error about a packet of a known connection')
}

/** What was done with the packet, step by step. */
function steps(facts: Facts, finding: Finding): string[] {
  const { verdict, record } = facts
  const found = connectionStep(record)
  const taken = [
    ...(found ? [found] : []),
    ...windowSteps(record),
    `${finding.text[0].toUpperCase()}${finding.text.slice(1)}.`,
    ...helperStep(verdict, record),
    ...timeoutStep(verdict, record),
  ]
  if (finding.sysctl) taken.push(`${finding.sysctl} would change this.`)
  return taken
}

function connectionStep({ entry, before, after, provenance }: PacketRecord): string | null {
  const connection = before ?? after
  if (entry === 'none' || !connection) return null
  if (entry === 'made') return after ? `It opens connection ${after.id}: ${tupleText(after.original)}.` : null
  const opened = provenance.created > 0 ? `, opened by packet ${provenance.created}` : ''
  return `It belongs to connection ${connection.id}, ${tupleText(connection.original)}${opened}${stateNote(connection)}.`
}

function stateNote({ tcpState, sctpState, status }: Connection): string {
  const state = tcpState ?? sctpState
  const bits = status.filter(bit => bit !== 'CONFIRMED').join(', ')
  return `${state ? `, in state ${state}` : ''}${bits ? ` (${bits})` : ''}`
}

function tupleText({ src, dst, sport, dport, type, code, id }: Tuple): string {
  const at = (host: string, port: number | undefined) =>
    port === undefined ? host : host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  const icmp = type === undefined ? '' : ` type ${type} code ${code} id ${id}`
  return `${at(src, sport)} to ${at(dst, dport)}${icmp}`
}

/** The four comparisons of the window check, as they were made. */
function windowSteps({ checked, kind, oldState, newState, seq, end, sack, sender, receiver }: PacketRecord): string[] {
  if (!checked) return []
  const ackWindow = Math.max(sender.maxWindow, 66_000)
  const old = sender.end - receiver.maxWindow >>> 0
  const oldest = receiver.end - ackWindow >>> 0
  const named = newState < TCP_STATES.length ? ` (which leads to ${TCP_STATES[newState]})` : ''
  return [
    `It is ${KINDS[kind]} in state ${TCP_STATES[oldState]}${named}, sequence ${seq} to ${end}.`,
    `Sequence ${seq} ${holds(seq, sender.maxEnd)} ${sender.maxEnd}, the highest it may send.`,
    `Acknowledgement ${sack} ${holds(sack, receiver.end)} ${receiver.end}, the end of what the other side sent.`,
    receiver.maxWindow === 0
      ? 'The other side has not been seen, so nothing can be too old.'
      : `Its end ${end} ${holds(old, end, 'is not below', 'is below')} ${old}, what was sent less the other side's largest window.`,
    `Acknowledgement ${sack} ${holds(oldest, sack, 'is not below', 'is below')} ${oldest}, the oldest that is taken.`,
  ]
}

/** Compares sequence numbers modulo 2^32. */
function holds(low: number, high: number, yes = 'is not over', no = 'is over'): string {
  return (high - low | 0) >= 0 ? yes : no
}

/** What a helper thinks of the packet is known by what it did to it. */
function helperStep({ dropped }: Verdict, { after }: PacketRecord): string[] {
  if (!dropped || !after?.helper) return []
  return [`Its helper ${after.helper} has Linux drop it: what it announces cannot be read, or another connection has announced it already.`]
}

function timeoutStep(verdict: Verdict, { after }: PacketRecord): string[] {
  if (!after || verdict.timeoutMs === null) return []
  return [`The connection has ${verdict.timeoutMs / 1000} s left${after.tcpState ?? after.sctpState ? `, in state ${after.tcpState ?? after.sctpState}` : ''}.`]
}
