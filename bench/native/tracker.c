/*
 * The core's design in C: what the same work costs without WebAssembly.
 *
 * The same way of a packet: groups of 64 pass Ethernet, IP and transport headers, a keyed hash (NH), a prefetch of
 * every bucket, the entry that each bucket suggests, a prefetch of both its cache lines, and then one packet after the
 * other the TCP state table, the window check, timeouts, ASSURED, and a row of the same verdict columns. The same
 * table: buckets of 64 bytes with seven hashes and seven slots, entries of 128 bytes, one link a connection in canonical
 * order, a sweep in small pieces. The bench compares its verdicts with the package's before it measures.
 *
 * Less than the core: Ethernet with IPv4 or IPv6 without extension headers, TCP and UDP. No VLANs, reassembly, ICMP and
 * other protocols, zones, matches, helpers, events, records or eviction.
 *
 * It speaks over standard input and output, in the machine's byte order (native.ts is the other end). A request is its
 * letter and two numbers, 12 bytes; then what belongs to it:
 *
 *   L packets bytes   columns offset, length, wireLength, seconds, nanoseconds, linkType, then so many bytes of
 *                     packets; the answer is one 64-bit number, 0
 *   R                 tracks what was loaded; answers the nanoseconds it took and how many packets were ESTABLISHED
 *   V                 the same, and then columns state, direction, reason, protocolState, flags
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t i64;

#define INLINE static inline __attribute__((always_inline))
#define likely(x) __builtin_expect(!!(x), 1)

enum { GROUP = 64, PLACES = 7, TCP = 6, UDP = 17, ORIGINAL = 0, REPLY = 1 };
enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };
enum { KIND_SYN, KIND_SYNACK, KIND_FIN, KIND_ACK, KIND_RST, KIND_NONE };
enum {
  NONE, SYN_SENT, SYN_RECV, ESTABLISHED, FIN_WAIT, CLOSE_WAIT, LAST_ACK, TIME_WAIT, CLOSE, SYN_SENT2, INVALID, IGNORE,
};
enum { TIMEOUT_RETRANS = 10, TIMEOUT_UNACKNOWLEDGED, TIMEOUT_UDP, TIMEOUT_UDP_STREAM };
/* Bits of an entry's status, of a side's flags, and of a verdict's flags. */
enum { SEEN_REPLY = 2, ASSURED = 4, CONFIRMED = 8 };
enum { WINDOW_SCALE = 1, SACK_PERM = 2, CLOSE_INIT = 4, LIBERAL = 8, UNACKNOWLEDGED = 16, MAXACK_SET = 32 };
enum { CHALLENGE_ACK = 64, SIMULTANEOUS_OPEN = 128 };
enum { VERDICT_ASSURED = 1, VERDICT_DROPPED = 2, VERDICT_SEEN_REPLY = 4 };
enum { STATE_NONE, STATE_NEW, STATE_ESTABLISHED, STATE_RELATED, STATE_INVALID };
enum { PATH_NONE, PATH_TRACK, PATH_INVALID };
enum { RESULT_ACCEPT, RESULT_IGNORE, RESULT_INVALID, RESULT_REPEAT, RESULT_DESTROY };
/* Numbered as REASONS in src/names.ts. */
enum {
  NOT_IP = 1, IP_MALFORMED, CUT_SHORT, FRAGMENT_HELD, TRANSPORT_SHORT = 7, TCP_SHORT = 17, TCP_DATA_OFFSET,
  TCP_CHECKSUM, TCP_FLAGS, TCP_NO_CONNECTION, TCP_TRANSITION = 23, TCP_RST_BELOW_ACK, TCP_SEQ_OVER, TCP_ACK_OVER,
  UDP_SHORT, UDP_LENGTH, UDP_CHECKSUM, TABLE_FULL = 42,
};

/* Both endpoints in canonical order, IPv4 mapped into IPv6: both directions have the same key. */
struct key {
  u64 a[2], b[2];
  u16 port_a, port_b;
  u8 protocol, family;
  u16 zone;
};

/* A packet of the group: its key and what its headers say. */
struct packet {
  struct key key;
  u32 hash, length;
  struct entry *candidate;
  const u8 *transport;
  i64 time;
  u32 seq, ack, payload, transport_length;
  u16 window;
  u8 kind, flags, side, symmetric, path, reason;
  u8 network_at, transport_at;
} __attribute__((aligned(128)));

struct side {
  u32 end, max_end, max_window, max_ack;
  u8 scale, flags;
  u16 unused;
};

struct entry {
  struct key key;
  i64 deadline;
  union {
    struct {
      u32 last_seq, last_ack, last_end;
      u16 last_window;
      u8 last_kind, last_direction;
    };
    i64 stream_at; /* UDP: from when on it is a stream */
  };
  u16 status;
  u8 state, origin;
  u32 id;
  struct side sides[2];
  u8 last_scale, last_flags, retransmissions, unused;
  u32 hash, next, mark;
} __attribute__((aligned(128)));

struct bucket {
  u32 hash[PLACES], chain, slot[PLACES], unused;
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct key) == 40 && sizeof(struct packet) == 128, "layout");
_Static_assert(sizeof(struct entry) == 128 && sizeof(struct bucket) == 64, "layout");

static struct entry *entries;
static struct bucket *buckets;
static u32 bucket_count, max_entries, entry_count, highest, free_slot, last_id;
static bool verify;
static u32 secret[10];
static u64 multiplier;
static i64 now_, due_at = INT64_MIN;
static u32 cursor = 1;

/* Nanoseconds by TCP state, then the others: memory, as the core has them. */
static i64 timeouts[14];
static const u32 DEFAULT_TIMEOUTS[14] = { 0, 120, 60, 432000, 120, 60, 30, 120, 10, 120, 300, 300, 30, 120 };

static u64 count_packets, count_protocols[256], count_states[8], count_reasons[64], count_confirmed, count_removed;

/* Columns of what is loaded, and of verdicts. */
static struct {
  u32 *offset, *length, *wire_length, *nanoseconds;
  double *seconds;
  u16 *link_type;
  u8 *data;
  u32 count;
} in;
static struct {
  double *timeout;
  u32 *connection, *network, *transport;
  u8 *state, *direction, *reason, *protocol_state, *flags, *protocol, *family;
} out;

