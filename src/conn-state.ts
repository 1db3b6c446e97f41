/** Zeek's `conn_state` of a connection, from the letters of its history. */

/** What one side has done, as Zeek's TCP analyzer sees it. */
type Side = 'inactive' | 'partial' | 'syn sent' | 'syn/ack sent' | 'established' | 'closed' | 'reset'

/**
 * The code, as Zeek's documentation of conn.log defines it: `S0` `S1` `SF` `REJ` `S2` `S3` `RSTO` `RSTR` `RSTOS0` `RSTRH`
 * `SH` `SHR` `OTH`. UDP has `S0` or `SF`, other protocols `OTH`, as with Zeek.
 *
 * @param history letters, capitals for the original direction
 */
export function connState(protocol: number, history: string): string {
  if (protocol === 17 || protocol === 136) return udpState(history)
  return protocol === 6 ? tcpState(history) : 'OTH'
}

function udpState(history: string): string {
  if (history.includes('D')) return history.includes('d') ? 'SF' : 'S0'
  return history.includes('d') ? 'SHR' : 'OTH'
}

function tcpState(history: string): string {
  const [original, reply] = sides(history)
  const silent = (side: Side) => side === 'inactive' || side === 'partial'
  if (reply === 'reset') {
    const rejected = original === 'syn sent' || original === 'syn/ack sent' || (original === 'reset' && !/[dt]/i.test(history))
    return rejected ? 'REJ' : silent(original) ? 'RSTRH' : 'RSTR'
  }
  if (original === 'reset') return silent(reply) ? 'RSTOS0' : 'RSTO'
  if (original === 'closed' && reply === 'closed') return 'SF'
  if (original === 'closed') return silent(reply) ? 'SH' : 'S2'
  if (reply === 'closed') return silent(original) ? 'SHR' : 'S3'
  if (original === 'syn sent' && reply === 'inactive') return 'S0'
  return original === 'established' && reply === 'established' ? 'S1' : 'OTH'
}

function sides(history: string): [Side, Side] {
  const has = (letter: string) => history.includes(letter)
  // A SYN and its SYN/ACK, whoever sent which, make both sides established.
  const met = (has('S') && has('h')) || (has('s') && has('H'))
  const side = (syn: string, synAck: string, fin: string, rst: string, others: string): Side => {
    if (has(rst)) return 'reset'
    if (has(fin)) return 'closed'
    if (met) return 'established'
    if (has(synAck)) return 'syn/ack sent'
    if (has(syn)) return 'syn sent'
    return [...others].some(has) ? 'partial' : 'inactive'
  }
  return [side('S', 'H', 'F', 'R', 'ADT'), side('s', 'h', 'f', 'r', 'adt')]
}
