/**
 * TFTP (RFC 1350): the server answers a request from a new port, to the port the request came from.
 *
 * In: packets of the request's connection, in either direction. Out: with each read or write request, one expectation
 * of the server to the client's port. It stands before its master is confirmed, as the request is the first packet.
 */
import type { Helper } from './helper.js'
import { readUint16 } from './bytes.js'
import { defineHelper } from './define.js'
import { checkFields } from './options.js'

export interface TftpOptions {
  /** Ports of TFTP servers; default 69. */
  readonly ports?: readonly number[]
}

const READ_REQUEST = 1
const WRITE_REQUEST = 2

/**
 * The helper for TFTP.
 *
 * @throws ConntrackError `invalid-argument`
 */
export function tftp(options: TftpOptions = {}): Helper {
  checkFields('the options of tftp', options, ['ports'])
  return defineHelper({
    name: 'tftp',
    protocol: 'udp',
    ports: options.ports ?? [69],
    inspect({ payload, connection: { reply } }, table) {
      const opcode = readUint16(payload, 0)
      if (opcode !== READ_REQUEST && opcode !== WRITE_REQUEST) return 'accept'
      const added = table.expect({ protocol: 17, src: reply.src, dst: reply.dst, dport: reply.dport ?? 0 })
      return added === 'added' || added === 'already' ? 'accept' : 'drop'
    },
  })
}
