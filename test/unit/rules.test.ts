/** Rules: what is read and what is refused, in which order tables and tracker see a packet, and the kit for tests. */
import { createFirewall, parseRules, RulesError } from 'conntrack-wasm/rules'
import {
  assertDecidedBy, assertPasses, AssertionError, assertStopped, close, conversation, exchange, firewall, handshake, packet, packets,
} from 'conntrack-wasm/testing'
import { describe, expect, test } from 'vitest'

const filter = (...rules: string[]) => `*filter\n:FORWARD DROP [0:0]\n${rules.map(rule => `-A FORWARD ${rule}\n`).join('')}COMMIT\n`

describe('what is not understood is an error with its place', () => {
  test.each([
    ['-m nonsense -j ACCEPT', 3, 15, "match 'nonsense' is not understood"],
    ['-p tcp --dport 99999 -j ACCEPT', 3, 27, 'port: \'99999\' is not a whole number up to 65535'],
    ['-j NOSUCH', 3, 15, "there is neither a target nor a chain 'NOSUCH'"],
    ['-s 10.0.0.0/33', 3, 15, 'prefix length'],
    ['-m comment --comment "open', 3, 33, 'a quote that does not end'],
    ['-j ACCEPT !', 3, 22, "'!' is the last word"],
    ['-p tcp --dport 80 --dport 81', 3, 30, '--dport is there twice'],
    ['-j NOTRACK', 3, 15, 'NOTRACK is for the table raw'],
    ['-j REJECT --reject-with tcp-reset', 3, 36, 'needs -p tcp'],
    ['-m conntrack --ctstate NOVEL', 3, 35, "'NOVEL' is none of"],
    ['-m icmp6 --icmpv6-type 1', 3, 15, 'not for IPv4'],
  ])('%s', (rule, line, column, what) => {
    const read = () => parseRules(filter(rule), { family: 4 })
    expect(read).toThrow(RulesError)
    try {
      read()
    } catch (error) {
      expect(error).toMatchObject({ line, column, code: 'bad-rules' })
      expect((error as Error).message).toContain(what)
    }
  })

  test.each([
    ['*filter\n', 'has no COMMIT'], ['*nothing\nCOMMIT\n', "there is no table 'nothing'"], ['-A INPUT -j DROP\n', 'is in no table'],
    ['*filter\nCOMMIT\n*filter\nCOMMIT\n', 'is there twice'], ['*filter\n-A own -j DROP\nCOMMIT\n', "there is no chain 'own'"],
    ['*filter\n:a - [0:0]\n:b - [0:0]\n-A a -j b\n-A b -j a\nCOMMIT\n', 'leads back to itself'],
  ])('%j', (text, what) => expect(() => parseRules(text)).toThrow(what))

  test('a line with several addresses is a rule for each pair of them, up to a limit', () => {
    const [{ chains: [{ rules }] }] = parseRules(filter('-s 10.0.0.1,10.0.0.2/24 -d 10.1,10.2 -j ACCEPT', '-j DROP')).tables
    expect(rules.map(({ number, line, basics }) => [number, line, basics.source?.value.text, basics.destination?.value.text])).toEqual([
      [1, 3, '10.0.0.1', '10.1.0.0'], [2, 3, '10.0.0.1', '10.2.0.0'], [3, 3, '10.0.0.0/24', '10.1.0.0'],
      [4, 3, '10.0.0.0/24', '10.2.0.0'], [5, 4, undefined, undefined],
    ])
    const many = Array.from({ length: 33 }, (_, i) => `10.0.0.${i}`).join(',')
    expect(() => parseRules(filter(`-s ${many} -d ${many} -j ACCEPT`))).toThrow('1089 rules in one line: at most 1024')
  })

  test('what is random is a rule that no packet fits, where that is asked for', () => {
    const text = filter('-m statistic --mode random --probability 0.5 -j ACCEPT', '-j DROP')
    expect(() => parseRules(text)).toThrow('line 3, column 32: statistic: mode random is not understood')
    expect(parseRules(text, { unknown: 'never-match' }).warnings).toMatchObject([{ line: 3, column: 32 }])
  })

  test('with never-match it is a warning, and no packet fits the rule', () => {
    const rules = parseRules(filter('-m nonsense --deep -j ACCEPT', '-j TEE --gateway 10.0.0.1'), { unknown: 'never-match' })
    expect(rules.warnings.map(({ line, column }) => [line, column])).toEqual([[3, 15], [4, 15]])
    const machine = createFirewall(rules)
    expect(machine.judge(packet('client:1 > server:2 udp').bytes)).toMatchObject({ action: 'DROP', by: 'policy' })
    machine.close()
  })

  test('a nat table is read and said not to be evaluated', () => {
    const { tables, warnings } = parseRules('*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j DNAT --to 1.2.3.4\nCOMMIT\n*filter\nCOMMIT\n')
    expect(warnings).toEqual([{ line: 1, column: 2, text: 'table nat is not evaluated' }])
    expect(tables.map(({ name }) => name)).toEqual(['filter'])
  })
})