/* --- bytes ----------------------------------------------------------------------------------------------------- */

INLINE u16 load16(const u8 *at) { u16 v; memcpy(&v, at, 2); return v; }
INLINE u32 load32(const u8 *at) { u32 v; memcpy(&v, at, 4); return v; }
INLINE u64 load64(const u8 *at) { u64 v; memcpy(&v, at, 8); return v; }
INLINE u32 be16(const u8 *at) { return __builtin_bswap16(load16(at)); }
INLINE u32 be32(const u8 *at) { return __builtin_bswap32(load32(at)); }

INLINE bool before(u32 a, u32 b) { return (int32_t)(a - b) < 0; }
INLINE bool after(u32 a, u32 b) { return (int32_t)(b - a) < 0; }

/* --- checksums (RFC 1071), in the byte order of memory ---------------------------------------------------------- */

typedef u32 lanes __attribute__((vector_size(32)));

INLINE u32 fold(u64 total)
{
  total = (total & 0xffffffff) + (total >> 32);
  total = (total & 0xffff) + ((total >> 16) & 0xffff) + (total >> 32);
  total = (total & 0xffff) + (total >> 16);
  return (u32)((total & 0xffff) + (total >> 16));
}

/* Of packets of 64 KiB at most: lanes cannot overflow. */
static u64 sum_lanes(const u8 *at, u32 length)
{
  lanes total = { 0 };
  for (u32 i = 0; i + 32 <= length; i += 32) {
    lanes words;
    memcpy(&words, at + i, 32);
    total += (words & 0xffff) + (words >> 16);
  }
  u64 sum = 0;
  for (int i = 0; i < 8; i++) sum += total[i];
  return sum;
}

INLINE u32 sum(const u8 *at, u32 length, u64 total)
{
  if (length >= 96) {
    total += sum_lanes(at, length);
    at += length & ~31u;
    length &= 31;
  }
  for (; length >= 4; at += 4, length -= 4) total += load32(at);
  if (length & 2) {
    total += load16(at);
    at += 2;
  }
  if (length & 1) total += *at;
  return fold(total);
}

INLINE bool is_right(u32 total) { return total == 0xffff || total == 0; }

INLINE bool transport_right(const struct packet *p, const u8 *network, u32 protocol)
{
  u64 pseudo = __builtin_bswap16((u16)protocol) + (u64)__builtin_bswap32(p->transport_length);
  pseudo += p->key.family == 4 ? sum(network + 12, 8, 0) : sum(network + 8, 32, 0);
  return is_right(sum(p->transport, p->transport_length, pseudo));
}

/* --- headers ---------------------------------------------------------------------------------------------------- */

/* Kind of a segment by its flags (PSH is not looked at); 8 is added to what Linux refuses. */
static const u8 KINDS[64] = {
  13, 10, 0, 8, 4, 12, 12, 12, 13, 10, 0, 8, 4, 12, 12, 12,
  3, 2, 1, 9, 4, 12, 12, 12, 3, 2, 1, 9, 4, 12, 12, 12,
  13, 10, 0, 8, 12, 12, 12, 12, 13, 10, 0, 8, 12, 12, 12, 12,
  3, 2, 9, 9, 12, 12, 12, 12, 3, 2, 9, 9, 12, 12, 12, 12,
};

INLINE u8 end_at(struct packet *p, u8 path, u8 reason)
{
  p->path = path;
  return p->reason = reason;
}

INLINE u8 read_tcp(struct packet *p, const u8 *network)
{
  const u8 *at = p->transport;
  if (p->transport_length < 20) return TCP_SHORT;
  u32 header = (at[12] >> 4) << 2;
  if (header < 20 || header > p->transport_length) return TCP_DATA_OFFSET;
  if (verify && !transport_right(p, network, TCP)) return TCP_CHECKSUM;
  u8 kind = KINDS[at[13] & 0x3f];
  p->kind = kind & 7;
  p->flags = at[13];
  p->seq = be32(at + 4);
  p->ack = be32(at + 8);
  p->window = (u16)be16(at + 14);
  p->payload = p->transport_length - header;
  return kind & 8 ? TCP_FLAGS : 0;
}

INLINE u8 read_udp(struct packet *p, const u8 *network)
{
  const u8 *at = p->transport;
  if (p->transport_length < 8) return UDP_SHORT;
  u32 length = be16(at + 4);
  if (length < 8 || length > p->transport_length) return UDP_LENGTH;
  if (!verify || load16(at + 6) == 0) return 0;
  return transport_right(p, network, UDP) ? 0 : UDP_CHECKSUM;
}

/* The order of random addresses is a coin toss: endpoints are stored to a computed place instead of branching. */
INLINE void make_key4(struct packet *p, const u8 *network, u32 sport, u32 dport)
{
  u64 source = (u64)load32(network + 12) << 16 | sport;
  u64 destination = (u64)load32(network + 16) << 16 | dport;
  u32 side = source > destination;
  u64 *addresses = p->key.a;
  p->side = (u8)side;
  p->symmetric = source == destination;
  addresses[0] = 0;
  addresses[2] = 0;
  addresses[1 + 2 * side] = (u64)load32(network + 12) << 32 | 0xffff0000;
  addresses[1 + 2 * (side ^ 1)] = (u64)load32(network + 16) << 32 | 0xffff0000;
}

INLINE void make_key6(struct packet *p, const u8 *network, u32 sport, u32 dport)
{
  u64 s0 = load64(network + 8), s1 = load64(network + 16);
  u64 d0 = load64(network + 24), d1 = load64(network + 32);
  u32 same = (s0 == d0) & (s1 == d1);
  u32 side = (s0 > d0) | ((s0 == d0) & (s1 > d1)) | (same & (sport > dport));
  u64 *source = p->key.a + 2 * side, *destination = p->key.a + 2 * (side ^ 1);
  p->side = (u8)side;
  p->symmetric = same & (sport == dport);
  source[0] = s0;
  source[1] = s1;
  destination[0] = d0;
  destination[1] = d1;
}

