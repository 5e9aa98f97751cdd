-- The receipt key's signature over each checkpoint's tree (chain/FORMAT.md, "Proofs and receipts"): made once, where the root
-- is computed, and the same for every leaf of it. So whoever hands out receipts needs no key. Null: sealed before there
-- were receipts; the next block has one, and its tree holds all that came before.
alter table checkpoints add column receipt_signature bytea check (octet_length(receipt_signature) = 64);