describe('rules and tracker in the order of the kernel', () => {
  const tracked = (machine: ReturnType<typeof firewall>) => [...machine.firewall.tracker.connections()].length

  test('an answer with a reset closes the connection, one with ICMP does not, and nothing does before it is confirmed', () => {
    const rules = (kind: string) => filter('-p tcp -m tcp --tcp-flags ALL SYN -j ACCEPT', `-p tcp -j REJECT --reject-with ${kind}`)
    const states = (kind: string, ...lines: string[]) => {
      const machine = firewall(rules(kind))
      for (const line of lines) machine.firewall.judge(packet(line).bytes)
      const found = [...machine.firewall.tracker.connections()].map(({ tcpState, timeoutMs }) => `${tcpState} ${timeoutMs / 1000}`)
      machine.firewall.close()
      return found
    }
    const lines = ['client:1 > server:80 tcp S seq=100', 'server:80 > client:1 tcp SA seq=500 ack=101']
    expect(states('tcp-reset', ...lines)).toEqual(['CLOSE 10'])
    expect(states('icmp-port-unreachable', ...lines)).toEqual(['SYN_RECV 60'])
    expect(states('tcp-reset', 'client:1 > server:80 tcp A seq=100 ack=1')).toEqual([])
  })

  test('all rules of a list of recent have the mask of the first that names it', () => {
    const machine = firewall(filter(
      '-p udp -m udp --dport 1 -m recent --set --name l --mask 255.255.255.255 -j ACCEPT',
      '-m recent --rcheck --name l --mask 255.255.255.254 -j ACCEPT'))
    assertPasses(machine, packets('10.0.0.2:9 > server:1 udp'))
    assertPasses(machine, packets('10.0.0.2:9 > server:2 udp'))
    assertStopped(machine, packets('10.0.0.3:9 > server:2 udp'), 'policy')
    machine.firewall.close()
  })

  test('a packet that is dropped before its connection is confirmed leaves no entry', () => {
    const machine = firewall(filter('-p tcp -m tcp --dport 80 -j ACCEPT'))
    assertStopped(machine, packets('client:1 > server:81 tcp S'), 'policy')
    expect(tracked(machine)).toBe(0)
    assertPasses(machine, packets('client:1 > server:80 tcp S'))
    expect(tracked(machine)).toBe(1)
  })

  test('what the raw table exempts is UNTRACKED, and what it drops never comes to the tracker', () => {
    const machine = firewall('*raw\n-A PREROUTING -p udp -j NOTRACK\n-A PREROUTING -p icmp -j DROP\nCOMMIT\n' + filter('-m state --state UNTRACKED -j ACCEPT'))
    const [decision] = assertPasses(machine, packets('client:1 > server:53 udp'))
    expect(decision.verdict.state).toBe('UNTRACKED')
    expect(assertStopped(machine, packets('client > server icmp echo'), '-p icmp')).toMatchObject({ table: 'raw', line: 3, verdict: { state: null } })
    expect(tracked(machine)).toBe(0)
  })

  test('what is INVALID when it leaves over lo can be exempted when it comes in again, what has a connection cannot', () => {
    const rules = '*raw\n-A PREROUTING -j NOTRACK\nCOMMIT\n*filter\n-A INPUT -m state --state UNTRACKED -j DROP\nCOMMIT\n'
    const machine = createFirewall(parseRules(rules), { local: ['198.51.100.20'] })
    const actions = ['SA', 'S'].map(flags => machine.judge(packet(`198.51.100.20:1 > 198.51.100.20:2 tcp ${flags} seq=1`).bytes).action)
    expect(actions).toEqual(['DROP', 'ACCEPT'])
    machine.close()
  })

  test('the raw table gives zones: the same tuple is two connections', () => {
    const rules = parseRules('*raw\n-A PREROUTING -i a -j CT --zone 7\nCOMMIT\n*filter\nCOMMIT\n')
    const machine = createFirewall(rules)
    const { bytes } = packet('client:1 > server:2 tcp S')
    const seen = ['a', 'b'].map(name => machine.judge(bytes, { in: name }).verdict)
    expect(seen.map(({ state }) => state)).toEqual(['NEW', 'NEW'])
    expect([...machine.tracker.connections()].map(({ zone }) => zone).sort()).toEqual([0, 7])
    machine.close()
  })

  test('a mark that rules set is on the connection and in later packets', () => {
    const text = '*mangle\n-A PREROUTING -m connmark --mark 0x5 -j ACCEPT\n-A PREROUTING -j CONNMARK --set-xmark 0x5/0xffffffff\nCOMMIT\n' + filter('-m connmark --mark 0x5 -j ACCEPT')
    const machine = firewall(text)
    assertPasses(machine, packets('client:1 > server:2 udp\nserver:2 > client:1 udp'))
    expect([...machine.firewall.tracker.connections()][0].mark).toBe(5)
    expect(machine.firewall.counters().filter(({ table, rule }) => table === 'mangle' && rule !== null).map(each => each.packets)).toEqual([1, 1])
  })

  test('helpers are given by rules only, and what they announce is RELATED', () => {
    const open = filter('-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT', '-p tcp -m tcp --dport 21 -j ACCEPT')
    const run = (rules: string) => {
      const machine = firewall(rules)
      const control = conversation('client:4000 > server:21')
      assertPasses(machine, [...handshake(control), ...exchange(control, '', '220 ready\r\n'), ...exchange(control, 'PASV\r\n', '227 Entering Passive Mode (198,51,100,20,200,10)\r\n')])
      return machine.send(packets('client:4001 > server:51210 tcp S'))[0].decision.action
    }
    expect(run('*raw\n-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp\nCOMMIT\n' + open)).toBe('ACCEPT')
    expect(run(open)).toBe('DROP')
  })

  test('forwarding drops what has no time to live left, between the hooks', () => {
    const machine = firewall('*mangle\n-A PREROUTING -j ACCEPT\n-A FORWARD -j ACCEPT\nCOMMIT\n*filter\nCOMMIT\n')
    expect(machine.send(packets('client:1 > server:2 udp ttl=1'))[0].decision).toMatchObject({ action: 'DROP', by: 'ttl' })
    expect(machine.firewall.counters().filter(({ rule }) => rule !== null).map(({ chain, packets: n }) => [chain, n])).toEqual([['PREROUTING', 1], ['FORWARD', 0]])
  })

  test('two machines with one ruleset remember each for itself', () => {
    const rules = parseRules(filter('-m limit --limit 1/hour --limit-burst 1 -j ACCEPT'))
    const [one, two] = [createFirewall(rules), createFirewall(rules)]
    const { bytes } = packet('client:1 > server:2 udp')
    expect([one, one, two].map(machine => machine.judge(bytes, { time: 1n }).action)).toEqual(['ACCEPT', 'DROP', 'ACCEPT'])
    one.close()
    two.close()
  })

  test('behind CT, rules of the raw table see a connection that is new, and confirmed', () => {
    const rules = ['-j CT --zone 1', '-m conntrack --ctstate NEW', '-m conntrack --ctstatus CONFIRMED', '-m conntrack --ctstatus ASSURED']
    const machine = firewall(`*raw\n${rules.map(rule => `-A PREROUTING ${rule}\n`).join('')}COMMIT\n`)
    machine.send(packets('client:1 > server:2 udp'))
    expect(machine.firewall.counters().filter(({ rule }) => rule !== null).map(({ packets: n }) => n)).toEqual([1, 1, 1, 0])
  })

  test('a packet that a match found broken counts at the rule that it fits, and is dropped all the same', () => {
    const rule = '-p sctp -m sctp ! --chunk-types any DATA -m connlimit --connlimit-upto 9 -j ACCEPT'
    const machine = createFirewall(parseRules(filter(rule)))
    // Two bytes where a chunk's header has four.
    const short = Buffer.from('4500002200000000408466560a0000010a000002' + '03e807d00000000000000000' + '0000', 'hex')
    expect(machine.judge(short, { linkType: 'raw' })).toMatchObject({ action: 'DROP', by: 'malformed' })
    expect(machine.counters().filter(({ rule }) => rule !== null)).toMatchObject([{ packets: 1, bytes: 34 }])
    machine.close()
  })
})

