-- The protocol version of the log's policy (FORMAT §6, member 5). Logs from before this migration have version 1: their
-- chains begin at zeros. In a log of version 2 each chain begins at its genesis, and chain_heads.entry is that at seq 0.
alter table log add column version smallint not null default 1 check (version in (1, 2));
alter table log alter column version drop default;
