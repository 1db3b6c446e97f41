/** Linux's clock tick, which `limit` and `connlimit` count in. How long it is, a kernel is built with: CONFIG_HZ=250 here, as Debian has it. */
export const TICK_NS = 4_000_000n
