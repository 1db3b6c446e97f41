/** What differs from Linux on purpose, each with the test that holds it. */
export interface Difference {
  readonly what: string
  readonly why: string
  /** File in test/, and a test in it. */
  readonly test: readonly [file: string, name: string]
}

export const DIFFERENCES: readonly Difference[] = [
  {
    what: 'A timeout ends at its nanosecond; Linux counts ticks of some milliseconds.',
    why: 'The clock is that of the packets: results depend on nothing else.',
    test: ['unit/tracker.test.ts', 'advance() expires a connection exactly at its deadline and not a nanosecond earlier'],
  },
  {
    what: 'A packet whose time is earlier than one before counts as sent at the latest time seen.',
    why: 'Captures are not always in order; a clock that goes back is one that Linux does not have.',
    test: ['unit/tracker.test.ts', 'the clock never goes back'],
  },
  {
    what: 'Packets are tracked to the end one at a time: `clash_resolve`, `search_restart` and `chaintoolong` stay 0.',
    why: 'They count what processors do to each other.',
    test: ['unit/format.test.ts', 'the counters are a line of conntrack -S, with its tab and its last space'],
  },
  {
    what: 'The table has room for `maxConnections` from the start; the sysctl `max` can be lowered, not raised beyond it.',
    why: 'Memory is bounded.',
    test: ['unit/table-life.test.ts', 'max can be lowered: connections that stand stay, new ones are turned away'],
  },
  {
    what: 'Connections are numbered 1, 2, 3 …; Linux gives them random numbers.',
    why: 'The same input gives the same output.',
    test: ['unit/tracker.test.ts', 'a packet %s ns later belongs to connection %s'],
  },
  {
    what: 'Fragments count as many bytes as packets of a TUN device do; what a network card\'s driver adds is not known.',
    why: 'A capture does not tell.',
    test: ['unit/fragments.test.ts', 'memory is given back when a datagram times out, is complete or discarded'],
  },
  {
    what: 'A packet that the receive path discards has no verdict (`null`) and a reason.',
    why: 'Linux says nothing about it: it never comes to the tracker.',
    test: ['unit/captures.test.ts', '%s: each packet gets the state that the kernel gave it, and the same is expected'],
  },
]
