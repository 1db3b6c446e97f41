/** An FTP session: login, then files by each of the four ways to announce a data connection (RFC 959, RFC 2428). */
import { Conversation, dotted, type Spoken } from './dialogs.js'
import type { Endpoint } from './traffic.js'

/** @param takenUp whether data connections come, or expectations are left to expire and to give way */
export function ftpDialog(index: number, takenUp: boolean): readonly Spoken[] {
  const client = { address: (0x0a000000 + index) >>> 0, port: 40000 + (index % 10000) }
  const server = { address: 0xc6120000 + (index & 0xff), port: 21 }
  const talk = new Conversation(client, server)
  login(talk)
  const data = (from: Endpoint, to: Endpoint) => takenUp && talk.takeUp(from, to)
  const [high, low] = [195 + (index & 15), (index * 7) & 0xff]
  const port = high * 256 + low
  exchange(talk, 'PASV', `227 Entering Passive Mode (${dotted(server.address, ',')},${high},${low}).`)
  data({ address: client.address, port: 50001 }, { address: server.address, port })
  transfer(talk, 'LIST', 'Here comes the directory listing.', 'Directory send OK.')
  exchange(talk, 'EPSV', `229 Entering Extended Passive Mode (|||${port + 1}|)`)
  data({ address: client.address, port: 50002 }, { address: server.address, port: port + 1 })
  transfer(talk, 'RETR linux-6.1.tar.xz', 'Opening BINARY mode data connection for linux-6.1.tar.xz (134728752 bytes).')
  const active = `PORT ${dotted(client.address, ',')},${high},${low}`
  exchange(talk, active, '200 PORT command successful. Consider using PASV.')
  data({ address: server.address, port: 20 }, { address: client.address, port })
  transfer(talk, 'NLST', 'Here comes the directory listing.', 'Directory send OK.')
  exchange(talk, `EPRT |1|${dotted(client.address)}|${port + 1}|`, '200 EPRT command successful. Consider using EPSV.')
  data({ address: server.address, port: 20 }, { address: client.address, port: port + 1 })
  transfer(talk, `STOR upload-${index}.dat`, 'Ok to send data.')
  exchange(talk, 'QUIT', '221 Goodbye.')
  talk.end()
  return talk.spoken
}

function login(talk: Conversation): void {
  talk.say('server', '220 (vsFTPd 3.0.5)')
  exchange(talk, 'USER anonymous', '331 Please specify the password.')
  exchange(talk, 'PASS guest@example.org', '230 Login successful.')
  exchange(talk, 'SYST', '215 UNIX Type: L8')
  exchange(talk, 'TYPE I', '200 Switching to Binary mode.')
  exchange(talk, 'CWD /pub/linux/kernel/v6.x', '250 Directory successfully changed.')
}

function exchange(talk: Conversation, command: string, answer: string): void {
  talk.say('client', command)
  talk.say('server', answer)
}

function transfer(talk: Conversation, command: string, begin: string, end = 'Transfer complete.'): void {
  exchange(talk, command, `150 ${begin}`)
  talk.say('server', `226 ${end}`)
}
