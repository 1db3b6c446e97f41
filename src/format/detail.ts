/** `classify --json --detail`: the whole table entry after a packet, as a plain object. */
import { protocolName } from '../names.js'
import type { Connection, TcpInfo, Tuple } from '../types.js'

/** One direction of the entry, the protocol by name. */
interface TupleDetail extends Omit<Tuple, 'family' | 'protocol'> {
  readonly protocol: string
}

/** The value of `"entry"`; `tcp` only where the entry is a TCP connection's. */
export interface EntryDetail extends Pick<
  Connection, 'zone' | 'mark' | 'status' | 'helper' | 'master' | 'timeoutMs' | 'packets' | 'bytes'
> {
  readonly original: TupleDetail
  readonly reply: TupleDetail
  readonly tcp?: TcpInfo
}

/** What `--detail` tells of an entry, keys in the order in which they are written. */
export function entryDetail(connection: Connection): EntryDetail {
  const { zone, mark, status, helper, master, timeoutMs, packets, bytes, tcp } = connection
  const entry = {
    original: tupleDetail(connection.original), reply: tupleDetail(connection.reply),
    zone, mark, status, helper, master, timeoutMs, packets, bytes,
  }
  return tcp === null ? entry : { ...entry, tcp }
}

function tupleDetail(tuple: Tuple): TupleDetail {
  const { family: _, src, dst, protocol, ...rest } = tuple
  return { src, dst, protocol: protocolName(protocol), ...rest }
}
