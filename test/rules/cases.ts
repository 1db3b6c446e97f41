/**
 * Rulesets of the kinds that people run, and packets that meet them. `NAME.rules` has the rules; `NAME.pcap` the packets as they were
 * sent to a kernel, with the times at which they were; `NAME.counters.txt` what it counted (`npm run rules:record`).
 */
import { close, conversation, exchange, handshake, packets, type Hosts, type TestPacket } from 'conntrack-wasm/testing'

export interface RulesCase {
  readonly name: string
  readonly family: 4 | 6
  readonly local: readonly string[]
  readonly interfaces: Readonly<Record<string, readonly string[]>>
  /** Packets begin with an Ethernet header; the sender's address ends as its IP address does. */
  readonly ethernet?: boolean
  /** Addresses of the machine are those of the interface that their network is behind, and not of `lo`. */
  readonly attached?: boolean
  readonly packets: readonly TestPacket[]
}

const HOSTS: Hosts = {
  lan2: '192.0.2.11', lan3: '192.0.2.200', bad: '203.0.113.66', private: '10.1.1.1', lo: '127.0.0.1', node: '10.0.0.5', pod: '10.244.1.7',
  pod2: '10.244.2.8', service: '10.96.0.10', web: '172.17.0.2', box: '172.18.0.3',
}

const EVERYTHING_4 = { eth0: ['0.0.0.0/0'] }
const SERVER = ['198.51.100.20']

/** A whole TCP conversation. */
function tcp(text: string, request = 'hello', response = 'good day'): TestPacket[] {
  const talk = conversation(`${text} tcp`, HOSTS)
  return [...handshake(talk), ...exchange(talk, request, response), ...close(talk)]
}

function udp(text: string, request = 'question', response = 'answer'): TestPacket[] {
  return exchange(conversation(`${text} udp`, HOSTS), request, response)
}

const lines = (text: string) => packets(text, HOSTS)

const wholePacket = (line: string) => `inner='${line}'`

/** An FTP client in passive and active mode. */
function ftp(client: string, server: string, passive: string, active: string): TestPacket[] {
  const control = conversation(`${client}:40021 > ${server}:21`, HOSTS)
  return [
    ...handshake(control), ...exchange(control, '', '220 ready\r\n'), ...exchange(control, 'USER anonymous\r\n', '331 fine\r\n'),
    ...exchange(control, passive.startsWith('229') ? 'EPSV\r\n' : 'PASV\r\n', passive), ...tcp(`${client}:40022 > ${server}:51210`),
    ...exchange(control, active, '200 PORT command successful\r\n'), ...tcp(`${server}:20 > ${client}:51211`),
    ...tcp(`${client}:40023 > ${server}:51212`), ...close(control),
  ]
}

const SIP_INVITE = [
  'INVITE sip:bob@198.51.100.20 SIP/2.0', 'Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK1', 'From: <sip:alice@192.0.2.10>;tag=1',
  'To: <sip:bob@198.51.100.20>', 'Call-ID: 1@192.0.2.10', 'CSeq: 1 INVITE', 'Contact: <sip:alice@192.0.2.10:5060>', 'Content-Type: application/sdp',
  'Content-Length: 129', '', 'v=0', 'o=alice 1 1 IN IP4 192.0.2.10', 's=-', 'c=IN IP4 192.0.2.10', 't=0 0', 'm=audio 49170 RTP/AVP 0', 'a=rtpmap:0 PCMU/8000', 'a=sendrecv', '',
].join('\r\n')