INLINE u8 read_transport(struct packet *p, const u8 *network, u32 header, u32 total, u32 protocol)
{
  if (protocol != TCP && protocol != UDP) return end_at(p, PATH_NONE, NOT_IP);
  p->transport = network + header;
  p->transport_at = p->network_at + (u8)header;
  p->transport_length = total - header;
  p->key.protocol = (u8)protocol;
  if (p->transport_length < 4) return end_at(p, PATH_INVALID, TRANSPORT_SHORT);
  u32 sport = be16(p->transport), dport = be16(p->transport + 2);
  if (p->key.family == 4) make_key4(p, network, sport, dport);
  else make_key6(p, network, sport, dport);
  u16 *ports = &p->key.port_a;
  ports[p->side] = (u16)sport;
  ports[p->side ^ 1] = (u16)dport;
  p->path = PATH_TRACK;
  return p->reason = protocol == TCP ? read_tcp(p, network) : read_udp(p, network);
}

INLINE u8 read_ipv4(struct packet *p, const u8 *network, u32 captured, u32 wire)
{
  p->key.family = 4;
  if (captured < 20) return end_at(p, PATH_NONE, captured < wire ? CUT_SHORT : IP_MALFORMED);
  u32 header = (network[0] & 15) << 2, total = be16(network + 2);
  if (network[0] >> 4 != 4 || header < 20 || total < header || wire < total) return end_at(p, PATH_NONE, IP_MALFORMED);
  if (captured < total) return end_at(p, PATH_NONE, CUT_SHORT);
  if (verify && !is_right(sum(network, header, 0))) return end_at(p, PATH_NONE, IP_MALFORMED);
  if (be16(network + 6) & 0x3fff) return end_at(p, PATH_NONE, FRAGMENT_HELD);
  return read_transport(p, network, header, total, network[9]);
}

INLINE u8 read_ipv6(struct packet *p, const u8 *network, u32 captured, u32 wire)
{
  p->key.family = 6;
  if (captured < 40) return end_at(p, PATH_NONE, captured < wire ? CUT_SHORT : IP_MALFORMED);
  u32 total = 40 + be16(network + 4);
  if (network[0] >> 4 != 6 || wire < total || network[8] == 0xff) return end_at(p, PATH_NONE, IP_MALFORMED);
  if (captured < total) return end_at(p, PATH_NONE, CUT_SHORT);
  return read_transport(p, network, 40, total, network[6]);
}

INLINE void read_packet(struct packet *p, u32 i)
{
  const u8 *frame = in.data + in.offset[i];
  u32 length = in.length[i], wire = in.wire_length[i];
  p->time = (i64)in.seconds[i] * 1000000000 + in.nanoseconds[i];
  p->candidate = NULL;
  p->hash = 0;
  p->key.protocol = 0;
  p->key.family = 0;
  p->network_at = 0;
  p->transport_at = 0;
  if (in.link_type[i] != 1 || length < 14) {
    end_at(p, PATH_NONE, NOT_IP);
    return;
  }
  u32 type = be16(frame + 12);
  p->network_at = 14;
  if (type == 0x0800) read_ipv4(p, frame + 14, length - 14, wire - 14);
  else if (type == 0x86dd) read_ipv6(p, frame + 14, length - 14, wire - 14);
  else end_at(p, PATH_NONE, NOT_IP);
}

/* NH (RFC 4418) over the ten words of the key, folded with a secret multiplier. Never 0. */
INLINE u32 hash_key(const struct key *key)
{
  u32 word[10];
  memcpy(word, key, 40);
  u64 total = 0;
  for (int i = 0; i < 4; i++) total += (u64)(word[i] + secret[i]) * (u32)(word[i + 4] + secret[i + 4]);
  total += (u64)(word[8] + secret[8]) * (u32)(word[9] + secret[9]);
  u32 hash = (u32)(total * multiplier >> 32);
  return hash ? hash : 1;
}

/* --- table ------------------------------------------------------------------------------------------------------ */

INLINE struct bucket *bucket_of(u32 hash) { return buckets + ((u64)hash * bucket_count >> 32); }

/* Places of a bucket that hold a hash, as bits 0 to 6. */
INLINE u32 places(const struct bucket *b, u32 hash)
{
#ifdef __AVX2__
  __m256i same = _mm256_cmpeq_epi32(_mm256_load_si256((const __m256i *)b->hash), _mm256_set1_epi32((int)hash));
  return (u32)_mm256_movemask_ps(_mm256_castsi256_ps(same)) & 0x7f;
#else
  u32 found = 0;
  for (int i = 0; i < PLACES; i++) found |= (u32)(b->hash[i] == hash) << i;
  return found;
#endif
}

INLINE struct entry *suggest(u32 hash)
{
  const struct bucket *b = bucket_of(hash);
  u32 found = places(b, hash);
  if (found) return entries + b->slot[__builtin_ctz(found)];
  return b->chain ? entries + b->chain : NULL;
}

INLINE bool same_key(const struct entry *e, const struct key *key)
{
  const struct key *own = &e->key;
  u64 a = (own->a[0] ^ key->a[0]) | (own->a[1] ^ key->a[1]);
  u64 b = (own->b[0] ^ key->b[0]) | (own->b[1] ^ key->b[1]);
  return (a | b | (load64((const u8 *)&own->port_a) ^ load64((const u8 *)&key->port_a))) == 0;
}

/* The candidate is a hint: an earlier packet of the group may have made or removed entries. */
static struct entry *search(const struct packet *p)
{
  const struct bucket *b = bucket_of(p->hash);
  for (u32 found = places(b, p->hash); found; found &= found - 1) {
    struct entry *e = entries + b->slot[__builtin_ctz(found)];
    if (same_key(e, &p->key)) return e;
  }
  for (u32 slot = b->chain; slot; slot = entries[slot].next) {
    if (entries[slot].hash == p->hash && same_key(entries + slot, &p->key)) return entries + slot;
  }
  return NULL;
}

static struct entry *allocate(void)
{
  if (entry_count >= max_entries) return NULL;
  entry_count++;
  if (!free_slot) return entries + ++highest;
  struct entry *e = entries + free_slot;
  free_slot = e->next;
  return e;
}

