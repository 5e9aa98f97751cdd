#!/usr/bin/env bash
# A Tidemark device in shell: lines of standard input, heart rates, become signed statements that are delivered.
# Usage: device.sh ID KEY.pem OUTBOX [HOST [PORT]]
# Needs openssl 3, xxd, mosquitto_pub and mosquitto_sub. The key is Ed25519: openssl's ECDSA would want s made low.
# OUTBOX is a folder that survives a loss of power: a statement is a file there until it is known to be stored.
# A connection brings one statement, so all lines of a second go into one pack. TLS and login: MOSQUITTO_ARGS="--cafile ca.pem -u ID -P TOKEN".
# TIDEMARK_LOG=VKEY names the log by its verifier key, as /log/policy shows it; without it the first that answers is
# taken. An OUTBOX belongs to one log: give another log another folder.
# mosquitto_pub does not show the receipt of a refusal; it only fails. So the head that is asked for next decides what to
# do, and `tidemark receipts --device ID` shows a person which rule it was.
set -euo pipefail
me=$1 key=$2 outbox=$3
mosquitto=(-h "${4:-127.0.0.1}" -p "${5:-1883}" -i "$me" ${MOSQUITTO_ARGS:-})
zeros=$(printf '00%.0s' {1..32})
clock_min=1735689600 offset=0 # a clock before 2025 was never set
if [[ -e $outbox && ! -d $outbox ]]; then
  echo "stop: $outbox is a file, and this outbox is a folder: the kit in Node keeps a file. Give each its own" >&2 && exit 1
fi
mkdir -p "$outbox"
for name in $(ls -A "$outbox"); do
  if [[ ! $name =~ ^(head|new|signed|message|[0-9]{10}\.(statement|anew))$ ]] ||
    [[ $name == head && ! $(tr -d '\0' <"$outbox/head") =~ ^[0-9]+\ [0-9a-f]{64}$ ]]; then
    echo "stop: $outbox has $name, which is not of this program: give it a folder of its own" >&2 && exit 1
  fi
done

