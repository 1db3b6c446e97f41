/** Accounting: packets and bytes of each direction of a connection, kept with sysctl acct. */
import { ACCOUNT_SIZE, accountOf, ATTACHED_ACCOUNT, Entry, Packet } from './01-records'

// @ts-ignore: decorator
@inline export function account(p: Packet, e: Entry, direction: u32): void {
  if (!(e.attached & ATTACHED_ACCOUNT)) return
  const at = changetype<u32>(accountOf(e)) + direction * (ACCOUNT_SIZE / 2)
  store<u64>(at, load<u64>(at) + 1)
  store<u64>(at, load<u64>(at, 8) + p.networkLength, 8)
}