static void release(struct entry *e)
{
  e->status = 0;
  e->next = free_slot;
  free_slot = (u32)(e - entries);
  entry_count--;
}

static void insert(struct entry *e)
{
  if (++last_id == 0) last_id = 1;
  e->id = last_id;
  e->status |= CONFIRMED;
  count_confirmed++;
  struct bucket *b = bucket_of(e->hash);
  u32 open = places(b, 0);
  if (open) {
    b->hash[__builtin_ctz(open)] = e->hash;
    b->slot[__builtin_ctz(open)] = (u32)(e - entries);
  } else {
    e->next = b->chain;
    b->chain = (u32)(e - entries);
  }
}

/* A place that becomes free is filled from the chain. */
static void take_out(struct bucket *b, u32 slot)
{
  for (int i = 0; i < PLACES; i++) {
    if (b->slot[i] != slot) continue;
    u32 first = b->chain;
    b->slot[i] = first;
    b->hash[i] = first ? entries[first].hash : 0;
    if (first) b->chain = entries[first].next;
    return;
  }
  u32 *at = &b->chain;
  while (*at != slot) at = &entries[*at].next;
  *at = entries[slot].next;
}

static void remove_entry(struct entry *e)
{
  count_removed++;
  take_out(bucket_of(e->hash), (u32)(e - entries));
  release(e);
}

INLINE struct entry *find_alive(const struct packet *p)
{
  struct entry *e = p->candidate;
  if (!(e && likely(same_key(e, &p->key)) && e->status & CONFIRMED)) e = search(p);
  if (!e || e->deadline > now_) return e;
  remove_entry(e);
  return NULL;
}

/* About one round a second of the packets' clock, in 1,024 pieces of no less than 64 entries. */
static void sweep(void)
{
  const i64 step = 1000000000 >> 10;
  i64 late = due_at == INT64_MIN ? 0 : (now_ - due_at) / step;
  u32 pieces = late + 1 < 8 ? (u32)late + 1 : 8;
  due_at = now_ + step;
  u32 piece = highest >> 10 < 64 ? 64 : highest >> 10;
  u32 n = piece * pieces < highest ? piece * pieces : highest;
  for (u32 i = 0, removed = 0; i < n && removed < 32; i++) {
    if (cursor > highest) cursor = 1;
    struct entry *e = entries + cursor++;
    if (!(e->status & CONFIRMED) || e->deadline > now_) continue;
    remove_entry(e);
    removed++;
  }
}

/* --- TCP options ------------------------------------------------------------------------------------------------ */

INLINE const u8 *options_end(const struct packet *p) { return p->transport + ((p->transport[12] >> 4) << 2); }

/* The first option from `at` on that has a length and fits, NULL where the list ends. */
static const u8 *option_from(const u8 *at, const u8 *end)
{
  while (at < end && *at == 1) at++;
  if (at + 2 > end || *at == 0) return NULL;
  return at[1] < 2 || at + at[1] > end ? NULL : at;
}

/* Scale in the low byte, flags in the next. */
static u32 syn_options(const struct packet *p)
{
  const u8 *end = options_end(p);
  u32 scale = 0, flags = 0;
  for (const u8 *at = option_from(p->transport + 20, end); at; at = option_from(at + at[1], end)) {
    if (at[0] == 4 && at[1] == 2) flags |= SACK_PERM;
    if (at[0] != 3 || at[1] != 3) continue;
    scale = at[2] < 14 ? at[2] : 14;
    flags |= WINDOW_SCALE;
  }
  return scale | flags << 8;
}

static void read_syn_options(const struct packet *p, struct side *side)
{
  if (options_end(p) == p->transport + 20) return;
  u32 options = syn_options(p);
  side->scale = (u8)options;
  side->flags = (side->flags & LIBERAL) | (u8)(options >> 8);
}

static u32 highest_sack(const struct packet *p, u32 ack)
{
  const u8 *at = p->transport + 20, *end = options_end(p);
  if (end - at == 12 && load32(at) == 0x0a080101) return ack; /* NOP NOP TIMESTAMP 10 */
  for (at = option_from(at, end); at; at = option_from(at + at[1], end)) {
    if (at[0] != 5 || at[1] < 10 || (at[1] - 2) & 7) continue;
    for (const u8 *edge = at + 6; edge < at + at[1]; edge += 8) if (after(be32(edge), ack)) ack = be32(edge);
    return ack;
  }
  return ack;
}

/* --- TCP window check ------------------------------------------------------------------------------------------- */

INLINE u32 end_of(const struct packet *p) { return p->seq + p->payload + ((p->flags & SYN) >> 1) + (p->flags & FIN); }
INLINE u32 max32(u32 a, u32 b) { return a > b ? a : b; }

static void initialise(const struct packet *p, struct side *sender, struct side *receiver, u32 end, u32 direction)
{
  sender->end = end;
  sender->max_end = end;
  sender->max_window = max32(p->window, 1);
  read_syn_options(p, sender);
  if (direction == REPLY && !(sender->flags & receiver->flags & WINDOW_SCALE)) sender->scale = receiver->scale = 0;
}

static void learn(const struct packet *p, struct side *sender, struct side *receiver, u32 end, u32 sack)
{
  sender->end = end;
  sender->max_window = max32((u32)p->window << sender->scale, 1);
  sender->max_end = end + sender->max_window;
  if (receiver->max_window == 0) receiver->end = receiver->max_end = sack;
  else if (sack == receiver->end + 1) receiver->end++;
}

enum { IN_WINDOW, OVERSHOOT, SEQ_OVER, ACK_OVER, OLD };

/* The four rules, in order: the first that fails. */
INLINE u32 judge(u32 seq, u32 end, u32 sack, const struct side *sender, const struct side *receiver)
{
  bool seen = receiver->max_window != 0;
  bool not_old = after(end, sender->end - receiver->max_window - 1);
  bool ack_not_old = after(sack, receiver->end - max32(sender->max_window, 66000) - 1);
  bool acks_sent = before(sack, receiver->end + 1);
  if (!before(seq, sender->max_end + 1)) {
    u32 over = end - sender->max_end + 1;
    return seen && not_old && ack_not_old && over <= receiver->max_window && acks_sent ? OVERSHOOT : SEQ_OVER;
  }
  if (!acks_sent) return ACK_OVER;
  if (seen && !not_old) return OLD;
  return ack_not_old ? IN_WINDOW : OLD;
}

