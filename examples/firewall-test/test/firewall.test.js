import { readFileSync } from 'node:fs'
import test, { beforeEach } from 'node:test'
import { assertDecidedBy, assertPasses, assertStopped, close, conversation, exchange, firewall, handshake, packets } from 'conntrack-wasm/testing'

const rules = readFileSync(new URL('../firewall.rules', import.meta.url), 'utf8')
let machine

// client is 192.0.2.10, server 198.51.100.20, other 203.0.113.30.
beforeEach(() => { machine = firewall(rules, { local: ['198.51.100.20'] }) })

function visit(text) {
  const talk = conversation(text)
  return [...handshake(talk), ...exchange(talk, 'GET / HTTP/1.1\r\n\r\n', 'HTTP/1.1 200 OK\r\n\r\n'), ...close(talk)]
}

test('the web is open to everyone', () => {
  assertPasses(machine, visit('other:40000 > server:80'))
  assertPasses(machine, visit('client:40000 > server:443'))
})

test('ssh is for our network only', () => {
  assertPasses(machine, visit('client:40000 > server:22'))
  assertStopped(machine, visit('other:40000 > server:22'), '-j REJECT')
})

test('what the server asks for is answered', () => {
  assertPasses(machine, visit('server:50000 > other:443'))
})

test('what nobody asked for is dropped as invalid', () => {
  assertDecidedBy(machine, packets('other:40000 > server:80 tcp FPU'), '--ctstate INVALID')
})

test('ftp opens its data connections, and no others', () => {
  const control = conversation('client:40021 > server:21')
  // Linux looks at lines that follow one it has seen: the greeting comes first, as servers send it.
  assertPasses(machine, [...handshake(control), ...exchange(control, '', '220 ready\r\n')])
  assertPasses(machine, [...exchange(control, 'PASV\r\n', '227 Entering Passive Mode (198,51,100,20,200,10)\r\n')])
  assertPasses(machine, visit('client:40022 > server:51210'))
  assertStopped(machine, visit('client:40023 > server:51211'), '-j REJECT')
})

test('ping is limited, and allowed again after a while', () => {
  const ping = packets('other > server icmp echo')
  assertPasses(machine, ping)
  assertPasses(machine, ping.map(each => ({ ...each, afterMs: 1 })))
  machine.wait(5)
  assertPasses(machine, ping)
})

test('the rest is dropped by the policy', () => {
  assertStopped(machine, packets('other:5000 > server:5001 udp'), 'policy')
})
