import type { PacketRecord } from './border.js'
import type { Explanation, Verdict } from './types.js'

export function explainPacket(verdict: Verdict, record: PacketRecord, _protocol: number, _sysctl: Readonly<Record<string, number>>): Explanation {
  return { packet: verdict.packet, verdict, text: String(record.rule), steps: [], setBy: [], sysctl: null }
}