static u32 fail(struct packet *p, u32 rule, u32 end, struct side *sender)
{
  if (rule == OVERSHOOT) {
    sender->end = end;
    sender->flags |= UNACKNOWLEDGED;
  }
  if (sender->flags & LIBERAL) return RESULT_ACCEPT;
  p->reason = rule == SEQ_OVER ? TCP_SEQ_OVER : rule == ACK_OVER ? TCP_ACK_OVER : 0;
  return p->reason ? RESULT_INVALID : RESULT_IGNORE;
}

INLINE void move_window(struct side *sender, struct side *receiver, u32 end, u32 ack, u32 sack, u32 window, u32 flags)
{
  sender->max_window = max32(sender->max_window, window + (sack - ack));
  if (after(end, sender->end)) {
    sender->end = end;
    sender->flags |= UNACKNOWLEDGED;
  }
  if (flags & ACK && (!(sender->flags & MAXACK_SET) || after(ack, sender->max_ack))) {
    sender->max_ack = ack;
    sender->flags |= MAXACK_SET;
  }
  if (receiver->max_window != 0 && after(end, sender->max_end)) receiver->max_window += end - sender->max_end;
  if (after(sack + window, receiver->max_end - 1)) receiver->max_end = sack + window + (window == 0);
  if (ack == receiver->end) receiver->flags &= (u8)~UNACKNOWLEDGED;
}

INLINE void count_repetition(const struct packet *p, struct entry *e, u32 direction, u32 ack, u32 end)
{
  if (e->last_direction == direction && e->last_seq == p->seq && e->last_ack == ack && e->last_end == end &&
      e->last_window == p->window) {
    e->retransmissions++;
    return;
  }
  e->last_direction = (u8)direction;
  e->last_seq = p->seq;
  e->last_ack = ack;
  e->last_end = end;
  e->last_window = p->window;
  e->retransmissions = 0;
}

INLINE u32 check_window(struct packet *p, struct entry *e, u32 direction, u32 kind)
{
  struct side *sender = e->sides + direction, *receiver = e->sides + (direction ^ 1);
  u32 flags = p->flags, state = e->state, seq = p->seq, end = end_of(p), ack = p->ack;
  u32 sack = receiver->flags & SACK_PERM ? highest_sack(p, ack) : ack;
  if (sender->max_window == 0) {
    if (flags & SYN) {
      initialise(p, sender, receiver, end, direction);
      if (!(flags & ACK)) return RESULT_ACCEPT; /* simultaneous open */
    } else {
      learn(p, sender, receiver, end, sack);
    }
  } else if (flags & SYN && after(end, sender->end) && (state == SYN_SENT || state == SYN_RECV)) {
    initialise(p, sender, receiver, end, direction);
    if (direction == REPLY && !(flags & ACK)) return RESULT_ACCEPT;
  }
  if (!(flags & ACK) || (flags & RST && ack == 0)) ack = sack = receiver->end;
  if (flags & RST && seq == 0 && state == SYN_SENT) seq = end = sender->end;
  u32 window = flags & SYN ? p->window : (u32)p->window << sender->scale;
  u32 rule = judge(seq, end, sack, sender, receiver);
  if (rule != IN_WINDOW) return fail(p, rule, end, sender);
  move_window(sender, receiver, end, ack, sack, window, flags);
  if (kind == KIND_ACK) count_repetition(p, e, direction, ack, end);
  return RESULT_ACCEPT;
}

/* --- TCP -------------------------------------------------------------------------------------------------------- */

/* New state by direction, kind of segment, current state. 10: invalid, 11: ignored. */
static const u8 TRANSITIONS[2][6][10] = {
  { { 1, 1, 11, 11, 11, 11, 11, 1, 1, 9 }, /* SYN */
    { 10, 10, 2, 10, 10, 10, 10, 10, 10, 2 }, /* SYN/ACK */
    { 10, 10, 4, 4, 6, 6, 6, 7, 8, 10 }, /* FIN */
    { 3, 10, 3, 3, 5, 5, 7, 7, 8, 10 }, /* ACK */
    { 10, 8, 8, 8, 8, 8, 8, 8, 8, 8 }, /* RST */
    { 10, 10, 10, 10, 10, 10, 10, 10, 10, 10 } },
  { { 10, 9, 10, 10, 10, 10, 10, 1, 10, 9 },
    { 10, 2, 11, 11, 11, 11, 11, 11, 11, 2 },
    { 10, 10, 4, 4, 6, 6, 6, 7, 8, 10 },
    { 10, 11, 2, 3, 5, 5, 7, 7, 8, 11 },
    { 10, 8, 8, 8, 8, 8, 8, 8, 8, 8 },
    { 10, 10, 10, 10, 10, 10, 10, 10, 10, 10 } },
};

/* What the accepted packet sets, nanoseconds. */
static i64 accepted_timeout;

static u8 begin_tcp(struct packet *p, struct entry *e)
{
  struct side *original = e->sides;
  memset(&e->last_seq, 0, 16);
  memset(e->sides, 0, sizeof e->sides);
  e->last_kind = KIND_NONE;
  e->last_scale = e->last_flags = e->retransmissions = 0;
  original->end = original->max_end = end_of(p);
  original->max_window = max32(p->window, 1);
  if (p->kind == KIND_SYN) {
    read_syn_options(p, original);
    return 0;
  }
  if (p->kind != KIND_ACK) return TCP_NO_CONNECTION;
  original->max_end += original->max_window;
  original->flags = e->sides[1].flags = SACK_PERM | LIBERAL;
  return 0;
}

INLINE bool reopens(const struct entry *e, u32 direction)
{
  if ((e->sides[0].flags | e->sides[1].flags) & CLOSE_INIT) return true;
  return e->last_direction == direction && e->last_kind == KIND_RST;
}

