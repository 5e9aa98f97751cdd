-- What an accepted statement costs must not grow with how many there are. A B-tree over hashes is touched at a page of its
-- own by every row: with 1,670,000 statements stored, a row of `entries` took 33 µs and 1.4 KB of the write-ahead log with
-- it (74 µs and 3.9 KB after a checkpoint), and 6 µs and 0.4 KB without; 15 on an empty table, of which 5 were the key into
-- chain_heads.

-- An entry is the hash of bytes that hold its device and seq, and those are unique: so is the entry, and the audit recomputes
-- each. A lookup by entry reads the Bloom filters of 64 pages each, 3 bytes a statement: 20 ms among 11,700,000.
alter table entries drop constraint entries_entry_key;
create index entries_entry on entries
  using brin (entry bytea_bloom_ops (n_distinct_per_range = 3500, false_positive_rate = 0.001))
  with (pages_per_range = 64, autosummarize = on);

-- Whoever adds rows has locked their chains' heads and moves each by compare-and-swap in the same transaction: there is no
-- row without its head. And no head goes away.
alter table entries drop constraint entries_device_id_fkey;
create trigger only_moved before delete or truncate on chain_heads for each statement execute function refuse_change();