export const CASES: readonly RulesCase[] = [
  {
    name: 'laptop', family: 4, local: ['192.0.2.10'], interfaces: EVERYTHING_4,
    packets: [
      ...tcp('client:40000 > server:443'), ...udp('client:5353 > server:53'), ...tcp('server:50000 > client:22'), ...udp('lo:3000 > lo:4000'),
      ...lines(`server > client icmp echo\nclient > server icmp reply\nserver > client icmp echo seq=2\nserver > client icmp echo id=9
        server > client icmp echo id=10\nother:67 > client:68 udp len=200\nserver:443 > client:40009 tcp SA\nother:1 > client:5000 udp
        client:5000 > server:5001 udp\nserver > client icmp unreach code=3 ${wholePacket('client:5000 > server:5001 udp')}
        server > client icmp unreach code=3 ${wholePacket('client:5000 > server:5002 udp')}`),
      ...lines(Array.from({ length: 14 }, (_, i) => `bad:${1000 + i} > client:${2000 + i} tcp S`).join('\n')),
    ],
  },
  {
    name: 'web', family: 4, local: SERVER, interfaces: EVERYTHING_4,
    packets: [
      ...tcp('client:40000 > server:80'), ...lines('+20 client:40001 > server:80 tcp S\n+20 client:40002 > server:80 tcp S\n+20 client:40003 > server:80 tcp S\n+20 other:40001 > server:80 tcp S'),
      ...tcp('other:40010 > server:443', 'x'.repeat(900), 'y'.repeat(1200)), ...tcp('client:50022 > server:22'), ...tcp('other:50022 > server:22'),
      ...lines('client:1 > server:80 tcp A\nclient:2 > server:443 tcp F\nclient:3 > server:443 tcp -\nclient:4 > server:7 udp\nclient > server icmp echo'),
    ],
  },
  {
    name: 'ftp', family: 4, local: SERVER, interfaces: EVERYTHING_4,
    packets: ftp('client', 'server', '227 Entering Passive Mode (198,51,100,20,200,10)\r\n', 'PORT 192,0,2,10,200,11\r\n'),
  },
  {
    name: 'router', family: 4, local: ['192.0.2.1'], interfaces: { lan: ['192.0.2.0/24'], wan: ['0.0.0.0/0'] },
    packets: [
      ...tcp('client:40000 > server:80'), ...udp('lan2:5000 > other:53'), ...tcp('server:40001 > client:443'), ...tcp('other:40001 > lan2:443'),
      ...lines(`server > client icmp echo\nserver > client icmp echo len=200\nclient:7 > server:8 udp ttl=1\nclient:9 > server:8 udp ttl=2
        client > router icmp echo\nrouter > client icmp reply\nserver:1 > client:2 udp\nother:1 > client:2 udp`),
    ],
  },
  {
    name: 'bastion', family: 4, local: SERVER, interfaces: EVERYTHING_4,
    packets: [
      ...tcp('client:40001 > server:22'), ...tcp('client:40002 > server:22'), ...tcp('other:40002 > server:22'), ...tcp('client:40003 > server:22'),
      ...tcp('client:40004 > server:22'), ...tcp('client:40005 > server:22'), ...tcp('server:50000 > client:22'), ...tcp('server:50000 > other:22'),
      ...udp('server:50000 > other:53'), ...udp('client:50000 > server:53'), ...lines('client > server icmp echo'),
    ],
  },
  {
    name: 'docker', family: 4, local: [], interfaces: { docker0: ['172.17.0.0/16'], 'br-1': ['172.18.0.0/16'], eth0: ['0.0.0.0/0'] },
    packets: [
      ...tcp('web:40000 > server:443'), ...tcp('client:40000 > web:80'), ...tcp('client:40000 > web:8080'), ...tcp('web:40000 > box:80'),
      ...tcp('box:40000 > web:80'), ...udp('box:4000 > other:53'), ...lines('172.17.0.3 > web icmp echo\nclient > server icmp echo'),
    ],
  },
  {
    name: 'kube-proxy', family: 4, local: ['10.0.0.5'], interfaces: { cni0: ['10.244.1.0/24'], 'flannel.1': ['10.244.0.0/16'], eth0: ['0.0.0.0/0'] },
    packets: [
      ...tcp('pod2:40000 > pod:80'), ...tcp('pod:40000 > service:443'), ...udp('pod2:40000 > service:53'), ...tcp('client:40000 > node:30080'), ...tcp('client:40001 > node:10250'),
      ...tcp('node:40001 > pod:8080'), ...lines('pod2:1 > pod:2 tcp RA\nclient:9 > lo:22 tcp S\npod2 > service icmp echo'), ...udp('lo:1000 > lo:1001'),
    ],
  },
  {
    name: 'ipv6', family: 6, local: ['2001:db8:2::20'], interfaces: { eth0: ['2001:db8:1::/48', 'fe80::/64'], eth1: ['::/0'] },
    packets: [
      ...tcp('client6:40000 > server6:80'), ...tcp('other6:40000 > server6:8010'), ...tcp('client6:40000 > server6:22'), ...tcp('other6:40000 > server6:22'),
      ...tcp('server6:50000 > other6:25'), ...udp('client6:5000 > other6:53'), ...udp('other6:5000 > client6:53'),
      ...lines(Array.from({ length: 5 }, (_, i) => `client6 > server6 icmp6 echo id=${i}`).join('\n')),
      ...lines('client6 > server6 icmp6 type=133 ttl=255\nother6 > server6 icmp6 type=133 ttl=254\n[fe80::99]:547 > server6:546 udp'),
    ],
  },
  {
    name: 'raw-exemptions', family: 4, local: SERVER, interfaces: EVERYTHING_4,
    packets: [
      ...udp('client:5000 > server:53'), ...tcp('client:5000 > server:53'), ...udp('server:53 > other:53'), ...udp('client:5000 > server:54'),
      ...lines(`other > server icmp echo\nclient > server icmp echo\nclient > server icmp unreach code=3 ${wholePacket('server:53 > client:5000 udp')}
        client > server icmp unreach code=3 ${wholePacket('server:53 > client:5000 tcp A')}`),
    ],
  },
  {
    name: 'zones', family: 4, local: [], interfaces: { red: ['192.0.2.0/25'], blue: ['192.0.2.128/25'], isp: ['0.0.0.0/0'] },
    packets: [
      ...tcp('client:40000 > server:80'), ...tcp('lan3:40000 > server:80'), ...udp('client:5000 > server:53'), ...udp('lan3:5000 > server:53'),
      ...tcp('server:40000 > lan3:80'), ...lines('client > lan3 icmp echo\nlan3 > client icmp reply\nclient:1 > lan3:2 tcp S\nlan3:2 > client:1 tcp SA'),
    ],
  },
  {
    name: 'marks', family: 4, local: [], interfaces: EVERYTHING_4,
    packets: [
      ...tcp('client:40000 > server:80'), ...tcp('client:40001 > server:443'), ...tcp('client:40002 > server:22'), ...udp('client:5000 > server:53'),
      ...udp('client:5000 > server:53'), ...lines(`server > client icmp unreach ${wholePacket('client:40000 > server:80 tcp A')}\nclient:7 > server:80 tcp SF`),
    ],
  },
  {
    name: 'connbytes', family: 4, local: [], interfaces: EVERYTHING_4,
    packets: [...tcp('client:40000 > server:80', 'x'.repeat(300), 'y'.repeat(700)), ...udp('client:5000 > server:53', 'q', 'a'.repeat(500)), ...udp('client:5000 > server:53'), ...tcp('client:40001 > server:80')],
  },
  {
    name: 'conntrack-options', family: 4, local: [], interfaces: EVERYTHING_4,
    packets: [
      ...tcp('client:40000 > server:80'), ...tcp('lan2:40001 > server:81'), ...udp('client:5000 > server:80'), ...udp('client:5000 > server:80'),
      ...lines(`client > server icmp echo\nserver > client icmp reply\nserver > client icmp unreach ${wholePacket('client:5000 > server:80 udp')}
        client:1 > server:2 tcp SF\nclient > server 47 len=20\nserver > client 47 len=20\nclient > server icmp type=5`),
    ],
  },
  {
    name: 'sctp', family: 4, local: [], interfaces: EVERYTHING_4,
    packets: lines(`client:5000 > server:3868 sctp INIT\nserver:3868 > client:5000 sctp INIT_ACK\nclient:5000 > server:3868 sctp COOKIE_ECHO+DATA
      server:3868 > client:5000 sctp COOKIE_ACK\nclient:5000 > server:3868 sctp DATA\nserver:3868 > client:5000 sctp SACK+DATA
      client:5000 > server:3868 sctp DATA+ABORT\nclient:5001 > server:2905 sctp INIT\nclient:5002 > server:2905 sctp DATA\nclient:5003 > server:99 sctp HEARTBEAT`),
  },
  {
    name: 'scan-guard', family: 4, local: [], interfaces: EVERYTHING_4,
    packets: [
      ...tcp('client:40000 > server:80'), ...lines(['S', 'A', 'F', 'FPU', '-', 'SF', 'SR', 'R', 'FA', 'SA', 'PA', 'SRAFPU'].map((flags, i) => `bad:${i + 1} > server:80 tcp ${flags}`).join('\n')),
      ...lines('client:9 > server:80 tcp S opt=0402080a0000000100000000\nclient:10 > server:80 tcp S opt=02040218\nprivate:1 > server:80 tcp S\n203.0.113.10:1 > server:53 udp\n203.0.113.41:1 > server:53 udp\n203.0.113.40:1 > server:53 udp'),
    ],
  },
  {
    name: 'mail-relay', family: 4, local: SERVER, interfaces: EVERYTHING_4,
    packets: [
      ...tcp('client:40001 > server:25'), ...tcp('client:40002 > server:25'), ...tcp('client:40003 > server:25'), ...tcp('client:40004 > server:587'),
      ...tcp('client:40005 > server:113'), ...tcp('client:40006 > server:80'), ...tcp('server:40001 > other:25'), ...tcp('server:1000 > other:53'), ...tcp('server:40002 > other:53'), ...tcp('server:40003 > other:80'),
      ...udp('client:5000 > server:53'), ...udp('client:5000 > server:5000'), ...udp('server:5000 > client:53'), ...lines('client > server icmp echo\nclient > server 47 len=8'),
    ],
  },
  {
    name: 'voip', family: 4, local: [], interfaces: EVERYTHING_4,
    packets: [
      ...lines(`client:5060 > server:5060 udp data='${SIP_INVITE.replace(/\r/g, '\\r').replace(/\n/g, '\\n')}'`),
      ...lines('server:30000 > client:49170 udp len=160 tos=184\nclient:49170 > server:30000 udp len=160 tos=184\nserver:30001 > client:49171 udp len=40\nserver:30000 > client:49175 udp len=160'),
      ...lines("client:4000 > server:69 udp data='file'\nserver:4001 > client:4000 udp len=4\nclient:4000 > server:4001 udp len=4\nserver:4002 > client:4000 udp len=4"),
    ],
  },
  {
    name: 'ipv6-router', family: 6, local: [], interfaces: { lan: ['2001:db8:1::/48'], wan: ['::/0'] },
    packets: [
      ...ftp('client6', 'server6', '229 Entering Extended Passive Mode (|||51210|)\r\n', 'EPRT |2|2001:db8:1::10|51211|\r\n'), ...udp('client6:123 > other6:123'), ...udp('other6:123 > client6:123'),
      ...tcp('other6:5000 > client6:80'), ...udp('client6:5000 > other6:53'),
      ...lines(`client6 > server6 icmp6 echo\nserver6 > client6 icmp6 reply\nserver6 > client6 icmp6 echo id=4\nserver6 > client6 icmp6 too-big ${wholePacket('client6:5000 > other6:53 udp')}
        server6 > client6 icmp6 ttl-exceeded ${wholePacket('client6:1 > other6:53 udp')}\nserver6 > client6 icmp6 ttl-exceeded code=1 ${wholePacket('client6:5000 > other6:53 udp')}`),
    ],
  },
  {
    name: 'hotspot', family: 4, local: [], interfaces: { wlan0: ['192.0.2.0/24'], wan: ['0.0.0.0/0'] }, ethernet: true,
    packets: [...tcp('client:40000 > server:80'), ...tcp('lan2:40000 > server:80'), ...udp('lan2:5000 > server:53'), ...udp('other:5000 > client:53'), ...lines('lan2 > other icmp echo\nclient > other icmp echo')],
  },
  {
    name: 'mark-shifts', family: 4, local: [], interfaces: EVERYTHING_4,
    packets: lines(Array.from({ length: 8 }, (_, i) => `client:9 > server:${i + 1} udp len=${1 << i}`).join('\n')),
  },
  {
    name: 'address-types', family: 4, local: ['192.0.2.1', '198.51.100.1'], interfaces: { lan: ['192.0.2.0/24'], wan: ['0.0.0.0/0'] }, attached: true,
    packets: lines(['client > router', 'client > 198.51.100.1', 'other > router', 'other > 198.51.100.1', 'client > other', 'client > 224.0.0.5', 'client > 255.255.255.255',
      '0.0.0.0 > 255.255.255.255', '224.0.0.5 > router', 'router > client', 'router > other', '198.51.100.1 > client', '198.51.100.1 > other', 'router > 198.51.100.1', 'lo > lo',
      'client > 192.0.2.255', '240.0.0.1 > router', 'client > 0.0.0.0'].map((way, i) => `${way} 47 len=${1 << i % 10}`).join('\n')),
  },
  {
    name: 'address-types-ipv6', family: 6, local: ['2001:db8:1::1', '2001:db8:2::1'], interfaces: { lan: ['2001:db8:1::/48'], wan: ['::/0'] }, attached: true,
    packets: lines(['client6 > [2001:db8:1::1]', 'client6 > [2001:db8:2::1]', 'other6 > [2001:db8:1::1]', 'other6 > [2001:db8:2::1]', 'client6 > other6', 'client6 > [ff02::1]', 'client6 > [ff0e::5]',
      '[2001:db8:1::1] > client6', '[2001:db8:1::1] > other6', '[2001:db8:2::1] > client6', '[2001:db8:1::1] > [2001:db8:2::1]', 'client6 > [2001:db8:1::]', 'client6 > [fe80::7]',
      ].map((way, i) => `${way} 47 len=${1 << i % 10}`).join('\n')),
  },
  {
    name: 'balancer', family: 4, local: [], interfaces: EVERYTHING_4,
    packets: [...Array.from({ length: 7 }, (_, i) => lines(`+20 client:${40000 + i} > server:80 tcp S`)).flat(), ...lines('+20 server:80 > client:40001 tcp SA ack=1001\n+20 client:40001 > server:80 tcp A seq=1001\n+20 lan2:1 > server:80 tcp S\n+20 lan2:2 > server:80 tcp S')],
  },
]
