/**
 * Amanda (network backup): the answer of the host that is backed up names the TCP ports on which it sends its data.
 *
 * In: UDP packets of that host, which answers the backup server's request: `CONNECT DATA 50000 MESG 50001 INDEX 50002`
 * in a line. Out: an expectation of the backup server to each port. Each answer keeps its connection for longer, as
 * the next one may take minutes.
 */
import type { HelpedConnection, Helper, HelperTable, HelperVerdict } from './helper.js'
import { findText, readDecimal } from './bytes.js'
import { defineHelper } from './define.js'
import { checkFields, checkFlag, checkSeconds } from './options.js'

export interface AmandaOptions {
  /** Ports of the hosts that are backed up; default 10080. */
  readonly ports?: readonly number[]
  /** Seconds for which the request's connection is kept after an answer; default 300. */
  readonly masterTimeout?: number
  /** A number above 65535 is no port; default false: its high bits are lost, as in Linux (99999 is port 34463). */
  readonly strict?: boolean
}

const CONNECT = 'CONNECT '
const STREAMS = ['DATA ', 'MESG ', 'INDEX ', 'STATE ']
const PORT_DIGITS = 5

/**
 * The helper for Amanda.
 *
 * @throws ConntrackError `invalid-argument`
 */
export function amanda(options: AmandaOptions = {}): Helper {
  checkFields('the options of amanda', options, ['ports', 'masterTimeout', 'strict'])
  const masterTimeout = checkSeconds('masterTimeout', options.masterTimeout ?? 300)
  const strict = checkFlag('strict', options.strict ?? false)
  return defineHelper({
    name: 'amanda',
    protocol: 'udp',
    ports: options.ports ?? [10080],
    classes: [{ name: '', limit: 4, timeout: 180 }],
    inspect({ payload, direction, connection }, table) {
      if (direction !== 'reply') return 'accept'
      table.setTimeout(masterTimeout)
      return expectPorts(findPorts(payload, strict), connection, table)
    },
  })
}

/** The ports of the line that begins with the first CONNECT; one that is 0 ends the list. */
function findPorts(data: Uint8Array, strict: boolean): number[] {
  const connect = findText(data, CONNECT, 0, data.length)
  const end = connect < 0 ? -1 : findText(data, '\n', connect + CONNECT.length, data.length)
  const ports: number[] = []
  for (const stream of STREAMS) {
    const at = end < 0 ? -1 : findText(data, stream, connect + CONNECT.length, end)
    if (at < 0) continue
    const port = readDecimal(data, at + stream.length, 2 ** 16, !strict, PORT_DIGITS).value
    if (port === 0) break
    ports.push(port)
  }
  return ports
}

function expectPorts(ports: readonly number[], { original }: HelpedConnection, table: HelperTable): HelperVerdict {
  let verdict: HelperVerdict = 'accept'
  for (const dport of ports) {
    const added = table.expect({ protocol: 6, src: original.src, dst: original.dst, dport })
    // The other ports of the line are expected all the same.
    if (added !== 'added' && added !== 'already') verdict = 'drop'
  }
  return verdict
}