describe('connlimit counts what Linux 6.18 counts', () => {
  const rules = [0, 1, 2, 3, 4].map(most => `-m connlimit --connlimit-above ${most} --connlimit-mask 0`)

  /** How many connections each packet found open; `null` where it was dropped for there being none. */
  function counts(...lines: string[]): (number | null)[] {
    const machine = firewall(filter(...rules, '-j ACCEPT'))
    const counted = () => machine.firewall.counters().filter(({ rule }) => rule !== null).map(({ packets: n }) => n)
    return lines.map(line => {
      const before = counted()
      const [{ decision }] = machine.send(packets(`+8 ${line}`))
      return decision.by === 'malformed' ? null : counted().slice(0, -1).filter((n, i) => n > before[i]).length
    })
  }

  const syn = (port: number) => `client:${port} > server:80 tcp S seq=0`
  const reset = (port: number) => `server:80 > client:${port} tcp RA ack=1`

  test('a packet forgets what is over up to its own connection, and leaves what is behind it', () => {
    expect(counts(syn(1), syn(2), reset(1), syn(2), syn(3))).toEqual([1, 2, 2, 2, 2])
    expect(counts(syn(2), syn(1), 'server:80 > client:1 tcp RA ack=1', syn(3))).toEqual([1, 2, 2, 2])
    expect(counts(syn(2), syn(1), syn(3), reset(1), syn(2), syn(2))).toEqual([1, 2, 3, 3, 3, 3])
  })

  test('a reset that ends its own connection forgets it, and counts it anew behind all others; one that closes it does not', () => {
    const data = (port: number) => `client:${port} > server:80 tcp A seq=1 ack=1`
    const resetBy = (port: number) => `client:${port} > server:80 tcp R seq=1`
    const answer = (flag: string) => `server:80 > client:1 tcp ${flag} seq=1 ack=1`
    expect(counts(data(1), data(2), resetBy(2), answer('A'), answer('R'), data(3))).toEqual([1, 2, 2, 2, 2, 1])
    expect(counts(data(1), data(2), resetBy(1), data(2), data(3))).toEqual([1, 2, 2, 2, 2])
    expect(counts(data(1), resetBy(1), resetBy(1), data(2))).toEqual([1, 1, 1, 1])
  })

  test('that is a look: of the packets behind it in its clock tick none forgets', () => {
    const started = () => {
      const machine = firewall(filter('-m connlimit --connlimit-above 1 -j DROP', '-j ACCEPT'))
      assertPasses(machine, packets('client:1 > server:80 tcp A seq=1 ack=1\n+8 client:1 > server:80 tcp R seq=1'))
      return machine
    }
    assertStopped(started(), packets(syn(1)), 3)
    assertPasses(started(), packets(`+8 ${syn(1)}`))
  })

  test('a tuple is looked for in the zones of its packet, and its own where the connection was opened in its zone', () => {
    const raw = (zone: string) => `*raw\n-A PREROUTING -p tcp -m tcp --sport 80 -j NOTRACK\n-A PREROUTING -p tcp -j CT ${zone}\nCOMMIT\n`
    const answers = (zone: string) => {
      const machine = firewall(raw(zone) + filter('-p tcp -m tcp --sport 80 -m connlimit --connlimit-above 1 --connlimit-mask 0 -j DROP', '-j ACCEPT'))
      machine.send(packets(syn(1)))
      return [1, 2].map(() => machine.send(packets('+8 server:80 > client:1 tcp SA seq=1 ack=1'))[0].decision.action)
    }
    expect(answers('--zone-reply 1')).toEqual(['ACCEPT', 'ACCEPT'])
    expect(answers('--zone-orig 1')).toEqual(['ACCEPT', 'DROP'])
  })

  test('an IPv6 packet that says that nothing follows has no tuple, and is dropped', () => {
    const rules = '*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m connlimit --connlimit-upto 9 -j ACCEPT\nCOMMIT\n'
    const judged = (hex: string, family: 4 | 6) => {
      const machine = createFirewall(parseRules(rules, { family }))
      const { action, by } = machine.judge(Buffer.from(hex, 'hex'), { linkType: 'raw' })
      machine.close()
      return `${action} ${by}`
    }
    const addresses = '20010db8000a0000000000000000000120010db8000b00000000000000000002'
    expect(judged(`6000000000033b40${addresses}000000`, 6)).toBe('DROP malformed')
    expect(judged(`6000000000033d40${addresses}000000`, 6)).toBe('ACCEPT rule')
    expect(judged('450000170000000040 3b66aa 0a000001 0a000002 000000'.replaceAll(' ', ''), 4)).toBe('ACCEPT rule')
  })

  test('of packets in one clock tick only the first forgets', () => {
    const machine = firewall(filter('-m connlimit --connlimit-above 1 -j DROP', '-j ACCEPT'))
    assertPasses(machine, packets(syn(1)))
    assertPasses(machine, packets(reset(1)))
    assertStopped(machine, packets(syn(1)), 3)
  })

  test('a packet of an ASSURED connection adds nothing, and is dropped where nothing is left', () => {
    const machine = firewall(filter('-m length --length 45:200 -m connlimit --connlimit-above 9 --connlimit-mask 0', '-p udp -j DROP', '-j ACCEPT'))
    const talk = conversation('client:1 > server:80')
    assertPasses(machine, handshake(talk))
    assertStopped(machine, packets('client:2 > server:81 udp len=30'), 4)
    machine.wait(1)
    const [{ decision }] = machine.send(exchange(talk, 'question', 'answer'))
    expect(decision).toMatchObject({ action: 'DROP', by: 'malformed' })
  })
})