/* The peer answers a SYN that was ignored: the connection starts anew from that SYN. */
static void resynchronise(struct entry *e, u32 direction)
{
  struct side *opener = e->sides + e->last_direction, *answerer = e->sides + direction;
  opener->end = opener->max_end = e->last_end;
  opener->max_window = max32(e->last_window, 1);
  opener->scale = e->last_scale;
  e->last_flags &= (u8)~CHALLENGE_ACK;
  opener->flags = e->last_flags;
  u8 liberal = answerer->flags & LIBERAL;
  memset(answerer, 0, sizeof *answerer);
  answerer->flags = liberal;
}

static u32 ignore(const struct packet *p, struct entry *e, u32 direction, u32 old)
{
  e->last_kind = p->kind;
  e->last_direction = (u8)direction;
  e->last_seq = p->seq;
  e->last_end = end_of(p);
  e->last_window = p->window;
  if (p->kind == KIND_SYN && direction == ORIGINAL) {
    u32 options = syn_options(p);
    e->last_scale = (u8)options;
    e->last_flags = (u8)(options >> 8);
    if (old == LAST_ACK) e->last_flags |= CHALLENGE_ACK;
  }
  if (old == SYN_SENT && p->kind == KIND_ACK && direction == REPLY) e->last_ack = p->ack;
  return RESULT_IGNORE;
}

enum { RESET_CHECKED = 0, RESET_UNCHECKED = 1, RESET_STAYS = 2, RESET_INVALID = 4 };

static u32 judge_reset(const struct packet *p, const struct entry *e, u32 direction, u32 old)
{
  if (old >= FIN_WAIT && old <= CLOSE) return RESET_UNCHECKED;
  const struct side *peer = e->sides + (direction ^ 1);
  bool established = old == ESTABLISHED && e->status & ASSURED;
  u32 stays = 0;
  if (peer->flags & MAXACK_SET && e->last_kind != KIND_SYN) {
    if (p->seq == 0 && !established) return RESET_CHECKED;
    if (before(p->seq, peer->max_ack)) return RESET_INVALID;
    if (!established || p->seq == peer->max_ack) return RESET_CHECKED;
    if (e->last_kind == KIND_ACK && e->last_direction == direction && p->seq == e->last_end) return RESET_CHECKED;
    stays = RESET_STAYS;
  }
  bool answers_syn = e->status & SEEN_REPLY && e->last_kind == KIND_SYN && e->last_direction != direction;
  bool answers = answers_syn || (!(e->status & ASSURED) && e->last_kind == KIND_ACK);
  if (p->ack == e->last_end && answers) return stays | RESET_UNCHECKED;
  bool refused = old == SYN_SENT && e->last_kind == KIND_ACK && e->last_direction == REPLY && p->seq == e->last_ack;
  return refused ? stays | RESET_UNCHECKED : stays;
}

/* A reset or FIN out of the window is INVALID; one from each side cuts the connection's life short all the same. */
static u32 out_of_window(struct entry *e, u32 direction, u32 kind)
{
  if ((kind != KIND_RST && kind != KIND_FIN) || !(e->status & ASSURED)) return RESULT_INVALID;
  if (e->last_direction != direction && (e->last_kind == KIND_FIN || e->last_kind == KIND_RST)) {
    i64 left = e->deadline - now_, unacknowledged = timeouts[TIMEOUT_UNACKNOWLEDGED];
    if (left >= 120000000000 && left > unacknowledged) e->deadline = now_ + unacknowledged;
  } else {
    e->last_kind = (u8)kind;
    e->last_direction = (u8)direction;
  }
  return RESULT_INVALID;
}

INLINE i64 state_timeout(const struct entry *e, u32 kind, u32 next)
{
  i64 t = timeouts[next], retrans = timeouts[TIMEOUT_RETRANS], unacknowledged = timeouts[TIMEOUT_UNACKNOWLEDGED];
  if (e->retransmissions >= 3 && t > retrans) return retrans;
  if (kind == KIND_RST) return timeouts[CLOSE];
  if ((e->sides[0].flags | e->sides[1].flags) & UNACKNOWLEDGED && t > unacknowledged) return unacknowledged;
  return e->last_window == 0 && t > retrans ? retrans : t;
}

INLINE u32 enter(struct entry *e, u32 direction, u32 kind, u32 old, u32 next)
{
  e->last_kind = (u8)kind;
  e->last_direction = (u8)direction;
  e->state = (u8)next;
  if (old != next && next == FIN_WAIT) e->sides[direction].flags |= CLOSE_INIT;
  i64 t = state_timeout(e, kind, next);
  if (!(e->status & SEEN_REPLY)) {
    if (kind == KIND_RST && e->status & CONFIRMED) return RESULT_DESTROY;
    if (kind == KIND_SYN && old == SYN_SENT) return RESULT_IGNORE;
    if (next == ESTABLISHED && t > timeouts[TIMEOUT_UNACKNOWLEDGED]) t = timeouts[TIMEOUT_UNACKNOWLEDGED];
  } else if (!(e->status & ASSURED) && (old == SYN_RECV || old == ESTABLISHED) && next == ESTABLISHED) {
    e->status |= ASSURED;
  }
  accepted_timeout = t;
  return RESULT_ACCEPT;
}

