/* A Tidemark device: each line of standard input, a heart rate, becomes one signed statement that is delivered.
 * Usage: device ID KEY.pem OUTBOX [HOST [PORT]]; the key is Ed25519. Ends when the input has ended and all is stored.
 * OUTBOX is a folder that survives a loss of power: a statement is a file there until it is known to be stored.
 * Each reason not to go on is said once. An OUTBOX belongs to one log. The log, TLS and the login are set in the environment:
 *   TIDEMARK_LOG=VKEY       the log's verifier key, as /log/policy shows it; without it the first that answers is taken
 *   TIDEMARK_CA=FILE        TLS; the service's certificate must be of this CA (PEM), or of the machine's with "system"
 *   TIDEMARK_ORIGIN=ORIGIN  log in by a JWT of the device's own key; ORIGIN is the log's, and the clock must be right
 *   TIDEMARK_TOKEN=TOKEN    log in by the token that `tidemark device token create ID` printed
 * To build, on Debian: apt-get install gcc libc6-dev libmosquitto-dev libssl-dev
 *                      cc -O2 -Wall -o device device.c -lmosquitto -lcrypto */
#include <errno.h>
#include <mosquitto.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#define IN_FLIGHT_MAX 100
#define CLOCK_MIN 1735689600 /* a clock before 2025 was never set */
typedef struct { size_t size; uint8_t bytes[512]; } Bytes;
typedef struct { uint64_t seq; uint8_t entry[32]; } Place;
typedef struct { uint8_t prev[32]; uint64_t iat; Bytes payload, statement; } Record; /* a file of the outbox */
static const char *me, *outbox;
static EVP_PKEY *key;
static Record record;
static uint8_t kid[32];                 /* its first 8 bytes */
static Place stored, last;              /* the last that is known to be stored, and the last that was signed */
static uint64_t sent;                   /* the last that is in flight */
static char tls_error[256];
static int isAnswered;                  /* has the service answered CONNECT */
static int known, anew, ended, refusal; /* is the head known, must what waits be signed anew, has the input ended; a code */
static int isOld;                       /* an outbox that is new signs nothing before it has asked for the head */
static time_t offset;                   /* of a clock that the first receipt brought */
static const char *ca, *origin, *token, *logVkey; /* of the environment; null where it is not set */
static void stop(const char *why, int code) { fprintf(stderr, "stop: %s (%d)\n", why, code), exit(1); }
/* Says why it does not go on; the same reason is not repeated while it lasts. */
static void tell(const char *what, const char *why) {
  static char said[512];
  char line[512];
  snprintf(line, sizeof line, "%s: %s", what, why);
  if (*why && strcmp(line, said)) fprintf(stderr, "%s\n", line);
  strcpy(said, line);
}
static const char *refused_as(int code) {
  return code == 12 ? "wrong device: client id, topic and iss must all be this device's id"
         : code == 13 ? "unknown key: the device is not enrolled, or with another key; see `tidemark device show`"
         : code == 14 ? "revoked: the key or the device was revoked"
         : code == 20 || code == 21 ? "gap or broken: it does not follow the statement before"
         : code == 22 ? "fork: another statement of this key is stored in this place"
         : code == 40 ? "suspended: an operator has suspended the device"
                      : "malformed, or a bad signature: see `tidemark inspect FILE --key KEY.pem`";
}
static void put(Bytes *out, const void *bytes, size_t size) {
  if (out->size + size > sizeof out->bytes) stop("too long", 0);
  memcpy(out->bytes + out->size, bytes, size), out->size += size;
}
/* The first byte of an item and its argument in the shortest form (RFC 8949 §3). */
static void head(Bytes *out, int major, uint64_t n) {
  int low = n < 24 ? (int)n : n < 1 << 8 ? 24 : n < 1 << 16 ? 25 : n >> 32 == 0 ? 26 : 27, size = low < 24 ? 0 : 1 << (low - 24);
  uint8_t bytes[9] = {major << 5 | low};
  for (int i = 0; i < size; i++) bytes[1 + i] = n >> 8 * (size - 1 - i);
  put(out, bytes, 1 + size);
}
static void string(Bytes *out, int major, const void *bytes, size_t size) { head(out, major, size), put(out, bytes, size); }
static void text(Bytes *out, const char *value) { string(out, 3, value, strlen(value)); }
static void entry_of(const Record *record, uint8_t *entry) { SHA256(record->statement.bytes, record->statement.size, entry); }
static const char *path(uint64_t seq) { /* 0: of what is stored */
  static char name[512];
  return snprintf(name, sizeof name, seq ? "%s/%010llu" : "%s/head", outbox, (unsigned long long)seq), name;
}
static int load(uint64_t seq, void *bytes, size_t size) {
  FILE *file = fopen(path(seq), "rb");
  size_t count = file ? fread(bytes, size, 1, file) : 0;
  /* Another program's file would be taken for a place in the chain. */
  if (file && (count != 1 || fgetc(file) != EOF)) stop("OUTBOX is of another program: give this one a folder of its own", 0);
  return (file ? fclose(file) : 0), count == 1;
}
static void store(uint64_t seq, const void *bytes, size_t size) { /* to a file that is whole, or is not there */
  char new[512];
  FILE *file = (snprintf(new, sizeof new, "%s/new", outbox), fopen(new, "wb"));
  if (!file || fwrite(bytes, size, 1, file) != 1 || fflush(file) || fsync(fileno(file)) || fclose(file) ||
      rename(new, path(seq))) stop("the outbox cannot be written", 0);
  sync(); /* the folder too */
}
/* Ed25519, 64 bytes. */
static void sign(const void *message, size_t size, uint8_t *signature) {
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  if (EVP_DigestSignInit(context, NULL, NULL, NULL, key) != 1 ||
      EVP_DigestSign(context, signature, &(size_t){64}, message, size) != 1) stop("cannot sign", 0);
  EVP_MD_CTX_free(context);
}
/* Signs once, behind `after`, and stores the bytes; only then are they published. */
static void say(Place *after, const Bytes *payload, uint64_t iat) {
  Record made = {.iat = iat, .payload = *payload};
  Bytes header = {0}, message = {0}, signature = {.size = 64};
  memcpy(made.prev, after->entry, 32);
  put(&header, "\xa4\x01\x32\x03\x18\x70\x04", 7), string(&header, 2, kid, 8), put(&header, "\x0f\xa5\x01", 3);
  text(&header, me), put(&header, "\x02", 1), text(&header, me), put(&header, "\x06", 1), head(&header, 0, iat);
  head(&header, 1, 65536), head(&header, 0, after->seq + 1), head(&header, 1, 65537), string(&header, 2, made.prev, 32);
  put(&message, "\x84\x6aSignature1", 12), string(&message, 2, header.bytes, header.size), put(&message, "\x40", 1);
  string(&message, 2, payload->bytes, payload->size);
  sign(message.bytes, message.size, signature.bytes), put(&made.statement, "\xd2\x84", 2), string(&made.statement, 2, header.bytes, header.size);
  put(&made.statement, "\xa0", 1), string(&made.statement, 2, payload->bytes, payload->size);
  string(&made.statement, 2, signature.bytes, 64), store(++after->seq, &made, sizeof made), entry_of(&made, after->entry);
}
/* base64url without padding, behind what `out` has (RFC 4648 §5). */
static void base64url(char *out, const void *bytes, size_t size) {
  unsigned char *end = (unsigned char *)out + strlen(out);
  end[EVP_EncodeBlock(end, bytes, size)] = 0;
  for (; *end; end++) *end = *end == '+' ? '-' : *end == '/' ? '_' : *end == '=' ? 0 : *end;
}
/* A login by the device's own key, for one connection: the service takes it for ten minutes. */
static const char *make_jwt(void) {
  static char jwt[1024];
  char claims[512];
  uint8_t signature[64];
  long long now = time(NULL);
  int size = snprintf(claims, sizeof claims, "{\"iss\":\"%s\",\"sub\":\"%s\",\"aud\":\"%s\",\"iat\":%lld,\"exp\":%lld}",
                      me, me, origin, now, now + 600);
  if (size >= (int)sizeof claims) stop("TIDEMARK_ORIGIN is too long", 0);
  strcpy(jwt, "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9."); /* {"alg":"EdDSA","typ":"JWT"} */
  base64url(jwt, claims, size), sign(jwt, strlen(jwt), signature), strcat(jwt, "."), base64url(jwt, signature, 64);
  return jwt;
}
/* It is stored, and with it everything before it. */
static void forget(uint64_t seq, const uint8_t *entry) {
  uint64_t before = stored.seq;
  stored.seq = seq, memcpy(stored.entry, entry, 32);
  if (seq > before || !isOld) store(0, &stored, sizeof stored), isOld = 1;
  while (before < seq) unlink(path(++before));
}
/* What waits and does not link to what is before it, or was refused, is made anew from its readings. */
static void relink(void) {
  for (last = stored; load(last.seq + 1, &record, sizeof record);)
    if (anew || memcmp(record.prev, last.entry, 32)) say(&last, &record.payload, record.iat);
    else last.seq++, entry_of(&record, last.entry);
}
static uint64_t number(const uint8_t **at) {
  uint64_t low = *(*at)++ & 31, value = low < 24 ? low : 0;
  for (int size = low < 24 ? 0 : 1 << (low - 24); size; size--) value = value << 8 | *(*at)++;
  return value;
}
/* Where the chain begins in this log (FORMAT.md §4, genesis): a statement for it links in no other. */
static int is_of_another_log(uint64_t seq, const uint8_t *entry) {
  Bytes named = {0};
  uint8_t genesis[32];
  uint8_t own[32];
  if (isOld && seq == stored.seq && memcmp(entry, stored.entry, 32)) return 1;
  /* Further on than what is known to be stored: it has to be what was signed there. */
  if (isOld && seq > stored.seq) {
    if (!load(seq, &record, sizeof record)) return 1;
    entry_of(&record, own);
    return memcmp(entry, own, 32) != 0;
  }
  if (!logVkey || seq) return 0;
  put(&named, "tidemark/genesis\x82", 17), text(&named, logVkey), text(&named, me), SHA256(named.bytes, named.size, genesis);
  return memcmp(entry, genesis, 32) != 0;
}
/* [code, seq or null, head seq, head entry, now]; it comes from the service, so its form is trusted. */
static void hear(struct mosquitto *m, void *_, const struct mosquitto_message *message) {
  uint8_t own[32];
  const uint8_t *at = (const uint8_t *)message->payload + 1;
  uint64_t code = number(&at), seq = number(&at), head_seq = number(&at);
  const uint8_t *entry = (at += 34) - 32;
  if (time(NULL) < CLOCK_MIN) offset = number(&at) - time(NULL);
  if (code >= 10) tell("refused", refused_as(refusal = code));
  else if (code == 0) {
    if (is_of_another_log(head_seq, entry)) stop("alarm: another log answers, or the outbox is an old copy; nothing was signed for it", 0);
    if (head_seq < stored.seq) stop("alarm: the service has lost data", 0);
    forget(head_seq, entry), relink(), sent = head_seq, known = 1, anew = 0, tell("", "");
  } else if (seq > stored.seq && load(seq, &record, sizeof record)) /* 1 to 4: stored */
    entry_of(&record, own), forget(seq, code == 2 && seq == head_seq ? entry : own);
}
static void subscribe(struct mosquitto *m, void *topic, int code) {
  if (code == 0) mosquitto_subscribe(m, NULL, topic, 0); /* a question: where is my head? */
  else tell(mosquitto_connack_string(code),
            origin ? "it showed a JWT: is this key enrolled, is TIDEMARK_ORIGIN the log's, is the clock right?"
            : token ? "it showed a token: is it of this device, has it expired?"
                    : "it showed no login: set TIDEMARK_ORIGIN or TIDEMARK_TOKEN");
  isAnswered = 1;
}
/* OpenSSL's words: the library gives them to its log alone. */
static void hear_error(struct mosquitto *m, void *_, int level, const char *line) {
  if (level == MOSQ_LOG_ERR) snprintf(tls_error, sizeof tls_error, "%s", line);
}
/* Lines that came become statements, also without a connection; without a clock they wait for the first receipt. */
static void listen_once(void) {
  static char line[64];
  for (size_t size = 0; isOld && !ended && time(NULL) + offset > CLOCK_MIN && poll(&(struct pollfd){0, POLLIN, 0}, 1, 50) > 0; size = 0) {
    Bytes payload = {0};
    while (size < sizeof line - 1 && read(0, line + size, 1) == 1 && line[size] != '\n') size++;
    if ((ended = size == 0)) return;
    put(&payload, "\x81\xa4\x00\x6aheart-rate\x01\x68" "beat/min\x02", 25), head(&payload, 0, strtoul(line, NULL, 10));
    put(&payload, "\x06", 1), head(&payload, 0, time(NULL) + offset), say(&last, &payload, time(NULL) + offset);
  }
}
static int is_done(void) { return ended && known && !refusal && stored.seq == last.seq; }
static void converse(const char *host, int port, char *receipts, const char *statements) { /* one connection, to its end */
  struct mosquitto *m = mosquitto_new(me, true, receipts);
  if (origin || token) mosquitto_username_pw_set(m, me, origin ? make_jwt() : token);
  int isSystem = ca && strcmp(ca, "system") == 0, code = MOSQ_ERR_SUCCESS;
  if (ca) code = mosquitto_tls_set(m, isSystem ? NULL : ca, isSystem ? "/etc/ssl/certs" : NULL, NULL, NULL, NULL);
  if (code) stop("TIDEMARK_CA is not a file of certificates", code);
  mosquitto_max_inflight_messages_set(m, IN_FLIGHT_MAX), mosquitto_log_callback_set(m, hear_error);
  mosquitto_connect_callback_set(m, subscribe), mosquitto_message_callback_set(m, hear), known = refusal = isAnswered = *tls_error = 0;
  code = mosquitto_connect(m, host, port, 30);
  for (; !code && !refusal && !is_done() && (code = mosquitto_loop(m, 20, 1)) == MOSQ_ERR_SUCCESS; listen_once())
    while (known && sent < last.seq && sent < stored.seq + IN_FLIGHT_MAX && load(++sent, &record, sizeof record))
      mosquitto_publish(m, NULL, statements, record.statement.size, record.statement.bytes, 1, false);
  if (code && !isAnswered)
    tell(*tls_error ? tls_error : code == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(code),
         ca ? "no connection; is this the port for TLS, and the certificate of the CA in TIDEMARK_CA, for this name?"
            : "no connection; is this the port for plain TCP? TIDEMARK_CA turns TLS on");
  mosquitto_disconnect(m), mosquitto_destroy(m);
}
int main(int count, char **words) {
  uint8_t cose[40] = "\xa3\x01\x01\x20\x06\x21\x58\x20"; /* the COSE_Key, whose thumbprint begins with kid (RFC 9679) */
  char receipts[96], statements[96];
  struct stat found;
  FILE *file = count < 4 ? NULL : fopen(words[2], "r");
  if (!file || !(key = PEM_read_PrivateKey(file, NULL, NULL, NULL)) ||
      EVP_PKEY_get_raw_public_key(key, cose + 8, &(size_t){32}) != 1)
    stop("usage: device ID KEY.pem OUTBOX [HOST [PORT]]; KEY.pem has an Ed25519 key", 0);
  ca = getenv("TIDEMARK_CA"), origin = getenv("TIDEMARK_ORIGIN"), token = getenv("TIDEMARK_TOKEN"), logVkey = getenv("TIDEMARK_LOG");
  me = words[1], outbox = words[3], SHA256(cose, sizeof cose, kid), mkdir(outbox, 0700), mosquitto_lib_init();
  if (stat(outbox, &found) || !S_ISDIR(found.st_mode)) stop("OUTBOX must be a folder; the kit in Node keeps a file", 0);
 
  snprintf(receipts, 96, "v1/%s/receipts", me), snprintf(statements, 96, "v1/%s/statements", me);
  isOld = load(0, &stored, sizeof stored), relink();
  for (int delay = 1, remade = 0; !is_done();) {
    uint64_t before = stored.seq;
    converse(count > 4 ? words[4] : "127.0.0.1", count > 5 ? atoi(words[5]) : ca ? 8883 : 1883, receipts, statements);
    int ours = refusal == 10 || refusal == 11 || refusal == 15 || refusal == 17, most = refusal == 13 || refusal == 40 ? 300 : 30;
    /* 12 configuration, 14 revoked, 22 another history of this key; the others once: then it is the encoder. 13 and 40
     * wait for an operator, for minutes; after 20, 21 and a lost connection the head tells how to go on. */
    if (refusal == 12 || refusal == 14 || refusal == 22 || (ours && remade)) stop("a person must look at this", refusal);
    anew = remade = ours, delay = stored.seq > before ? 1 : 2 * delay < most ? 2 * delay : most;
    for (time_t end = time(NULL) + delay + rand() % (delay + 1); time(NULL) < end && !is_done(); usleep(50000)) listen_once();
  }
}