describe('the kit for tests', () => {
  const machine = () => firewall(filter('-m state --state INVALID -j DROP', '-m state --state ESTABLISHED -j ACCEPT', '-p tcp -m tcp --dport 80 -j ACCEPT'))

  test('a whole conversation passes, packet for packet ESTABLISHED as Linux has it', () => {
    const talk = conversation('client:4000 > server:80')
    const decisions = assertPasses(machine(), [...handshake(talk), ...exchange(talk, 'hello', 'good day'), ...close(talk)])
    expect(decisions.map(({ verdict }) => verdict.state)).toEqual(['NEW', ...Array(9).fill('ESTABLISHED')])
  })

  test('an assertion that does not hold names packet, rule and line, and tells the walk', () => {
    const failing = () => assertPasses(machine(), packets('client:1 > server:80 tcp SF'))
    expect(failing).toThrow(AssertionError)
    expect(failing).toThrow("'client:1 > server:80 tcp SF' should pass, but: DROP by rule 1 of chain FORWARD in table filter (line 3): -A FORWARD -m state --state INVALID -j DROP")
    expect(failing).toThrow('holds: state INVALID')
  })

  test('what should be stopped and passes, or is stopped by another rule, fails', () => {
    expect(() => assertStopped(machine(), packets('client:1 > server:80 tcp S'))).toThrow('should be stopped, but: ACCEPT')
    expect(() => assertStopped(machine(), packets('client:1 > server:81 tcp S'), 3)).toThrow('should be stopped by line 3, but: DROP by the policy')
    expect(() => assertDecidedBy(machine(), packets('client:1 > server:81 tcp S'), /INVALID/)).toThrow('should be decided by the rule')
    expect(assertStopped(machine(), packets('client:1 > server:80 tcp SF'), 3)).toMatchObject({ line: 3 })
  })

  test('an assertion about nothing is refused, and says what it takes', () => {
    for (const none of [[], packets('# nothing')]) {
      expect(() => assertPasses(machine(), none)).toThrow('about no packets')
      expect(() => assertStopped(machine(), none)).toThrow('about no packets')
      expect(() => assertDecidedBy(machine(), none, 'policy')).toThrow('about no packets')
    }
    expect(() => assertPasses(machine(), packet('client:1 > server:80 tcp S') as never)).toThrow('takes a list of packets')
  })

  test('a rule is found by an expression however often it is asked', () => {
    assertDecidedBy(machine(), packets('client:1 > server:80 tcp S\nclient:2 > server:80 tcp S\nclient:3 > server:80 tcp S'), /dport/g)
  })

  test('runners are told what was expected and what came', () => {
    try {
      assertPasses(machine(), packets('client:1 > server:81 tcp S'))
      expect.unreachable()
    } catch (error) {
      expect(error).toMatchObject({ name: 'AssertionError', expected: 'should pass', actual: 'DROP by the policy of chain FORWARD in table filter (line 2)' })
    }
  })

  test('time passes when a test says so', () => {
    const limited = firewall(filter('-m limit --limit 1/min --limit-burst 1 -j ACCEPT'))
    const ping = packets('client > server icmp echo')
    assertPasses(limited, ping)
    assertStopped(limited, ping, 'policy')
    limited.wait(61)
    assertPasses(limited, ping)
  })

  test.each([
    ['client server tcp S', 'is needed'], ['nobody:1 > server:2 udp', "there is no host 'nobody'"], ['client:1 > server:2 tcp X', 'letters of'],
    ['client:99999 > server:2 udp', 'too high'], ['client:1 > server:2 udp what=1', "'what' is not understood"], ['client > server quic', 'no protocol number'],
    ['client > server icmp shout', 'is no ICMP message'], ['client > server tcp S', 'tcp needs a port at both ends'],
    ['client:1 > server6:2 udp', 'different IP versions'], ['client:1 > server:2 udp ttl=256', 'ttl is no whole number up to 255'],
    ['client:1 > server:2 tcp S seq=1 seq=2', 'seq is there twice'], ['client:1 > server:2 udp len=65508', 'a packet has at most 65535'],
  ])('a line that is wrong says so: %s', (line, what) => expect(() => packet(line)).toThrow(what))

  test.each([
    ['client:1 > server:2 tcp S', 'NEW'], ['client6:1 > server6:2 tcp S opt=020405b4', 'NEW'], ['client:1 > server:2 udp len=3', 'NEW'], ['client6:1 > server6:2 udp', 'NEW'],
    ['client > server icmp echo', 'NEW'], ['client6 > server6 icmp6 echo', 'NEW'], ['client:1 > server:2 sctp INIT', 'NEW'], ['client > server 47 len=20', 'NEW'],
  ])('checksums are right: %s', (line, state) => {
    const open = firewall(['*filter\nCOMMIT\n', '# Generated by ip6tables-save\n*filter\nCOMMIT\n'])
    expect(open.send([packet(line)])[0].decision).toMatchObject({ action: 'ACCEPT', verdict: { state } })
  })
})