static u32 update_tcp(struct packet *p, struct entry *e, u32 direction)
{
  u32 kind = p->kind, old = e->state, next = TRANSITIONS[direction][kind][old];
  if (next == SYN_SENT && old >= TIME_WAIT && old <= CLOSE) {
    if (reopens(e, direction)) return RESULT_REPEAT;
    next = IGNORE;
  }
  if (next == IGNORE) {
    bool answers = kind == KIND_SYNACK && e->last_kind == KIND_SYN && e->last_direction != direction &&
      p->ack == e->last_end;
    if (!answers) return ignore(p, e, direction, old);
    resynchronise(e, direction);
    old = SYN_SENT;
    next = SYN_RECV;
  }
  if (next == INVALID) {
    p->reason = TCP_TRANSITION;
    return RESULT_INVALID;
  }
  if (next == TIME_WAIT && old == LAST_ACK && kind == KIND_ACK && e->last_direction != direction &&
      e->last_kind == KIND_SYN && e->last_flags & CHALLENGE_ACK) {
    e->last_flags &= (u8)~CHALLENGE_ACK;
    return RESULT_IGNORE;
  }
  if (next == SYN_SENT2) e->last_flags |= SIMULTANEOUS_OPEN;
  bool simultaneous = e->last_flags & SIMULTANEOUS_OPEN;
  if (next == SYN_RECV && direction == REPLY && kind == KIND_ACK && simultaneous) next = ESTABLISHED;
  u32 reset = kind == KIND_RST ? judge_reset(p, e, direction, old) : RESET_CHECKED;
  if (reset == RESET_INVALID) {
    p->reason = TCP_RST_BELOW_ACK;
    return RESULT_INVALID;
  }
  if (reset & RESET_STAYS) next = old;
  if (!(reset & RESET_UNCHECKED)) {
    u32 window = check_window(p, e, direction, kind);
    if (window == RESULT_IGNORE) return RESULT_IGNORE;
    if (window != RESULT_ACCEPT) return out_of_window(e, direction, kind);
  }
  return enter(e, direction, kind, old, next);
}

/* --- UDP -------------------------------------------------------------------------------------------------------- */

INLINE u32 update_udp(struct entry *e)
{
  bool stream = e->status & SEEN_REPLY && now_ > e->stream_at;
  accepted_timeout = timeouts[stream ? TIMEOUT_UDP_STREAM : TIMEOUT_UDP];
  if (stream) e->status |= ASSURED;
  return RESULT_ACCEPT;
}

/* --- verdicts --------------------------------------------------------------------------------------------------- */

INLINE void write_own(const struct packet *p, u32 i)
{
  out.protocol[i] = p->key.protocol;
  out.family[i] = p->key.family;
  out.network[i] = p->key.family ? p->network_at : 0;
  out.transport[i] = p->transport_at;
}

/* A row without an entry behind it. */
static void write_row(const struct packet *p, u32 i, u32 state, u32 reason, u32 direction, u32 flags)
{
  count_states[state]++;
  count_reasons[reason]++;
  out.state[i] = (u8)state;
  out.direction[i] = (u8)direction;
  out.reason[i] = (u8)reason;
  out.protocol_state[i] = 0;
  out.flags[i] = (u8)flags;
  out.connection[i] = 0;
  out.timeout[i] = 0;
  write_own(p, i);
}

INLINE void write_entry(const struct packet *p, u32 i, u32 state, const struct entry *e, u32 direction)
{
  u32 status = e->status;
  count_states[state]++;
  out.state[i] = (u8)state;
  out.direction[i] = (u8)(direction + 1);
  out.reason[i] = 0;
  out.protocol_state[i] = e->state;
  out.flags[i] = (u8)((status & ASSURED ? VERDICT_ASSURED : 0) | (status & SEEN_REPLY ? VERDICT_SEEN_REPLY : 0));
  out.connection[i] = e->id;
  out.timeout[i] = (double)(e->deadline - now_);
  write_own(p, i);
}

/* --- one packet ------------------------------------------------------------------------------------------------- */

INLINE u32 update(struct packet *p, struct entry *e, u32 direction)
{
  return e->key.protocol == TCP ? update_tcp(p, e, direction) : update_udp(e);
}

/* Acts on what the protocol said of a packet and its entry. */
INLINE void settle(const struct packet *p, u32 i, struct entry *e, u32 direction, u32 result)
{
  if (result == RESULT_INVALID) {
    if (!(e->status & CONFIRMED)) release(e);
    return write_row(p, i, STATE_INVALID, p->reason, 0, 0);
  }
  u32 state = direction == REPLY || e->status & SEEN_REPLY ? STATE_ESTABLISHED : STATE_NEW;
  if (result == RESULT_ACCEPT) e->deadline = now_ + accepted_timeout;
  if (result == RESULT_DESTROY) {
    remove_entry(e);
    return write_row(p, i, state, 0, direction + 1, 0);
  }
  if (direction == REPLY) e->status |= SEEN_REPLY;
  if (!(e->status & CONFIRMED)) insert(e);
  write_entry(p, i, state, e, direction);
}

/* The first packet of a connection. */
static void open_entry(struct packet *p, u32 i)
{
  struct entry *e = allocate();
  if (!e) return write_row(p, i, STATE_INVALID, TABLE_FULL, 0, VERDICT_DROPPED);
  e->key = p->key;
  e->hash = p->hash;
  e->origin = p->side;
  e->status = 0;
  e->state = NONE;
  e->mark = e->id = e->next = 0;
  e->deadline = now_;
  if (!p->reason && p->key.protocol == TCP) p->reason = begin_tcp(p, e);
  else if (!p->reason) e->stream_at = now_ + 2000000000;
  if (p->reason) {
    release(e);
    return write_row(p, i, STATE_INVALID, p->reason, 0, 0);
  }
  settle(p, i, e, ORIGINAL, update(p, e, ORIGINAL));
}

INLINE void track(struct packet *p, u32 i)
{
  struct entry *e = find_alive(p);
  if (!e) return open_entry(p, i);
  if (p->reason) return write_row(p, i, STATE_INVALID, p->reason, 0, 0);
  u32 direction = p->symmetric ? REPLY : p->side ^ e->origin;
  u32 result = update(p, e, direction);
  if (likely(result != RESULT_REPEAT)) return settle(p, i, e, direction, result);
  remove_entry(e);
  open_entry(p, i);
}

INLINE void classify(struct packet *p, u32 i)
{
  if (p->time > now_) now_ = p->time;
  if (now_ >= due_at) sweep();
  count_packets++;
  if (p->key.family) count_protocols[p->key.protocol]++;
  if (likely(p->path == PATH_TRACK)) return track(p, i);
  write_row(p, i, p->path == PATH_INVALID ? STATE_INVALID : STATE_NONE, p->reason, 0, 0);
}

/*
 * The steady state, as the core has it (48-steady.ts): an acknowledging segment of an established connection within its
 * windows, without SACK blocks. False, with nothing written, where the packet is anything else.
 */