# CBOR in hex. head MAJOR ARGUMENT: the first byte and the shortest form of a number (RFC 8949 §3)
head() {
  if (($2 < 24)); then printf %02x $(($1 << 5 | $2))
  elif (($2 < 256)); then printf %02x%02x $(($1 << 5 | 24)) "$2"
  elif (($2 < 65536)); then printf %02x%04x $(($1 << 5 | 25)) "$2"
  else printf %02x%08x $(($1 << 5 | 26)) "$2"; fi
}
bytes() { head 2 $((${#1} / 2)) && printf %s "$1"; }
text() { head 3 ${#1} && printf %s "$1" | xxd -p | tr -d '\n'; }
sha256() { xxd -r -p | openssl dgst -sha256 -binary | xxd -p -c 64; }
now() { echo $(($(date +%s) + offset)); }

public=$(openssl pkey -in "$key" -pubout -outform DER | tail -c 32 | xxd -p -c 64)
kid=$(echo "a301012006215820$public" | sha256 | cut -c 1-16) # of the thumbprint of the COSE_Key, RFC 9679

# write NAME: standard input to a file of the outbox that is whole, or is not there
write() { cat >"$outbox/new" && sync "$outbox/new" && mv "$outbox/new" "$outbox/$1" && sync "$outbox"; }
waiting() { find "$outbox" -name '*.statement' | sort; }
stored() { cat "$outbox/head" 2>/dev/null || echo "0 $zeros"; } # seq and entry of the last that is known to be stored

signed_at() { cut -d ' ' -f 5 "$outbox/$(printf %010d "$1").statement" 2>/dev/null | sha256; } # the entry of what waits there

# A statement's file: its seq, prev, iat, payload and, last, its bytes in hex.
say() { # IAT PAYLOAD: signs once and stores the bytes; only then are they published
  local seq prev header signed signature last
  last=$(waiting | tail -n 1)
  if [[ -n $last ]]; then
    seq=$(cut -d ' ' -f 1 "$last") prev=$(cut -d ' ' -f 5 "$last" | sha256)
  else read -r seq prev < <(stored); fi
  seq=$((seq + 1))
  header=$(printf a4013203187004 && bytes "$kid" && printf 0fa501 && text "$me" && printf 02 && text "$me" &&
    printf 06 && head 0 "$1" && printf 3a00010000 && head 0 $seq && printf 3a00010001 && bytes "$prev")
  signed=$(printf 84 && text Signature1 && bytes "$header" && printf 40 && bytes "$2")
  printf %s "$signed" | xxd -r -p >"$outbox/signed" # openssl wants a file, to know its size before
  signature=$(openssl pkeyutl -sign -rawin -inkey "$key" -in "$outbox/signed" | xxd -p -c 64)
  printf '%s %s %s %s %s\n' $seq "$prev" "$1" "$2" \
    "d284$(bytes "$header")a0$(bytes "$2")$(bytes "$signature")" | write "$(printf %010d $seq).statement"
}

forget() { # SEQ ENTRY: it is stored, and with it everything before it
  local file seq
  read -r seq _ < <(stored)
  if (($1 > seq)) || [[ ! -e $outbox/head ]]; then echo "$1 $2" | write head; fi
  for file in $(waiting); do
    if (($(cut -d ' ' -f 1 "$file") <= $1)); then rm "$file"; fi
  done
}

relink() { # ANEW: where what waits does not link to the head, or was refused, it is made anew from its readings
  local seq entry prev iat payload statement place file anew=$1
  read -r seq entry < <(stored)
  for file in $(waiting); do
    read -r place prev iat payload statement <"$file"
    if ((place != seq + 1)) || [[ $prev != "$entry" ]]; then anew=1; fi
    seq=$place entry=$(printf %s "$statement" | sha256)
  done
  if ((anew)); then for file in $(waiting); do mv "$file" "${file%.statement}.anew"; done; fi
  for file in $(find "$outbox" -name '*.anew' | sort); do # also what a loss of power left over
    read -r place prev iat payload statement <"$file"
    say "$iat" "$payload" && rm "$file"
  done
}

at=0 hex=
number() { # the unsigned number at `at` of `hex`, into `value`; null is -1
  local low=$((16#${hex:at:2} & 31)) size=0
  if [[ ${hex:at:2} == f6 ]]; then value=-1 at=$((at + 2)) && return; fi
  if ((low >= 24)); then size=$((1 << (low - 24 + 1))); fi
  if ((size)); then value=$((16#${hex:at+2:size})); else value=$low; fi
  at=$((at + 2 + size))
}
ask() { # for the head: code, head_seq, head_entry; fails where there is no answer
  hex=$(timeout 10 mosquitto_sub "${mosquitto[@]}" -t "v1/$me/receipts" -C 1 -W 8 -F %x) && [[ $hex == 85* ]] || return 1
  at=2 && number && code=$value && number && number && head_seq=$value
  head_entry=${hex:at+4:64} at=$((at + 68)) && number
  if (($(date +%s) < clock_min)); then offset=$((value - $(date +%s))); fi
}

genesis= # where the chain begins in this log (FORMAT.md §4, genesis): a statement for it links in no other
if [[ -n ${TIDEMARK_LOG:-} ]]; then
  genesis=$({ printf tidemark/genesis | xxd -p && printf 82 && text "$TIDEMARK_LOG" && text "$me"; } | tr -d '\n' | sha256)
fi

ended=0 known=0 refused=0 delay=1 records='' count=0 line='' code=
while :; do
  # Lines of about a second. Without a clock, or in an outbox that is new, they wait in the pipe for the first receipt.
  SECONDS=0
  until ((ended || count == 200 || SECONDS > 1)) || (($(now) < clock_min)) || [[ ! -e $outbox/head ]]; do
    if read -r -t 1 line; then
      if [[ ! $line =~ ^[0-9]{1,9}$ ]]; then echo "not a heart rate: passed over" >&2 && continue; fi
      records+="a4006a$(printf heart-rate | xxd -p)01$(text beat/min)02$(head 0 $((10#$line)))06$(head 0 "$(now)")"
      count=$((count + 1))
    elif (($? > 128)); then break
    else ended=1; fi
  done
  if ((count)); then say "$(now)" "$(head 4 $count)$records" && records='' count=0; fi
  if ((known == 0)); then # at the start, and after everything that went wrong
    if ask; then
      read -r seq entry < <(stored)
      case $code in
      0)
        if [[ $head_seq == 0 && -n $genesis && $head_entry != "$genesis" ]] ||
          [[ -e $outbox/head && $head_seq == "$seq" && $head_entry != "$entry" ]] ||
          { [[ -e $outbox/head ]] && ((head_seq > seq)) && [[ $(signed_at "$head_seq") != "$head_entry" ]]; }; then
          echo "alarm: another log answers, or $outbox is an old copy: the head $head_seq is not of this chain. Nothing was signed for it" >&2 && exit 3
        fi
        if ((head_seq < seq)); then echo "alarm: the service has lost data" >&2 && exit 3; fi ;;
      14) echo "stop: the key or the device was revoked" >&2 && exit 1 ;;
      13) echo "not now: $me is not enrolled, or with another key; see tidemark device show" >&2 && sleep $((60 + RANDOM % 60)) && continue ;;
      *) echo "not now: $code; 40 is suspended by an operator" >&2 && sleep $((60 + RANDOM % 60)) && continue ;; # until an operator has done it
      esac
      if ((head_seq > seq)); then refused=0; fi
      forget "$head_seq" "$head_entry" && relink $((refused == 2)) && known=1
      # Signed anew and refused again, at a head that links: a wrong id, another history of this key, our encoder.
      if ((refused > 4)); then echo "stop: a person must look at this, refused behind seq $head_seq" >&2 && exit 1; fi
    else sleep $((delay + RANDOM % 2)) && delay=$((delay < 30 ? 2 * delay : 30)) && continue; fi
  fi
  file=$(waiting | sed -n 1p)
  if [[ -n $file ]]; then
    read -r seq _ _ _ statement <"$file"
    printf %s "$statement" | xxd -r -p >"$outbox/message"
    status=0 && timeout 20 mosquitto_pub "${mosquitto[@]}" -t "v1/$me/statements" -q 1 -f "$outbox/message" || status=$?
    if ((status == 0)); then # PUBACK: it is committed and on disk
      forget "$seq" "$(printf %s "$statement" | sha256)" && delay=1 refused=0
    else
      known=0
      if ((status == 7)); then refused=$((refused + 1)); fi # the connection was closed: refused, or it was lost
    fi
    sleep 1 # a device connects at most once a second
  elif ((ended)); then exit 0; fi
done