INLINE bool track_steady(const struct packet *p, u32 i)
{
  struct entry *e = p->candidate;
  if (p->path != PATH_TRACK || p->reason || p->symmetric || p->key.protocol != TCP || p->kind != KIND_ACK || !e) return false;
  const u32 known = SEEN_REPLY | ASSURED | CONFIRMED;
  i64 now = p->time > now_ ? p->time : now_;
  if (!same_key(e, &p->key) || (e->status & known) != known || e->state != ESTABLISHED) return false;
  if (now >= due_at || now >= e->deadline) return false;
  u32 direction = p->side ^ e->origin;
  struct side *sender = e->sides + direction, *receiver = e->sides + (direction ^ 1);
  const u8 *options = p->transport + 20;
  i64 length = options_end(p) - options;
  if (receiver->flags & SACK_PERM && length != 0 && !(length == 12 && load32(options) == 0x0a080101)) return false;
  u32 end = p->seq + p->payload, ack = p->ack;
  if (sender->max_window == 0 || judge(p->seq, end, ack, sender, receiver) != IN_WINDOW) return false;
  move_window(sender, receiver, end, ack, ack, (u32)p->window << sender->scale, ACK);
  count_repetition(p, e, direction, ack, end);
  e->last_kind = KIND_ACK;
  now_ = now;
  e->deadline = now + state_timeout(e, KIND_ACK, ESTABLISHED);
  count_packets++;
  count_protocols[TCP]++;
  write_entry(p, i, STATE_ESTABLISHED, e, direction);
  return true;
}

/* One group: every stage for all of its packets, so that their memory is under way together. */
static void track_group(u32 from, u32 n)
{
  static struct packet group[GROUP];
  for (u32 i = 0; i < n; i++) read_packet(group + i, from + i);
  for (u32 i = 0; i < n; i++) {
    if (group[i].path != PATH_TRACK) continue;
    group[i].hash = hash_key(&group[i].key);
    __builtin_prefetch(bucket_of(group[i].hash));
  }
  for (u32 i = 0; i < n; i++) {
    if (!group[i].hash) continue;
    struct entry *e = group[i].candidate = suggest(group[i].hash);
    __builtin_prefetch(e);
    __builtin_prefetch((u8 *)e + 64);
  }
  for (u32 i = 0; i < n; i++) {
    if (!track_steady(group + i, from + i)) classify(group + i, from + i);
  }
}

static void track_all(void)
{
  for (u32 from = 0; from < in.count; from += GROUP) {
    track_group(from, in.count - from < GROUP ? in.count - from : GROUP);
  }
}

/* --- conversation ------------------------------------------------------------------------------------------------ */

static void *reserve(u64 bytes)
{
  void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at != MAP_FAILED) return at;
  perror("mmap");
  exit(1);
}

static void get(void *to, u64 bytes)
{
  if (fread(to, 1, bytes, stdin) != bytes) exit(1);
}

static void put(const void *from, u64 bytes)
{
  if (fwrite(from, 1, bytes, stdout) != bytes) exit(1);
}

/* Columns for `most` packets, each on a page of its own. */
static void make_columns(u64 most, u64 bytes)
{
  in.offset = reserve(most * 4);
  in.length = reserve(most * 4);
  in.wire_length = reserve(most * 4);
  in.seconds = reserve(most * 8);
  in.nanoseconds = reserve(most * 4);
  in.link_type = reserve(most * 2);
  in.data = reserve(bytes);
  out.timeout = reserve(most * 8);
  out.connection = reserve(most * 4);
  out.network = reserve(most * 4);
  out.transport = reserve(most * 4);
  u8 **narrow[] = {
    &out.state, &out.direction, &out.reason, &out.protocol_state, &out.flags, &out.protocol, &out.family,
  };
  for (int i = 0; i < 7; i++) *narrow[i] = reserve(most);
}

static void load(u32 count, u32 bytes)
{
  in.count = count;
  get(in.offset, count * 4ull);
  get(in.length, count * 4ull);
  get(in.wire_length, count * 4ull);
  get(in.seconds, count * 8ull);
  get(in.nanoseconds, count * 4ull);
  get(in.link_type, count * 2ull);
  get(in.data, bytes);
  u64 nothing = 0;
  put(&nothing, 8);
}

static void run(void)
{
  struct timespec from, to;
  clock_gettime(CLOCK_MONOTONIC, &from);
  track_all();
  clock_gettime(CLOCK_MONOTONIC, &to);
  u64 answer[2] = { (u64)((to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec), 0 };
  for (u32 i = 0; i < in.count; i++) answer[1] += out.state[i] == STATE_ESTABLISHED;
  put(answer, sizeof answer);
}

static void tell_verdicts(void)
{
  const u8 *columns[] = { out.state, out.direction, out.reason, out.protocol_state, out.flags };
  for (int i = 0; i < 5; i++) put(columns[i], in.count);
}

/* The secret of the hash from a seed (splitmix64). */
static void make_secret(u64 seed)
{
  for (int i = 0; i < 11; i++) {
    u64 z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    if (i < 10) secret[i] = (u32)(z ^ z >> 31);
    else multiplier = (z ^ z >> 31) | 1;
  }
}

/* tracker MAX_CONNECTIONS verify|ignore MAX_PACKETS MAX_BYTES: the most that is loaded at a time */
int main(int argc, char **argv)
{
  if (argc != 5) return 2;
  max_entries = (u32)strtoul(argv[1], NULL, 10);
  verify = strcmp(argv[2], "verify") == 0;
  make_columns(strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
  bucket_count = (u32)((u64)max_entries * 2 / 7) + 8;
  buckets = reserve(bucket_count * 64ull);
  entries = reserve((max_entries + 1ull) * 128);
  make_secret(1);
  for (int i = 0; i < 14; i++) timeouts[i] = DEFAULT_TIMEOUTS[i] * 1000000000ll;
  struct { u32 letter, packets, bytes; } request;
  while (fread(&request, sizeof request, 1, stdin) == 1) {
    if (request.letter == 'L') load(request.packets, request.bytes);
    if (request.letter == 'R' || request.letter == 'V') run();
    if (request.letter == 'V') tell_verdicts();
    fflush(stdout);
  }
  return 0;
}
